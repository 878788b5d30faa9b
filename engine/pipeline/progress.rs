//! What a run reports while it is sampled.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::diffusion::{LatentRgb, Latents, RecordedStep, StepView, Trajectory};
use crate::images::Pixels;
use crate::pipeline::Timings;

/// One step with its previews, which are of latent size, one per picture of the batch.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// Index into the whole schedule; the first step of image to image is the start step.
    pub step: usize,
    /// Noise level at which this step's prediction was made.
    pub sigma: f32,
    pub predicted: Vec<Arc<Pixels>>,
    pub noisy: Vec<Arc<Pixels>>,
    pub noise: Vec<Arc<Pixels>>,
    /// Empty at a guidance scale of 1.
    pub guidance: Vec<Arc<Pixels>>,
    /// Time since the job started.
    pub elapsed: Duration,
}

impl Frame {
    pub fn preview(&self, view: StepView) -> &[Arc<Pixels>] {
        match view {
            StepView::Predicted => &self.predicted,
            StepView::NoisyLatents => &self.noisy,
            StepView::PredictedNoise => &self.noise,
            StepView::Guidance => &self.guidance,
        }
    }
}

/// What a run reports while it is sampled.
pub enum Progress<'a> {
    /// `sigmas` has `steps + 1` entries; those from `start_step` on are sampled.
    Started {
        sigmas: &'a [f32],
        start_step: usize,
    },
    Step(Frame),
}

/// Reports each step of a run once, with previews, and measures time.
pub(super) struct Reporter<'a> {
    latent_rgb: &'a LatentRgb,
    observe: &'a mut dyn FnMut(Progress<'_>),
    /// Steps of the schedule before this one have been reported.
    next_to_report: usize,
    started: Instant,
    pub timings: Timings,
}

impl<'a> Reporter<'a> {
    pub fn new(latent_rgb: &'a LatentRgb, observe: &'a mut dyn FnMut(Progress<'_>)) -> Self {
        let (started, timings) = (Instant::now(), Timings::default());
        Self { latent_rgb, observe, next_to_report: 0, started, timings }
    }

    /// Reports the schedule of a run.
    pub fn started(&mut self, Trajectory { sigmas, start_step, .. }: &Trajectory) {
        (self.observe)(Progress::Started { sigmas, start_step: *start_step });
    }

    /// Reports the steps of a trajectory.
    pub fn recorded_steps(&mut self, trajectory: &Trajectory) {
        for (index, step) in trajectory.steps.iter().enumerate() {
            self.step(trajectory.start_step + index, step);
        }
    }

    /// Reports a step, unless it was reported before.
    pub fn step(&mut self, index: usize, step: &RecordedStep) {
        if index < self.next_to_report {
            return;
        }
        self.next_to_report = index + 1;
        let elapsed = self.started.elapsed();
        let preview = |latents: Cow<'_, Latents>| {
            let batch = 0..latents.batch();
            batch.map(|i| Arc::new(Pixels::preview(self.latent_rgb, &latents, i))).collect()
        };
        let [predicted, noisy, noise, guidance] =
            StepView::ALL.map(|view| view.latents(step).map_or_else(Vec::new, preview));
        let frame = Frame { step: index, sigma: step.sigma, predicted, noisy, noise, guidance, elapsed };
        (self.observe)(Progress::Step(frame));
        if self.timings.first_preview_secs == 0.0 {
            self.timings.first_preview_secs = self.started.elapsed().as_secs_f64();
        }
    }

    /// The timings of the run, including the total until now.
    pub fn finish(self) -> Timings {
        Timings { total_secs: self.started.elapsed().as_secs_f64(), ..self.timings }
    }
}
