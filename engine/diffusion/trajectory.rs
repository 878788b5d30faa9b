//! The trajectory of a run: every step, recorded to show it and to continue from it.
//!
//! A sampler is a function of its noise and of the model's predictions, and the trajectory has all predictions. So
//! the state of a sampler is never saved: to continue from a step, the sampler takes the earlier steps again with
//! recorded predictions in place of the model, which is fast and restores its history and its noise.

use std::borrow::Cow;
use std::cell::{Cell, Ref, RefCell};
use std::collections::VecDeque;
use std::mem;

use super::{Denoiser, Latents, Step};
use crate::error::EngineError;

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
    /// Predicted x0: the first prediction of the step, after guidance by a loss.
    pub denoised: Latents,
    /// Where guidance by a loss moved `x`; `None` for steps that no loss guides.
    pub loss_guidance: Option<LossGuidance>,
    /// Predicted x0 with the prompt minus the one without it; `None` at a guidance scale of 1, and for steps that
    /// were read from a trace file.
    pub guidance: Option<Latents>,
    /// Further predictions, of samplers with several model calls per step.
    pub later: Vec<Latents>,
}

/// What guidance by a loss did in a step.
#[derive(Clone, Debug, PartialEq)]
pub struct LossGuidance {
    /// The value of each loss for each picture of the batch, without its scale; `None` for a loss that does not guide
    /// this step.
    pub losses: Vec<Option<Vec<f32>>>,
    /// The gradient of the sum of all scaled losses with respect to `x`.
    pub gradient: Latents,
}

impl LossGuidance {
    /// Moves noisy latents, or the prediction made from them with the noise kept, down the gradient: by
    /// `gradient * sigma^2`, as in fast.ai's lesson.
    pub fn apply(&self, latents: Latents, sigma: f32) -> Latents {
        latents.add_scaled(-sigma * sigma, &self.gradient)
    }
}

/// The steps of a run so far, from the start step on.
#[derive(Clone, Copy)]
pub struct RecordedSteps<'a> {
    pub start_step: usize,
    /// In two parts: those that the run resumes from, and those that are being sampled.
    pub parts: [&'a [RecordedStep]; 2],
}

impl<'a> RecordedSteps<'a> {
    /// Each step with its index in the schedule.
    pub fn iter(self) -> impl Iterator<Item = (usize, &'a RecordedStep)> {
        (self.start_step..).zip(self.parts.into_iter().flatten())
    }
}

impl Trajectory {
    /// The recorded steps.
    pub fn recorded_steps(&self) -> RecordedSteps<'_> {
        RecordedSteps { start_step: self.start_step, parts: [&self.steps, &[]] }
    }

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
    /// The noisy latents that the step is taken from.
    pub fn guided_x(&self) -> Cow<'_, Latents> {
        match &self.loss_guidance {
            Some(guidance) => Cow::Owned(guidance.apply(self.x.clone(), self.sigma)),
            None => Cow::Borrowed(&self.x),
        }
    }

    /// Bytes of the latents.
    pub fn bytes(&self) -> usize {
        let gradient = self.loss_guidance.iter().map(|guidance| &guidance.gradient);
        let latents =
            [&self.x, &self.denoised].into_iter().chain(&self.guidance).chain(gradient).chain(&self.later);
        latents.map(|latents| size_of_val(latents.data.as_slice())).sum()
    }
}

/// Records the steps of a sampler, and replays predictions that are recorded already.
///
/// The sampler gets [`denoiser`](Self::denoiser) as its model, and an observer that calls
/// [`record`](Self::record).
#[derive(Default)]
pub struct Recorder {
    /// Predictions that are still to be replayed.
    replayed: RefCell<VecDeque<RecordedPrediction>>,
    /// Where [`Cfg`](super::Cfg) stores the guidance difference of the latest prediction.
    pub guidance: Cell<Option<Latents>>,
    /// Where guidance by a loss stores what it did.
    pub loss_guidance: Cell<Option<LossGuidance>>,
    /// The latents that entered the current step.
    x: Cell<Option<Latents>>,
    /// Predictions since the last step was recorded.
    predictions: RefCell<Vec<Latents>>,
    steps: RefCell<Vec<RecordedStep>>,
}

/// A prediction, with what entered and what guided the step if it is the first of its step.
struct RecordedPrediction {
    denoised: Latents,
    x: Option<Latents>,
    guidance: Option<Latents>,
    loss_guidance: Option<LossGuidance>,
}

impl Recorder {
    /// Replays the predictions of these steps first.
    pub fn new(replayed: Vec<RecordedStep>) -> Self {
        let mut predictions = VecDeque::new();
        for RecordedStep { denoised, x, guidance, loss_guidance, later, .. } in replayed {
            predictions.push_back(RecordedPrediction { denoised, x: Some(x), guidance, loss_guidance });
            let later = later.into_iter();
            predictions.extend(later.map(|denoised| RecordedPrediction {
                denoised,
                x: None,
                guidance: None,
                loss_guidance: None,
            }));
        }
        Self { replayed: RefCell::new(predictions), ..Self::default() }
    }

    /// The number of steps recorded so far.
    pub fn step_count(&self) -> usize {
        self.steps.borrow().len()
    }

    /// The steps recorded so far.
    pub fn steps(&self) -> Ref<'_, [RecordedStep]> {
        Ref::map(self.steps.borrow(), Vec::as_slice)
    }

    /// The recorded predictions, then those of `model`.
    pub fn denoiser<'a>(&'a self, model: &'a mut dyn Denoiser) -> impl Denoiser + 'a {
        RecordingDenoiser { recorder: self, model }
    }

    /// Records a step and passes it to `show`. Call it once per step, after the first prediction, as samplers call
    /// their observer.
    pub fn record(&self, step: &Step<'_>, show: impl FnOnce(&RecordedStep)) {
        let denoised =
            self.predictions.borrow_mut().pop().expect("a step is recorded after its first prediction");
        self.end_step();
        let step = RecordedStep {
            sigma: step.sigma,
            x: self.x.take().expect("the sampler predicts through this recorder"),
            denoised,
            loss_guidance: self.loss_guidance.take(),
            guidance: self.guidance.take(),
            later: Vec::new(),
        };
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

/// A model whose predictions are recorded.
struct RecordingDenoiser<'a> {
    recorder: &'a Recorder,
    model: &'a mut dyn Denoiser,
}

impl Denoiser for RecordingDenoiser<'_> {
    fn denoise(&mut self, x: &Latents, sigma: f32) -> Result<Latents, EngineError> {
        let replayed = self.recorder.replayed.borrow_mut().pop_front();
        let denoised = match replayed {
            Some(prediction) => prediction.denoised,
            None => self.model.denoise(x, sigma)?,
        };
        self.recorder.predictions.borrow_mut().push(denoised.clone());
        Ok(denoised)
    }

    fn denoise_step(&mut self, x: &mut Latents, sigma: f32) -> Result<Latents, EngineError> {
        let recorder = self.recorder;
        let replayed = recorder.replayed.borrow_mut().pop_front();
        // What was painted on the step is not in what the sampler arrives with.
        if let Some(entered) = replayed.as_ref().and_then(|prediction| prediction.x.as_ref()) {
            x.clone_from(entered);
        }
        recorder.x.set(Some(x.clone()));
        let denoised = match replayed {
            Some(RecordedPrediction { denoised, guidance, loss_guidance, .. }) => {
                if let Some(loss_guidance) = &loss_guidance {
                    *x = loss_guidance.apply(x.clone(), sigma);
                }
                recorder.guidance.set(guidance);
                recorder.loss_guidance.set(loss_guidance);
                denoised
            }
            None => self.model.denoise_step(x, sigma)?,
        };
        recorder.predictions.borrow_mut().push(denoised.clone());
        Ok(denoised)
    }
}
