//! The film of a run: every step, kept to be looked at again and to be gone on from.
//!
//! A sampler is a function of its noise and of what the model answers, and the film holds all the
//! answers. So no state of a sampler is ever saved: to go on from a step it walks the steps before
//! once more, the film answering instead of the model, which takes no time, and arrives there with
//! its history and its noise as they were.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::mem;

use super::{Denoiser, Latents, Step};

/// Every step that was sampled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trajectory {
    /// The whole schedule, `steps + 1` entries.
    pub sigmas: Vec<f32>,
    /// Step of the schedule that the first recorded step is: above 0 for image to image.
    pub start_step: usize,
    /// From `start_step` on.
    pub steps: Vec<RecordedStep>,
}

/// A step, and all that the model answered in it.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedStep {
    pub sigma: f32,
    /// Noisy latents entering the step.
    pub x: Latents,
    /// Predicted x0, the first answer.
    pub denoised: Latents,
    /// Predicted x0 with the prompt minus the one without it; absent at a guidance scale of 1, and of steps
    /// that were read from a trace.
    pub guidance: Option<Latents>,
    /// The other answers, of samplers that ask more than once a step.
    pub later: Vec<Latents>,
}

impl Trajectory {
    /// The step of this number in the schedule.
    pub fn step(&self, step: usize) -> Option<&RecordedStep> {
        self.steps.get(step.checked_sub(self.start_step)?)
    }

    /// The number of the step after the last recorded one.
    pub fn end_step(&self) -> usize {
        self.start_step + self.steps.len()
    }

    /// Removes the steps from this number of the schedule on.
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
    /// What it takes of the memory, but for a few numbers.
    pub fn bytes(&self) -> usize {
        let latents = [&self.x, &self.denoised].into_iter().chain(&self.guidance).chain(&self.later);
        latents.map(|latents| size_of_val(latents.data.as_slice())).sum()
    }
}

/// Puts a walk on film, retelling what is on it already.
///
/// The sampler is given [`denoiser`](Self::denoiser) for its model, and an observer that calls
/// [`see`](Self::see).
#[derive(Default)]
pub struct Recorder {
    /// Answers that are still to be retold, each with what guidance added to it.
    replayed: RefCell<VecDeque<(Latents, Option<Latents>)>>,
    /// Where guidance leaves what it added to the latest answer.
    pub guidance: Cell<Option<Latents>>,
    /// Answers since the last step was seen.
    answers: RefCell<Vec<Latents>>,
    steps: RefCell<Vec<RecordedStep>>,
}

impl Recorder {
    /// The answers of `replayed` come first.
    pub fn new(replayed: Vec<RecordedStep>) -> Self {
        let mut answers = VecDeque::new();
        for step in replayed {
            answers.push_back((step.denoised, step.guidance));
            answers.extend(step.later.into_iter().map(|answer| (answer, None)));
        }
        Self { replayed: RefCell::new(answers), ..Self::default() }
    }

    /// Steps seen until now.
    pub fn step_count(&self) -> usize {
        self.steps.borrow().len()
    }

    /// `model`, as far as the film does not know the answer.
    pub fn denoiser(&self, model: &mut dyn Denoiser) -> impl Denoiser {
        |x: &Latents, sigma: f32| {
            let retold = self.replayed.borrow_mut().pop_front();
            let answer = match retold {
                Some((answer, guidance)) => {
                    self.guidance.set(guidance);
                    answer
                }
                None => model.denoise(x, sigma)?,
            };
            self.answers.borrow_mut().push(answer.clone());
            Ok(answer)
        }
    }

    /// Keeps a step, and shows it as it is kept. Call it once a step, as samplers call their observer:
    /// after the first answer.
    pub fn record(&self, step: &Step<'_>, show: impl FnOnce(&RecordedStep)) {
        let denoised = self.answers.borrow_mut().pop().expect("a step is seen after its first answer");
        self.end_step();
        let (sigma, x, guidance) = (step.sigma, step.x.clone(), self.guidance.take());
        let step = RecordedStep { sigma, x, denoised, guidance, later: Vec::new() };
        show(&step);
        self.steps.borrow_mut().push(step);
    }

    /// The steps that were seen, also of a walk that ended early.
    pub fn into_steps(self) -> Vec<RecordedStep> {
        self.end_step();
        self.steps.into_inner()
    }

    /// What was answered until now belongs to the step before.
    fn end_step(&self) {
        let later = mem::take(&mut *self.answers.borrow_mut());
        if let Some(step) = self.steps.borrow_mut().last_mut() {
            step.later = later;
        }
    }
}
