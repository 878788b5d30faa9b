//! The UNet with the text that it reads, for a batch of pictures.

use std::cell::Cell;

use burn::tensor::{FloatDType, Tensor};
use rayon::prelude::*;

use crate::cpu;
use crate::diffusion::{EpsModel, Latents};
use crate::error::EngineError;
use crate::memory::low_memory::{MemoryGuard, MemoryMode};
use crate::models::{Context, values, with_sliced_attention};
use crate::pipeline::Pipeline;
use crate::pipeline::StopFlag;
use crate::pipeline::conditioning::Conditioning;

/// Predicts noise for a batch whose prompts are known.
pub(crate) struct GuidedUnet<'a> {
    pub pipeline: &'a Pipeline,
    pub stop: &'a StopFlag,
    pub memory: &'a MemoryGuard,
    /// In the precision to compute in.
    pub texts: Conditioning,
    /// Of the schedule: which of the texts count now.
    pub step: &'a Cell<usize>,
}

impl GuidedUnet<'_> {
    /// The same, computing in another precision.
    pub fn cast(&self, dtype: FloatDType) -> Self {
        Self { texts: self.texts.cast(dtype), ..*self }
    }

    /// The prompt's prediction; where AND composes several, `uncond + sum of w_i (cond_i - uncond)`
    /// (Liu et al., 2022). With it the one without a prompt, if that was made.
    fn predictions(
        &self,
        x: &Latents,
        timestep: f32,
        needs_uncond: bool,
    ) -> Result<(Option<Latents>, Latents), EngineError> {
        let Self { texts: Conditioning { cond, uncond }, step, .. } = self;
        let texts =
            uncond.iter().filter(|_| needs_uncond).chain(cond).map(|part| part.at(step.get()).clone());
        let mut answers = self.answers(x, timestep, &texts.collect::<Vec<_>>())?;
        if !needs_uncond {
            return Ok((None, answers.swap_remove(0)));
        }
        let conds = answers.split_off(1);
        let uncond = answers.swap_remove(0);
        if let (true, [cond]) = (self.texts.is_simple(), &conds[..]) {
            return Ok((Some(uncond), cond.clone()));
        }
        let composed = cond.iter().zip(&conds).fold(uncond.clone(), |sum, (part, cond)| {
            sum.add_scaled(part.weight, &cond.zip_with(&uncond, |cond, uncond| cond - uncond))
        });
        Ok((Some(uncond), composed))
    }

    /// The network's answer to each text.
    fn answers(&self, x: &Latents, timestep: f32, texts: &[Tensor<3>]) -> Result<Vec<Latents>, EngineError> {
        let Self { pipeline, stop, .. } = *self;
        let of_batch = |text: &Tensor<3>| text.clone().repeat_dim(0, x.batch());
        let alike = texts.iter().all(|text| text.dims() == texts[0].dims());
        self.memory.retry_in_low_memory(|mode| {
            let pass = |text: &Tensor<3>| pipeline.predict(x, timestep, &of_batch(text), mode, stop);
            match texts {
                [text] => Ok(vec![pass(text)?]),
                // Passes side by side wait for each other once; one pass of all, at every kernel.
                _ if mode == MemoryMode::Full && pipeline.is_on_cpu() => texts.par_iter().map(pass).collect(),
                _ if alike => {
                    let [batch, channels, height, width] = x.shape;
                    let count = texts.len();
                    let every = Latents::new([count * batch, channels, height, width], x.data.repeat(count));
                    let texts = Tensor::cat(texts.iter().map(of_batch).collect(), 0);
                    let answers = pipeline.predict(&every, timestep, &texts, mode, stop)?.data;
                    let answers = answers.chunks_exact(x.data.len());
                    Ok(answers.map(|answer| Latents::new(x.shape, answer.to_vec())).collect())
                }
                _ => texts.iter().map(pass).collect(),
            }
        })
    }
}

impl EpsModel for GuidedUnet<'_> {
    fn eps(&mut self, x: &Latents, timestep: f32) -> Result<Latents, EngineError> {
        Ok(self.predictions(x, timestep, !self.texts.is_simple())?.1)
    }

    fn eps_pair(&mut self, x: &Latents, timestep: f32) -> Result<(Latents, Latents), EngineError> {
        let (uncond, cond) = self.predictions(x, timestep, true)?;
        Ok((uncond.expect("it is made whenever guidance is not 1"), cond))
    }
}

impl Pipeline {
    /// One pass of the UNet, in the precision of the text, or frugally one for each picture.
    pub(crate) fn predict(
        &self,
        x: &Latents,
        timestep: f32,
        context: &Tensor<3>,
        mode: MemoryMode,
        stop: &StopFlag,
    ) -> Result<Latents, EngineError> {
        if mode == MemoryMode::LowMemory {
            return with_sliced_attention(|| self.predict_some(1, x, timestep, context, stop));
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
    ) -> Result<Latents, EngineError> {
        let [_, channels, height, width] = x.shape;
        let mut eps = Vec::with_capacity(x.data.len());
        for (index, part) in x.data.chunks(at_once * channels * height * width).enumerate() {
            let part = Latents::new([at_once, channels, height, width], part.to_vec());
            let context = context.clone().narrow(0, index * at_once, at_once);
            let part = self.upload(&part, context.dtype().into());
            let unet = &self.model.unet;
            let context = Context { text: &context, observer: None };
            eps.extend(values(unet.forward(part, timestep, context, &|| stop.is_raised())?)?);
        }
        // How memory that ran out unseen may show on a GPU (wgpu #9545).
        if self.info.device.is_gpu && eps.iter().all(|&value| value == 0.0) {
            return Err(EngineError::OutOfMemory("the UNet answered with nothing".into()));
        }
        Ok(Latents::new(x.shape, eps))
    }

    fn is_on_cpu(&self) -> bool {
        cpu::is_cpu(&self.device)
    }
}
