//! The UNet with its conditioning, for a batch of pictures.

use std::cell::{Cell, RefCell};

use burn::tensor::{FloatDType, Tensor};
use rayon::prelude::*;

use crate::cpu;
use crate::diffusion::{EpsGradient, EpsModel, Latents};
use crate::error::EngineError;
use crate::memory::low_memory::MemoryGuard;
use crate::memory::mode::MemoryMode;
use crate::models::backward::{KeptPass, MAX_KEPT_AREA};
use crate::models::{Context, values, with_sliced_attention};
use crate::pipeline::Pipeline;
use crate::pipeline::StopFlag;
use crate::pipeline::conditioning::Conditioning;

/// Predicts noise for a batch of pictures with the same prompts.
pub(crate) struct GuidedUnet<'a> {
    pub pipeline: &'a Pipeline,
    pub stop: &'a StopFlag,
    pub memory: &'a MemoryGuard,
    /// In the precision to compute in.
    pub conditioning: Conditioning,
    /// The current step of the schedule, which selects the conditioning.
    pub step: &'a Cell<usize>,
    pub gradient: GradientState,
}

/// What was kept of a prediction for its gradient.
#[derive(Default)]
pub(crate) struct GradientState {
    /// A gradient of the next prediction will be asked for.
    is_expected: Cell<bool>,
    kept: RefCell<Option<KeptPrediction>>,
}

/// The passes of the latest prediction, the one for the negative prompt first, with all that their gradients need.
struct KeptPrediction {
    x: Latents,
    timestep: f32,
    passes: Vec<KeptPass>,
}

impl GuidedUnet<'_> {
    /// The same network, computing in another precision.
    pub fn cast(&self, dtype: FloatDType) -> Self {
        Self { conditioning: self.conditioning.cast(dtype), gradient: GradientState::default(), ..*self }
    }

    /// The prediction for the negative prompt, if needed, and the one for the prompt. If AND composes several
    /// prompts, the latter is `uncond + sum of w_i (cond_i - uncond)` (Liu et al., 2022).
    fn predictions(
        &self,
        x: &Latents,
        timestep: f32,
        needs_uncond: bool,
    ) -> Result<(Option<Latents>, Latents), EngineError> {
        let Self { conditioning: Conditioning { cond, uncond }, step, .. } = self;
        let texts =
            uncond.iter().filter(|_| needs_uncond).chain(cond).map(|part| part.at(step.get()).clone());
        let mut predictions = self.predict_each(x, timestep, &texts.collect::<Vec<_>>())?;
        if !needs_uncond {
            return Ok((None, predictions.swap_remove(0)));
        }
        let conds = predictions.split_off(1);
        let uncond = predictions.swap_remove(0);
        if let (true, [cond]) = (self.conditioning.is_simple(), &conds[..]) {
            return Ok((Some(uncond), cond.clone()));
        }
        let composed = cond.iter().zip(&conds).fold(uncond.clone(), |sum, (part, cond)| {
            sum.add_scaled(part.weight, &cond.zip_with(&uncond, |cond, uncond| cond - uncond))
        });
        Ok((Some(uncond), composed))
    }

    /// The prediction for each text.
    fn predict_each(
        &self,
        x: &Latents,
        timestep: f32,
        texts: &[Tensor<3>],
    ) -> Result<Vec<Latents>, EngineError> {
        let Self { pipeline, stop, .. } = *self;
        let for_batch = |text: &Tensor<3>| text.clone().repeat_dim(0, x.batch());
        self.gradient.kept.take();
        // One small picture: for others memory matters more.
        let [batch, _, height, width] = x.shape;
        let is_kept = self.gradient.is_expected.take()
            && pipeline.is_on_cpu()
            && batch == 1
            && height * width <= MAX_KEPT_AREA;
        let has_equal_lengths = texts.iter().all(|text| text.dims() == texts[0].dims());
        self.memory.retry_in_low_memory(|mode| {
            let pass = |text: &Tensor<3>| pipeline.predict(x, timestep, &for_batch(text), mode, stop);
            match texts {
                _ if is_kept && mode == MemoryMode::Full => {
                    let passes = texts.par_iter().map(|text| pipeline.kept_pass(x, timestep, text, stop));
                    let passes: Vec<KeptPass> = passes.collect::<Result<_, _>>()?;
                    let predictions =
                        passes.iter().map(|pass| Ok(Latents::new(x.shape, values(pass.output())?)));
                    let predictions = predictions.collect();
                    self.gradient.kept.replace(Some(KeptPrediction { x: x.clone(), timestep, passes }));
                    predictions
                }
                [text] => Ok(vec![pass(text)?]),
                // Parallel passes synchronise once, one pass of all texts at every kernel.
                _ if mode == MemoryMode::Full && pipeline.is_on_cpu() => texts.par_iter().map(pass).collect(),
                _ if has_equal_lengths => {
                    let [batch, channels, height, width] = x.shape;
                    let count = texts.len();
                    let repeated =
                        Latents::new([count * batch, channels, height, width], x.data.repeat(count));
                    let texts = Tensor::cat(texts.iter().map(for_batch).collect(), 0);
                    let predictions = pipeline.predict(&repeated, timestep, &texts, mode, stop)?.data;
                    let predictions = predictions.chunks_exact(x.data.len());
                    Ok(predictions.map(|eps| Latents::new(x.shape, eps.to_vec())).collect())
                }
                _ => texts.iter().map(pass).collect(),
            }
        })
    }
}

impl EpsModel for GuidedUnet<'_> {
    fn eps(&mut self, x: &Latents, timestep: f32) -> Result<Latents, EngineError> {
        Ok(self.predictions(x, timestep, !self.conditioning.is_simple())?.1)
    }

    fn eps_pair(&mut self, x: &Latents, timestep: f32) -> Result<(Latents, Latents), EngineError> {
        let (uncond, cond) = self.predictions(x, timestep, true)?;
        Ok((uncond.expect("the negative prompt is read whenever guidance is not 1"), cond))
    }
}

impl EpsGradient for GuidedUnet<'_> {
    fn expect_gradient(&mut self) {
        self.gradient.is_expected.set(true);
    }

    fn eps_gradient(
        &mut self,
        x: &Latents,
        timestep: f32,
        cfg_scale: f32,
        gradient: &Latents,
    ) -> Result<Latents, EngineError> {
        let Conditioning { cond, uncond } = &self.conditioning;
        // The guided prediction is a weighted sum of those for the negative prompt and for each part of the prompt.
        let parts_weight: f32 = cond.iter().map(|part| part.weight).sum();
        let uncond = uncond.iter().map(|part| (1.0 - cfg_scale * parts_weight, part));
        let cond = cond.iter().map(|part| (cfg_scale * part.weight, part));
        let mut sum = Latents::zeros(x.shape);
        let kept = self.gradient.kept.take().filter(|kept| kept.x == *x && kept.timestep == timestep);
        if let Some(KeptPrediction { passes, .. }) = kept {
            let weights: Vec<f32> = uncond.chain(cond).map(|(weight, _)| weight).collect();
            assert_eq!(passes.len(), weights.len(), "a pass for each text");
            let pipeline = self.pipeline;
            let passes = passes.into_par_iter().zip(weights).filter(|(_, weight)| *weight != 0.0);
            let gradients = passes.map(|(pass, weight)| {
                let gradient = pass.input_gradient(pipeline.upload(gradient, FloatDType::F32));
                Ok((weight, Latents::new(x.shape, values(gradient)?)))
            });
            for (weight, gradient) in gradients.collect::<Result<Vec<_>, EngineError>>()? {
                sum = sum.add_scaled(weight, &gradient);
            }
            return Ok(sum);
        }
        for (weight, part) in uncond.chain(cond).filter(|(weight, _)| *weight != 0.0) {
            let text = part.at(self.step.get()).clone();
            sum = sum
                .add_scaled(weight, &self.pipeline.unet_gradient(x, timestep, &text, gradient, self.stop)?);
        }
        Ok(sum)
    }
}

impl Pipeline {
    /// One pass of the UNet in f32, for a gradient to come.
    fn kept_pass(
        &self,
        x: &Latents,
        timestep: f32,
        text: &Tensor<3>,
        stop: &StopFlag,
    ) -> Result<KeptPass, EngineError> {
        let text = text.clone().cast(FloatDType::F32);
        let context = Context { text: &text, observer: None };
        let x = self.upload(x, FloatDType::F32);
        self.model.unet.kept_forward(x, timestep, context, &|| stop.is_raised())
    }

    /// The gradient with respect to `x` of a function of the UNet's prediction, whose gradient with respect to that is
    /// `gradient`; in f32, picture by picture.
    fn unet_gradient(
        &self,
        x: &Latents,
        timestep: f32,
        text: &Tensor<3>,
        gradient: &Latents,
        stop: &StopFlag,
    ) -> Result<Latents, EngineError> {
        let [batch, channels, height, width] = x.shape;
        let text = text.clone().cast(FloatDType::F32);
        let context = Context { text: &text, observer: None };
        let mut data = Vec::with_capacity(x.data.len());
        for index in 0..batch {
            let [x, gradient] = [x, gradient].map(|latents| {
                let picture = Latents::new([1, channels, height, width], latents.picture(index).to_vec());
                self.upload(&picture, FloatDType::F32)
            });
            let unet = &self.model.unet;
            data.extend(values(unet.input_gradient(x, timestep, context, gradient, &|| stop.is_raised())?)?);
        }
        Ok(Latents::new(x.shape, data))
    }

    /// One pass of the UNet in the precision of the context, or in low-memory mode one pass per picture.
    pub(crate) fn predict(
        &self,
        x: &Latents,
        timestep: f32,
        context: &Tensor<3>,
        mode: MemoryMode,
        stop: &StopFlag,
    ) -> Result<Latents, EngineError> {
        if mode == MemoryMode::LowMemory {
            return with_sliced_attention(|| self.predict_batches(1, x, timestep, context, stop));
        }
        self.predict_batches(x.batch(), x, timestep, context, stop)
    }

    fn predict_batches(
        &self,
        batch: usize,
        x: &Latents,
        timestep: f32,
        context: &Tensor<3>,
        stop: &StopFlag,
    ) -> Result<Latents, EngineError> {
        let [_, channels, height, width] = x.shape;
        let mut eps = Vec::with_capacity(x.data.len());
        for (index, part) in x.data.chunks(batch * channels * height * width).enumerate() {
            let part = Latents::new([batch, channels, height, width], part.to_vec());
            let context = context.clone().narrow(0, index * batch, batch);
            let part = self.upload(&part, context.dtype().into());
            let unet = &self.model.unet;
            let context = Context { text: &context, observer: None };
            eps.extend(values(unet.forward(part, timestep, context, &|| stop.is_raised())?)?);
        }
        // A GPU that is out of memory may return zeros without an error (wgpu #9545).
        if self.info.device.is_gpu && eps.iter().all(|&value| value == 0.0) {
            return Err(EngineError::OutOfMemory("the UNet returned zeros".into()));
        }
        Ok(Latents::new(x.shape, eps))
    }

    fn is_on_cpu(&self) -> bool {
        cpu::is_cpu(&self.device)
    }
}
