//! The kernels that a GPU runs for one guided step. Starting a kernel costs some microseconds whatever it computes, so the
//! number of them counts beside their work.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use crate::diffusion::NoiseStreams;
use crate::gpu;
use crate::memory::mode::MemoryMode;
use crate::pipeline::{GenerateError, Pipeline, StopFlag};

/// How often each kernel is launched by one step for pictures of this size, with a prompt and a negative prompt.
pub fn guided_step(
    pipeline: &Pipeline,
    width: u32,
    height: u32,
) -> Result<BTreeMap<String, usize>, GenerateError> {
    let factor = pipeline.info().vae_factor;
    let [height, width] = [height, width].map(|side| (side / factor) as usize);
    let one = NoiseStreams::new(1, 1).draw([1, 4, height, width]);
    let x = crate::diffusion::Latents::new([2, 4, height, width], one.data.repeat(2));
    let context = Tensor::cat(
        ["", "a red fox"].map(|prompt| pipeline.context(prompt)).into_iter().collect::<Result<_, _>>()?,
        0,
    );
    let step = || pipeline.predict(&x, 500.0, &context, MemoryMode::Full, &StopFlag::default()).map(|_| ());
    // The first compiles and times kernels.
    step()?;
    Ok(gpu::observed(step)?)
}
