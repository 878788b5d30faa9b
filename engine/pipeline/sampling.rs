//! From a recipe to latents: the prompts are read, and the sampler walks.

use std::borrow::Cow;
use std::cell::Cell;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::FloatDType;

use crate::diffusion::{
    Cfg, F32Fallback, Film, Latents, NoiseSchedule, RecordedStep, Recorder, Step, StepView, sample,
};
use crate::images::{Array, Pixels};
use crate::memory::low_memory::RunContext;
use crate::pipeline::conditioning::PromptConditioning;
use crate::pipeline::guided_unet::GuidedUnet;
use crate::pipeline::resume::{ResumePoint, ResumedNoise};
use crate::pipeline::{Frame, StopFlag};
use crate::pipeline::{GenerateError, Progress, Timings};
use crate::pipeline::{Pipeline, to_array};
use crate::recipe::{Branch, Recipe, RecipeError};

/// A run on its way.
pub(crate) struct Walk<'a> {
    pipeline: &'a Pipeline,
    care: &'a RunContext,
    stop: &'a StopFlag,
    observe: &'a mut dyn FnMut(Progress<'_>),
    /// Steps of the schedule before this one have been told.
    untold: usize,
    pub started: Instant,
    pub timings: Timings,
}

/// Where it led.
pub(crate) struct Walked {
    pub latents: Latents,
    /// `[1, tokens, width]`
    pub cond: Array,
    /// Absent at a guidance scale of 1.
    pub uncond: Option<Array>,
}

impl<'a> Walk<'a> {
    pub fn new(
        pipeline: &'a Pipeline,
        care: &'a RunContext,
        stop: &'a StopFlag,
        observe: &'a mut dyn FnMut(Progress<'_>),
    ) -> Self {
        let (started, timings) = (Instant::now(), Timings::default());
        Self { pipeline, care, stop, observe, untold: 0, started, timings }
    }

    /// Walks what is not on the film yet, to the end or to the step `until`, and puts it there.
    pub fn walk(
        &mut self,
        recipe: &Recipe,
        film: &mut Film,
        until: Option<usize>,
    ) -> Result<Walked, GenerateError> {
        self.find_film(recipe, film)?;
        let trained = recipe.noise_schedule(&self.pipeline.model.config.scheduler)?;
        let leg = ResumePoint::of(recipe, film, &trained)?;
        let shape = self.pipeline.latent_shape(recipe);
        let x = film.step(leg.begin).map(|step| step.x.clone());
        if let Some(x) = &x
            && x.shape != shape
        {
            return Err(GenerateError::OtherLatents { found: x.shape, expected: shape });
        }
        // From here on the film is of this run, whatever ends it.
        if film.recipe != *recipe {
            film.steps.truncate(recipe.branch.as_ref().map_or(0, |it| it.step as usize - film.start_step));
            film.recipe = recipe.clone();
        }
        film.sigmas = sigmas_of(recipe, film, &leg, &trained)?;
        (self.observe)(Progress::Started { sigmas: &film.sigmas, start_step: film.start_step });

        let texts_started = Instant::now();
        let texts = self.pipeline.condition(recipe, self.care)?;
        let first = |voice: &PromptConditioning| to_array(voice.at(leg.begin));
        let (cond, uncond) = (first(&texts.cond[0])?, texts.uncond.as_ref().map(first).transpose()?);
        self.timings.text_secs += texts_started.elapsed().as_secs_f64();

        let encode_started = Instant::now();
        let x = match x {
            Some(x) => x,
            None => self.pipeline.start(recipe, leg.sigmas[0], self.care, self.stop)?,
        };
        self.timings.encode_secs += encode_started.elapsed().as_secs_f64();

        // The steps before the leg stay as they are, and those of it are retold.
        let past = film.steps.split_off(leg.begin - film.start_step);
        for (index, step) in film.steps.iter().enumerate() {
            self.tell(film.start_step + index, step);
        }
        let recorder = Recorder::new(past);
        let mut noise = ResumedNoise::new(recipe, &leg, shape, &recorder);

        let (pipeline, care, stop) = (self.pipeline, self.care, self.stop);
        let now = Cell::new(leg.begin);
        let exact = GuidedUnet { pipeline, stop, care, texts, step: &now };
        let mut model = Cfg {
            model: F32Fallback {
                model: exact.cast(pipeline.unet_dtype),
                exact: (pipeline.unet_dtype != FloatDType::F32).then_some(exact),
                tell: &|text| care.note(text),
            },
            prediction: pipeline.model.config.prediction(),
            cfg_scale: recipe.guidance.cfg_scale,
            schedule: recipe.schedule,
            noise: &trained,
            difference: &recorder.guidance,
        };
        let mut step_started = Instant::now();
        let observe = &mut |step: Step<'_>| {
            let seen = Instant::now();
            recorder.see(&step, |recorded| self.tell(leg.begin + step.index, recorded));
            self.timings.film_secs += seen.elapsed().as_secs_f64();
            self.timings.step_secs.push(step_started.elapsed().as_secs_f64());
            step_started = Instant::now();
            now.set(leg.begin + step.index + 1);
            let is_there = until == Some(leg.begin + step.index);
            if is_there || stop.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let mut denoiser = recorder.denoiser(&mut model);
        let options = &recipe.sampler_options;
        let walked = sample(recipe.sampler, options, &mut denoiser, x, &leg.sigmas, &mut noise, observe);
        drop((denoiser, noise));
        film.steps.extend(recorder.into_steps());
        if recipe.sampler.is_adaptive() {
            film.sigmas.truncate(film.start_step);
            film.sigmas.extend(film.steps.iter().map(|step| step.sigma).chain([0.0]));
        }
        Ok(Walked { latents: walked?, cond, uncond })
    }

    /// Sees to it that the film is of this run, or has the steps of the one that it leaves.
    fn find_film(&mut self, recipe: &Recipe, film: &mut Film) -> Result<(), GenerateError> {
        let Some(Branch { from, step }) = &recipe.branch else {
            if film.recipe != *recipe {
                film.steps.clear();
            }
            film.start_step = recipe.start_step() as usize;
            return Ok(());
        };
        let step = *step as usize;
        let has_step = film.step(step).is_some();
        if has_step && (film.recipe == *recipe || film.recipe == **from) {
            return Ok(());
        }
        if film.recipe == *recipe {
            // It did not come to where it leaves the other, so all it has is the other's.
            film.recipe.clone_from(from);
        }
        match self.walk(from, film, Some(step)) {
            Err(GenerateError::Stopped) if !self.stop.is_raised() => Ok(()),
            Err(error) => Err(error),
            // Such as a sampler that chooses its own number of steps.
            Ok(_) => Err(GenerateError::EndedBefore { step, steps: film.start_step + film.steps.len() }),
        }
    }

    fn tell(&mut self, index: usize, step: &RecordedStep) {
        if index < self.untold {
            return;
        }
        self.untold = index + 1;
        let elapsed = self.started.elapsed();
        let preview = |latents: Cow<'_, Latents>| {
            (0..latents.batch())
                .map(|i| Arc::new(Pixels::preview(&self.pipeline.latent_rgb, &latents, i)))
                .collect()
        };
        let [predicted, noisy, noise, guidance] =
            StepView::ALL.map(|view| view.latents(step).map_or_else(Vec::new, preview));
        let frame = Frame { step: index, sigma: step.sigma, predicted, noisy, noise, guidance, elapsed };
        (self.observe)(Progress::Step(frame));
        if self.timings.first_preview_secs == 0.0 {
            self.timings.first_preview_secs = self.started.elapsed().as_secs_f64();
        }
    }
}

/// The whole schedule: what was visited before the leg, and what is before it.
fn sigmas_of(
    recipe: &Recipe,
    film: &Film,
    leg: &ResumePoint,
    trained: &NoiseSchedule,
) -> Result<Vec<f32>, RecipeError> {
    let mut sigmas = recipe.sigmas(trained)?;
    sigmas.truncate(film.start_step);
    sigmas.extend(film.steps.iter().take(leg.begin - film.start_step).map(|step| step.sigma));
    sigmas.extend(recipe.sampler.visited_sigmas(&leg.sigmas));
    Ok(sigmas)
}
