//! The trajectory of a run: every step, recorded to show it and to continue from it.
//!
//! A sampler is a function of its noise and of the model's predictions, and the trajectory has all predictions. So
//! the state of a sampler is never saved: to continue from a step, the sampler takes the earlier steps again with
//! recorded predictions in place of the model, which is fast and restores its history and its noise.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::mem;

use super::{Denoiser, Latents, Step};

/// The steps of a run that were sampled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trajectory {
    /// The whole schedule, `steps + 1` entries.
    pub sigmas: Vec<f32>,
    /// The index of the first recorded step in the schedule: above 0 for image to image.
    pub start_step: usize,
    /// From `start_step` on.
    pub steps: Vec<RecordedStep>,
}

/// A step with all predictions of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedStep {
    pub sigma: f32,
    /// Noisy latents entering the step.
    pub x: Latents,
    /// Predicted x0: the first prediction of the step.
    pub denoised: Latents,
    /// Predicted x0 with the prompt minus the one without it; `None` at a guidance scale of 1, and for steps that
    /// were read from a trace file.
    pub guidance: Option<Latents>,
    /// Further predictions, of samplers with several model calls per step.
    pub later: Vec<Latents>,
}

impl Trajectory {
    /// The step with this index in the schedule.
    pub fn step(&self, step: usize) -> Option<&RecordedStep> {
        self.steps.get(step.checked_sub(self.start_step)?)
    }

    /// The index of the step after the last recorded one.
    pub fn end_step(&self) -> usize {
        self.start_step + self.steps.len()
    }

    /// Removes and returns the steps from this index of the schedule on.
    pub fn split_off(&mut self, step: usize) -> Vec<RecordedStep> {
        self.steps.split_off(step - self.start_step)
    }

    /// Replaces the schedule by the noise levels that an adaptive sampler visited.
    pub fn use_recorded_sigmas(&mut self) {
        self.sigmas.truncate(self.start_step);
        self.sigmas.extend(self.steps.iter().map(|step| step.sigma).chain([0.0]));
    }

    /// Bytes of the recorded latents.
    pub fn bytes(&self) -> usize {
        self.steps.iter().map(RecordedStep::bytes).sum()
    }
}

impl RecordedStep {
    /// Bytes of the latents.
    pub fn bytes(&self) -> usize {
        let latents = [&self.x, &self.denoised].into_iter().chain(&self.guidance).chain(&self.later);
        latents.map(|latents| size_of_val(latents.data.as_slice())).sum()
    }
}

/// Records the steps of a sampler, and replays predictions that are recorded already.
///
/// The sampler gets [`denoiser`](Self::denoiser) as its model, and an observer that calls
/// [`record`](Self::record).
#[derive(Default)]
pub struct Recorder {
    /// Predictions that are still to be replayed, each with its guidance difference.
    replayed: RefCell<VecDeque<(Latents, Option<Latents>)>>,
    /// Where [`Cfg`](super::Cfg) stores the guidance difference of the latest prediction.
    pub guidance: Cell<Option<Latents>>,
    /// Predictions since the last step was recorded.
    predictions: RefCell<Vec<Latents>>,
    steps: RefCell<Vec<RecordedStep>>,
}

impl Recorder {
    /// Replays the predictions of these steps first.
    pub fn new(replayed: Vec<RecordedStep>) -> Self {
        let mut predictions = VecDeque::new();
        for step in replayed {
            predictions.push_back((step.denoised, step.guidance));
            predictions.extend(step.later.into_iter().map(|denoised| (denoised, None)));
        }
        Self { replayed: RefCell::new(predictions), ..Self::default() }
    }

    /// The number of steps recorded so far.
    pub fn step_count(&self) -> usize {
        self.steps.borrow().len()
    }

    /// The recorded predictions, then those of `model`.
    pub fn denoiser(&self, model: &mut dyn Denoiser) -> impl Denoiser {
        |x: &Latents, sigma: f32| {
            let replayed = self.replayed.borrow_mut().pop_front();
            let denoised = match replayed {
                Some((denoised, guidance)) => {
                    self.guidance.set(guidance);
                    denoised
                }
                None => model.denoise(x, sigma)?,
            };
            self.predictions.borrow_mut().push(denoised.clone());
            Ok(denoised)
        }
    }

    /// Records a step and passes it to `show`. Call it once per step, after the first prediction, as samplers call
    /// their observer.
    pub fn record(&self, step: &Step<'_>, show: impl FnOnce(&RecordedStep)) {
        let denoised =
            self.predictions.borrow_mut().pop().expect("a step is recorded after its first prediction");
        self.end_step();
        let (sigma, x, guidance) = (step.sigma, step.x.clone(), self.guidance.take());
        let step = RecordedStep { sigma, x, denoised, guidance, later: Vec::new() };
        show(&step);
        self.steps.borrow_mut().push(step);
    }

    /// The recorded steps, also if sampling ended early.
    pub fn into_steps(self) -> Vec<RecordedStep> {
        self.end_step();
        self.steps.into_inner()
    }

    /// Assigns the predictions so far to the previous step.
    fn end_step(&self) {
        let later = mem::take(&mut *self.predictions.borrow_mut());
        if let Some(step) = self.steps.borrow_mut().last_mut() {
            step.later = later;
        }
    }
}
