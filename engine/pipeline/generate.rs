//! The main flow: from a recipe to pictures.
//!
//! Read this page from top to bottom. Each step names the file to read next.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::FloatDType;

use crate::concepts::ConceptRef;
use crate::cpu;
use crate::diffusion::{
    Cfg, F32Fallback, Latents, RecordedSteps, Recorder, SampleArgs, Step, Trajectory, sample,
};
use crate::images::{Array, Pixels};
use crate::memory::low_memory::MemoryGuard;
use crate::pipeline::autoencoder::images_from_planes;
use crate::pipeline::guided_unet::{GradientState, GuidedUnet};
use crate::pipeline::loss_guidance::LossGuided;
use crate::pipeline::paint::{Held, HeldPaint, Painted, PaintedStep};
use crate::pipeline::progress::Reporter;
use crate::pipeline::resume::{ResumePoint, ResumedNoise};
use crate::pipeline::{GenerateError, Pipeline, Progress, StopFlag, to_array};
use crate::recipe::{Recipe, RecordedRun};

/// A finished run.
pub struct Generated {
    pub pictures: Vec<Arc<Pixels>>,
    /// The latents that were decoded, scaled as the UNet sees them.
    pub latents: Latents,
    /// `[batch, 3, height, width]` in 0..1, before rounding to 8 bits.
    pub image: Array,
    /// The prompt's output embeddings at the first step (of its first part, if AND composes several),
    /// `[1, tokens, width]`.
    pub cond: Array,
    /// The negative prompt's; `None` at a guidance scale of 1.
    pub uncond: Option<Array>,
    /// The concepts that the prompts used.
    pub concepts: Vec<ConceptRef>,
    pub timings: Timings,
    /// Notes for the user, such as an edit that was ignored.
    pub notes: Vec<String>,
}

/// Where the time went, in seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timings {
    pub text_secs: f64,
    pub encode_secs: f64,
    pub step_secs: Vec<f64>,
    pub decode_secs: f64,
    pub first_preview_secs: f64,
    /// The part of the step time that was spent on recording and previews.
    pub record_secs: f64,
    pub total_secs: f64,
}

/// Latents that were sampled, and the embeddings that conditioned the first step.
pub(super) struct Sampled {
    latents: Latents,
    cond: Array,
    uncond: Option<Array>,
}

impl Pipeline {
    /// Makes the pictures of a recipe.
    pub fn generate(
        &self,
        recipe: &Recipe,
        stop: &StopFlag,
        observe: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Generated, GenerateError> {
        self.generate_from(&mut RecordedRun::default(), recipe, stop, observe)
    }

    /// Makes the pictures of a recipe, sampling only the steps that `run` does not have yet.
    ///
    /// `run` holds the recorded steps of this recipe, as far as they go, or of the run that the recipe
    /// branches from. However sampling ends, `run` has every step that was made.
    pub fn generate_from(
        &self,
        run: &mut RecordedRun,
        recipe: &Recipe,
        stop: &StopFlag,
        observe: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Generated, GenerateError> {
        recipe.check()?;
        let memory = self.memory_guard(recipe)?; // memory/mode.rs
        cpu::join_workers();
        let mut reporter = Reporter::new(&self.latent_rgb, observe); // progress.rs
        let sampled = self.sample(run, recipe, None, &memory, stop, &mut reporter)?;
        let Sampled { latents, cond, uncond } = sampled;

        let decode_started = Instant::now();
        let image = self.decode_with(&latents, &memory, stop)?; // autoencoder.rs
        let decode_secs = decode_started.elapsed().as_secs_f64();
        let timings = Timings { decode_secs, ..reporter.finish() };
        if self.info.device.is_gpu {
            // Other programs may need what only the decoder did.
            self.device.memory_cleanup();
        }
        let pictures = images_from_planes(&image);
        let (concepts, notes) = (self.concepts_in(recipe), memory.take_notes());
        Ok(Generated { pictures, latents, image, cond, uncond, concepts, timings, notes })
    }

    /// Samples the steps that `run` does not have yet, to the end or up to and including the step `until`.
    pub(super) fn sample(
        &self,
        run: &mut RecordedRun,
        recipe: &Recipe,
        until: Option<usize>,
        memory: &MemoryGuard,
        stop: &StopFlag,
        reporter: &mut Reporter<'_>,
    ) -> Result<Sampled, GenerateError> {
        // What is sampled already. A branch needs the steps of its parent, which may have to be sampled.
        if let Some((parent, step)) = run.missing_parent(recipe) {
            self.sample_parent(run, parent, step, memory, stop, reporter)?;
        }
        let unpainted = self.unpainted_run(run, recipe, memory, stop)?; // paint.rs
        let schedule = recipe.noise_schedule(&self.model.config.scheduler)?; // diffusion/sigmas/
        let resume = ResumePoint::find(recipe, &run.trajectory, &schedule)?; // resume.rs
        let shape = self.latent_shape(recipe);
        let known_x = run.trajectory.step(resume.step).map(|step| step.x.clone());
        if let Some(x) = &known_x
            && x.shape != shape
        {
            return Err(GenerateError::OtherLatents { found: x.shape, expected: shape });
        }
        // The step that was painted on: the parent's, or that of a branch that is resumed, which has the paint already.
        let painted_branch = recipe.branch.as_ref().filter(|branch| branch.paint.is_some());
        let branch_step =
            painted_branch.and_then(|branch| run.trajectory.step(branch.step as usize).cloned());
        let is_resumed = run.recipe == *recipe;
        run.start(recipe);
        run.trajectory.sigmas = resume.all_sigmas(recipe, &run.trajectory, &schedule)?;
        reporter.started(&run.trajectory);

        // The prompts as the UNet reads them, and the latents that sampling starts from.
        let text_started = Instant::now();
        let conditioning = self.encode_prompts(recipe, memory)?; // conditioning.rs
        let cond = to_array(conditioning.cond[0].at(resume.step).clone())?;
        let uncond = conditioning.uncond.as_ref().map(|uncond| to_array(uncond.at(resume.step).clone()));
        let uncond = uncond.transpose()?;
        reporter.timings.text_secs += text_started.elapsed().as_secs_f64();
        let losses = self.prepare_losses(recipe, memory)?; // loss_guidance.rs
        let encode_started = Instant::now();
        let painted_step = match painted_branch.and_then(|branch| branch.paint.as_ref()).zip(branch_step) {
            Some((_, step)) if is_resumed => Some(PaintedStep { x: step.x, x0: step.denoised }),
            Some((paint, step)) => Some(self.paint(paint, &step, recipe, memory, stop)?), // paint.rs
            None => None,
        };
        let x = match known_x {
            Some(x) => x,
            None => self.initial_latents(recipe, resume.sigmas[0], memory, stop)?, // autoencoder.rs
        };
        reporter.timings.encode_secs += encode_started.elapsed().as_secs_f64();

        // Recorded steps from the resume point on are replayed: the sampler takes them again, which restores
        // its history and its noise, while the recorder replaces the model.
        let replayed = run.trajectory.split_off(resume.step);
        reporter.recorded_steps(&run.trajectory);
        let recorder = Recorder::new(replayed); // diffusion/trajectory.rs
        let mut noise = ResumedNoise::new(recipe, &resume, shape, &recorder);
        let current_step = Cell::new(resume.step);
        let unet = GuidedUnet {
            pipeline: self,
            stop,
            memory,
            conditioning,
            step: &current_step,
            gradient: GradientState::default(),
        };
        let guided = Cfg {
            model: F32Fallback {
                model: unet.cast(self.unet_dtype),
                full_precision: (self.unet_dtype != FloatDType::F32).then_some(unet),
                on_fallback: &|text| memory.note(text),
            },
            prediction: self.model.config.prediction(),
            cfg_scale: recipe.guidance.cfg_scale,
            schedule: recipe.schedule,
            noise: &schedule,
            difference: &recorder.guidance,
        };
        let guided = LossGuided {
            model: guided,
            pipeline: self,
            recipe,
            losses,
            sigmas: &run.trajectory.sigmas,
            step: &current_step,
            memory,
            stop,
            guidance: &recorder.loss_guidance,
        };
        let (painted, held) = match painted_branch.zip(painted_step) {
            Some((branch, PaintedStep { x, x0 })) => {
                let (steps, factor) = (run.trajectory.sigmas.len() - 1, self.info.vae_factor as usize);
                let unpainted = unpainted.map(|mut run| run.split_off(resume.step)).unwrap_or_default();
                (Some((branch.step as usize, x)), HeldPaint::new(branch, x0, steps, factor, unpainted))
            }
            None => (None, None),
        };
        let (step, predictions) = (&current_step, &Cell::new(0));
        let mut model = Held { model: guided, step, predictions, paint: held };

        // Sampling: diffusion/samplers/.
        let mut step_started = Instant::now();
        let observe = &mut |step: Step<'_>| {
            let index = resume.step + step.index;
            let record_started = Instant::now();
            recorder.record(&step, |recorded| reporter.step(index, recorded));
            let Trajectory { start_step, steps, .. } = &run.trajectory;
            reporter.recorded(RecordedSteps { start_step: *start_step, parts: [steps, &recorder.steps()] });
            reporter.timings.record_secs += record_started.elapsed().as_secs_f64();
            reporter.timings.step_secs.push(step_started.elapsed().as_secs_f64());
            step_started = Instant::now();
            current_step.set(index + 1);
            if until == Some(index) || stop.is_raised() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let mut denoiser = Painted { model: recorder.denoiser(&mut model), step, predictions, painted };
        let args = SampleArgs {
            sampler: recipe.sampler,
            options: recipe.sampler_options,
            model: &mut denoiser,
            sigmas: &resume.sigmas,
            noise: &mut noise,
            observe,
        };
        let latents = sample(args, x);
        drop((denoiser, noise));
        run.trajectory.steps.extend(recorder.into_steps());
        if recipe.sampler.is_adaptive() {
            run.trajectory.use_recorded_sigmas();
        }
        Ok(Sampled { latents: latents?, cond, uncond })
    }

    /// Samples the parent of a branch up to the branch point.
    fn sample_parent(
        &self,
        run: &mut RecordedRun,
        parent: &Recipe,
        step: usize,
        memory: &MemoryGuard,
        stop: &StopFlag,
        reporter: &mut Reporter<'_>,
    ) -> Result<(), GenerateError> {
        match self.sample(run, parent, Some(step), memory, stop, reporter) {
            // It was stopped by `until`.
            Err(GenerateError::Stopped) if !stop.is_raised() => Ok(()),
            Err(error) => Err(error),
            // A sampler that chooses its own number of steps may finish before that step.
            Ok(_) => Err(GenerateError::EndedBefore { step, steps: run.trajectory.end_step() }),
        }
    }
}
