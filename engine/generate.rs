//! The main flow: a recipe becomes conditioning, the conditioning guides sampling, and the latents
//! that come out are decoded.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use burn::tensor::FloatDType;

use crate::concepts::ConceptRef;
use crate::cpu;
use crate::diffusion::{Cfg, Halt, Latents, NoiseStreams, Rescued, Step, sample};
use crate::guided_unet::{GuidedUnet, repeat_pair};
use crate::images::{Array, ImageError, Pixels};
pub use crate::pipeline::Pipeline;
use crate::pipeline::to_array;
use crate::recipe::{Recipe, RecipeError};
use crate::session::{Frame, StopFlag};
use crate::stages::to_pictures;

/// What a run tells while it goes on.
pub enum Progress<'a> {
    /// `sigmas` has `steps + 1` entries, of which those from `start_step` on are run.
    Started {
        sigmas: &'a [f32],
        start_step: usize,
    },
    Step(Frame),
}

/// A finished run, whole.
pub struct Generated {
    pub pictures: Vec<Arc<Pixels>>,
    pub film: Film,
    /// What was decoded, scaled as the UNet sees it.
    pub latents: Latents,
    /// `[batch, 3, height, width]` in 0..1, before it was rounded to 8 bits.
    pub image: Array,
    /// `[1, tokens, width]`
    pub cond: Array,
    /// Absent at a guidance scale of 1.
    pub uncond: Option<Array>,
    /// Those that the prompts used.
    pub concepts: Vec<ConceptRef>,
    pub timings: Timings,
    /// Sentences about what went another way than it was asked to.
    pub notes: Vec<String>,
}

/// Every step of a run, to be looked at again.
#[derive(Clone, Debug, Default)]
pub struct Film {
    /// The whole schedule, `steps + 1` entries.
    pub sigmas: Vec<f32>,
    pub start_step: usize,
    /// From `start_step` on.
    pub steps: Vec<RecordedStep>,
}

#[derive(Clone, Debug)]
pub struct RecordedStep {
    /// Noisy latents entering the step.
    pub x: Latents,
    /// Predicted x0.
    pub denoised: Latents,
}

/// Where the time went, seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timings {
    pub text_secs: f64,
    pub encode_secs: f64,
    pub step_secs: Vec<f64>,
    pub decode_secs: f64,
    pub first_preview_secs: f64,
    pub total_secs: f64,
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    #[error(transparent)]
    StartImage(#[from] ImageError),
    #[error(
        "A picture of {width} x {height} needs about {} even in small pieces, and {} of memory are free. Choose a smaller size, or close other programs",
        gigabytes(*.needed),
        gigabytes(*.free)
    )]
    TooLarge { width: u32, height: u32, needed: u64, free: u64 },
    #[error(
        "Memory ran out even for small pieces ({0}). Choose a smaller size, close other programs, or use the CPU"
    )]
    OutOfMemory(String),
    #[error("Stopped")]
    Stopped,
    #[error("{0}")]
    Device(String),
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

impl From<Halt> for GenerateError {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Stopped => Self::Stopped,
            Halt::OutOfMemory(words) => Self::OutOfMemory(words),
            Halt::Failed(text) => Self::Device(text),
        }
    }
}

impl Pipeline {
    /// Makes the pictures of a recipe.
    pub fn generate(
        &self,
        recipe: &Recipe,
        stop: &StopFlag,
        observe: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Generated, GenerateError> {
        recipe.check()?;
        let care = self.care(recipe)?;
        cpu::join_workers();
        let started = Instant::now();
        let batch = recipe.batch as usize;
        let start_step = recipe.start_step() as usize;
        let sigmas = recipe.schedule.sigmas(recipe.steps as usize, &self.noise_schedule);
        observe(Progress::Started { sigmas: &sigmas, start_step });
        let mut timings = Timings::default();

        let guided = recipe.guidance.cfg_scale != 1.0;
        let prompts = [recipe.prompt.as_str(), recipe.negative_prompt.as_str()];
        let prompts = if guided { &prompts[..] } else { &prompts[..1] };
        let texts = self.read(prompts, &care)?;
        let cond = texts.clone().narrow(0, 0, 1);
        let uncond = guided.then(|| texts.narrow(0, 1, 1));
        let (cond_array, uncond_array) = (to_array(cond.clone())?, uncond.clone().map(to_array).transpose()?);
        timings.text_secs = started.elapsed().as_secs_f64();

        let mut streams = NoiseStreams::new(recipe.seed, batch);
        let x = self.start(recipe, &sigmas, &mut streams, &care, stop)?;
        timings.encode_secs = started.elapsed().as_secs_f64() - timings.text_secs;

        let exact = GuidedUnet {
            pipeline: self,
            stop,
            care: &care,
            pair: uncond.map(|uncond| repeat_pair(uncond, cond.clone(), batch)),
            cond: cond.repeat_dim(0, batch),
        };
        let mut denoiser = Cfg {
            model: Rescued {
                model: exact.cast(self.unet_dtype),
                exact: (self.unet_dtype != FloatDType::F32).then_some(exact),
                tell: &|text| care.note(text),
            },
            prediction: self.model.config.prediction(),
            cfg_scale: recipe.guidance.cfg_scale,
            schedule: recipe.schedule,
            noise: &self.noise_schedule,
        };
        let mut film = Film { sigmas: sigmas.clone(), start_step, steps: Vec::new() };
        let mut step_started = Instant::now();
        let latents = sample(
            recipe.sampler,
            &mut denoiser,
            x,
            &sigmas[start_step..],
            &mut streams,
            &mut |step: Step<'_>| {
                film.steps.push(RecordedStep { x: step.x.clone(), denoised: step.denoised.clone() });
                observe(Progress::Step(self.frame(&step, start_step, started.elapsed())));
                timings.step_secs.push(step_started.elapsed().as_secs_f64());
                step_started = Instant::now();
                if step.index == 0 {
                    timings.first_preview_secs = started.elapsed().as_secs_f64();
                }
                if stop.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        )?;

        let decode_started = Instant::now();
        let image = self.decode_with(&latents, &care, stop)?;
        timings.decode_secs = decode_started.elapsed().as_secs_f64();
        timings.total_secs = started.elapsed().as_secs_f64();
        let pictures = to_pictures(&image);
        let (cond, uncond, concepts) = (cond_array, uncond_array, self.concepts_in(prompts));
        let notes = care.into_notes();
        Ok(Generated { pictures, film, latents, image, cond, uncond, concepts, timings, notes })
    }

    /// The concepts that prompts use, each once.
    fn concepts_in(&self, prompts: &[&str]) -> Vec<ConceptRef> {
        let mut used: Vec<ConceptRef> = Vec::new();
        for splice in prompts.iter().flat_map(|prompt| self.tokenize(prompt).splices) {
            let concept = splice.concept.reference();
            if !used.contains(&concept) {
                used.push(concept);
            }
        }
        used
    }

    fn frame(&self, step: &Step<'_>, start_step: usize, elapsed: Duration) -> Frame {
        let previews = (0..step.x.batch()).map(|i| Arc::new(self.latent_rgb.preview(step.denoised, i)));
        Frame { step: start_step + step.index, sigma: step.sigma, predicted: previews.collect(), elapsed }
    }
}
