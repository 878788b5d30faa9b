//! What a run reports while it goes on.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::diffusion::{LatentRgb, Latents, RecordedStep, StepView, Trajectory};
use crate::images::Pixels;
use crate::pipeline::Timings;

/// One step, as it can be watched. The previews are at latent size, one a picture of the batch.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// Index into the whole schedule, `start_step` for the first one of image to image.
    pub step: usize,
    /// Noise level at which this step's prediction was made.
    pub sigma: f32,
    pub predicted: Vec<Arc<Pixels>>,
    pub noisy: Vec<Arc<Pixels>>,
    pub noise: Vec<Arc<Pixels>>,
    /// Empty at a guidance scale of 1.
    pub guidance: Vec<Arc<Pixels>>,
    /// Since the job started.
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
    /// `sigmas` has `steps + 1` entries, of which those from `start_step` on are run.
    Started {
        sigmas: &'a [f32],
        start_step: usize,
    },
    Step(Frame),
}

/// Reports each step of a run once, with previews, and keeps the time.
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

    /// Reports the steps that are recorded already.
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

    /// The time that everything took until now.
    pub fn finish(self) -> Timings {
        Timings { total_secs: self.started.elapsed().as_secs_f64(), ..self.timings }
    }
}
