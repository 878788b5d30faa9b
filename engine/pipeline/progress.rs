//! What a run reports while it is sampled.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::diffusion::{LatentRgb, Latents, LossGuidance, RecordedStep, RecordedSteps, StepView, Trajectory};
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
    /// `None` for steps that no loss guides.
    pub losses: Option<FrameLosses>,
    /// Time since the job started.
    pub elapsed: Duration,
}

/// What guidance by a loss did in a step.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameLosses {
    /// As in [`LossGuidance::losses`]: of each guide, for each picture of the batch.
    pub values: Vec<Option<Vec<f32>>>,
    /// How strongly each place was moved, of latent size and grey, white where most; one per picture of the batch.
    pub strength: Vec<Arc<Pixels>>,
}

impl FrameLosses {
    fn new(LossGuidance { losses, gradient }: &LossGuidance) -> Self {
        let strength = (0..gradient.batch()).map(|picture| Arc::new(strength(gradient, picture))).collect();
        Self { values: losses.clone(), strength }
    }
}

/// The length of a gradient at each place, from black at 0 to white where it is longest.
fn strength(gradient: &Latents, picture: usize) -> Pixels {
    let [_, _, height, width] = gradient.shape;
    let mut squares = vec![0.0; height * width];
    for channel in gradient.picture(picture).chunks_exact(height * width) {
        squares.iter_mut().zip(channel).for_each(|(sum, value)| *sum += value * value);
    }
    let largest = squares.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    let grey: Vec<f32> = squares.iter().map(|square| (square / largest).sqrt()).collect();
    Pixels::from_unit_range(width as u32, height as u32, &grey.repeat(3))
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
    /// All steps so far, after each step that was sampled.
    Recorded(RecordedSteps<'a>),
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
        let losses = step.loss_guidance.as_ref().map(FrameLosses::new);
        let frame =
            Frame { step: index, sigma: step.sigma, predicted, noisy, noise, guidance, losses, elapsed };
        (self.observe)(Progress::Step(frame));
        if self.timings.first_preview_secs == 0.0 {
            self.timings.first_preview_secs = self.started.elapsed().as_secs_f64();
        }
    }

    /// Reports all steps so far.
    pub fn recorded(&mut self, steps: RecordedSteps<'_>) {
        (self.observe)(Progress::Recorded(steps));
    }

    /// The timings of the run, including the total until now.
    pub fn finish(self) -> Timings {
        Timings { total_secs: self.started.elapsed().as_secs_f64(), ..self.timings }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strength_of_a_gradient_is_its_length_over_the_channels() {
        // Of the second picture: (3, 4) has the length 5, (0, 2.5) half of it.
        let gradient =
            Latents::new([2, 2, 1, 3], vec![9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 3.0, 0.0, 0.0, 4.0, -2.5, 0.0]);
        assert_eq!(strength(&gradient, 1).rgb, [255, 255, 255, 128, 128, 128, 0, 0, 0]);
        assert_eq!(strength(&Latents::zeros([1, 4, 1, 1]), 0).rgb, [0; 3]);
    }
}
