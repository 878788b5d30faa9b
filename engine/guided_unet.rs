//! The UNet with the text that it reads, for a batch of pictures.

use burn::tensor::{FloatDType, Tensor};

use crate::cpu;
use crate::diffusion::{EpsModel, Halt, Latents};
use crate::models::{in_small_slices, values};
use crate::pipeline::Pipeline;
use crate::session::StopFlag;
use crate::thrift::{Care, Thrift};

/// Predicts noise for a batch whose prompts are known.
pub(crate) struct GuidedUnet<'a> {
    pub pipeline: &'a Pipeline,
    pub stop: &'a StopFlag,
    pub care: &'a Care,
    /// `[batch, tokens, width]`, in the precision to compute in.
    pub cond: Tensor<3>,
    /// `[2 * batch, tokens, width]`: unconditional ones first.
    pub pair: Option<Tensor<3>>,
}

impl GuidedUnet<'_> {
    /// The same, computing in another precision.
    pub fn cast(&self, dtype: FloatDType) -> Self {
        let pair = self.pair.clone().map(|pair| pair.cast(dtype));
        Self { cond: self.cond.clone().cast(dtype), pair, ..*self }
    }
}

impl EpsModel for GuidedUnet<'_> {
    fn eps(&mut self, x: &Latents, timestep: f32) -> Result<Latents, Halt> {
        let Self { pipeline, stop, cond, .. } = &*self;
        self.care.sparing(|thrift| pipeline.predict(x, timestep, cond, thrift, stop))
    }

    fn eps_pair(&mut self, x: &Latents, timestep: f32) -> Result<(Latents, Latents), Halt> {
        let Self { pipeline, stop, .. } = *self;
        let pair = self.pair.as_ref().expect("a pair is made whenever guidance is not 1");
        self.care.sparing(|thrift| {
            if thrift == Thrift::Generous && pipeline.is_on_cpu() {
                // Two passes side by side wait for each other once; one pass of both, at every kernel.
                let half = |start| pair.clone().narrow(0, start, x.batch());
                let pass = |context: Tensor<3>| pipeline.predict(x, timestep, &context, thrift, stop);
                let (uncond, cond) = (half(0), half(x.batch()));
                let (uncond, cond) = rayon::join(|| pass(uncond), || pass(cond));
                return Ok((uncond?, cond?));
            }
            let [batch, channels, height, width] = x.shape;
            let twice = Latents::new([2 * batch, channels, height, width], x.data.repeat(2));
            let mut uncond = pipeline.predict(&twice, timestep, pair, thrift, stop)?.data;
            let cond = uncond.split_off(x.data.len());
            Ok((Latents::new(x.shape, uncond), Latents::new(x.shape, cond)))
        })
    }
}

impl Pipeline {
    /// One pass of the UNet, in the precision of the text, or frugally one for each picture.
    pub(crate) fn predict(
        &self,
        x: &Latents,
        timestep: f32,
        context: &Tensor<3>,
        thrift: Thrift,
        stop: &StopFlag,
    ) -> Result<Latents, Halt> {
        if thrift == Thrift::Frugal {
            return in_small_slices(|| self.predict_some(1, x, timestep, context, stop));
        }
        self.predict_some(x.batch(), x, timestep, context, stop)
    }

    fn predict_some(
        &self,
        at_once: usize,
        x: &Latents,
        timestep: f32,
        context: &Tensor<3>,
        stop: &StopFlag,
    ) -> Result<Latents, Halt> {
        let [_, channels, height, width] = x.shape;
        let mut eps = Vec::with_capacity(x.data.len());
        for (index, part) in x.data.chunks(at_once * channels * height * width).enumerate() {
            let part = Latents::new([at_once, channels, height, width], part.to_vec());
            let context = context.clone().narrow(0, index * at_once, at_once);
            let part = self.upload(&part, context.dtype().into());
            let unet = &self.model.unet;
            eps.extend(values(unet.forward(part, timestep, &context, &|| stop.is_raised())?)?);
        }
        // How memory that ran out unseen may show on a GPU (wgpu #9545).
        if self.card.device.is_gpu && eps.iter().all(|&value| value == 0.0) {
            return Err(Halt::OutOfMemory("the UNet answered with nothing".into()));
        }
        Ok(Latents::new(x.shape, eps))
    }

    fn is_on_cpu(&self) -> bool {
        cpu::is_cpu(&self.device)
    }
}

/// Texts of a guided batch, unconditional ones first.
pub(crate) fn repeat_pair(uncond: Tensor<3>, cond: Tensor<3>, batch: usize) -> Tensor<3> {
    Tensor::cat(vec![uncond.repeat_dim(0, batch), cond.repeat_dim(0, batch)], 0)
}
