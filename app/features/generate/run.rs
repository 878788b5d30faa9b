//! A run as the window knows it, from the press of the button to its last event.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::diffusion::StepView;
use engine::images::Pixels;
use engine::pipeline::Frame;
use engine::prompt::PromptTokenizer;
use engine::recipe::Recipe;
use engine::session::{Job, JobEvent};

use crate::features::branches::BranchPoint;
use crate::features::prompt::read_prompt::ReadPrompt;

/// A job that was sent, and all its events.
#[derive(Clone, Debug)]
pub struct Run {
    pub job: Job,
    pub recipe: Recipe,
    /// Its prompt as its model reads it; `None` if that model is not open.
    pub read: Option<Arc<ReadPrompt>>,
    /// The branch point, if it is a branch.
    pub parent: Option<BranchPoint>,
    /// The name that the user gave it; empty until then.
    pub name: String,
    pub phase: RunPhase,
    /// `steps + 1` noise levels once the engine has started.
    pub sigmas: Vec<f32>,
    pub start_step: usize,
    /// In the order of the steps.
    pub frames: Vec<Frame>,
    /// Fully decoded views of steps; no pictures where decoding failed.
    pub decoded: BTreeMap<(usize, StepView), Vec<Arc<Pixels>>>,
    /// The view that is being decoded, and since when. One at a time: decoding may take
    /// long, and the next run waits for it.
    pub asked: Option<((usize, StepView), Instant)>,
    /// Decoding is fast enough on this machine for every step.
    pub decodes_held_step: bool,
    pub pictures: Vec<Arc<Pixels>>,
    pub elapsed: Duration,
}

/// The longest decode without a request, frames of the window included: the next run may wait for it.
const FAST_DECODE: Duration = Duration::from_millis(500);
/// Longer runs keep their previews.
const MAX_DECODED: usize = 64;

/// The progress of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunPhase {
    /// Sent; the engine is still busy with something else.
    Waiting,
    Running,
    /// The stop flag is raised.
    Stopping,
    Finished,
    Stopped,
    Failed,
}

impl Run {
    pub fn new(
        job: Job,
        recipe: Recipe,
        parent: Option<BranchPoint>,
        words: Option<&PromptTokenizer>,
    ) -> Self {
        Self {
            job,
            read: words.map(|words| Arc::new(ReadPrompt::new(words, &recipe, 0))),
            parent,
            name: String::new(),
            start_step: recipe.start_step() as usize,
            recipe,
            phase: RunPhase::Waiting,
            sigmas: Vec::new(),
            frames: Vec::new(),
            decoded: BTreeMap::new(),
            asked: None,
            decodes_held_step: true,
            pictures: Vec::new(),
            elapsed: Duration::ZERO,
        }
    }

    /// Another model is open now, which will make what is still queued.
    pub fn change_model(&mut self, words: Option<&PromptTokenizer>) {
        let words = words.filter(|_| self.phase == RunPhase::Waiting);
        self.read = words.map(|words| Arc::new(ReadPrompt::new(words, &self.recipe, 0)));
    }

    pub fn is_live(&self) -> bool {
        matches!(self.phase, RunPhase::Waiting | RunPhase::Running | RunPhase::Stopping)
    }

    /// Applies an event of this job. The caller shows the sentence of `Failed`.
    pub fn receive(&mut self, event: JobEvent) {
        match event {
            JobEvent::Started { sigmas, start_step } => {
                self.sigmas = sigmas;
                self.start_step = start_step;
                if self.phase == RunPhase::Waiting {
                    self.phase = RunPhase::Running;
                }
            }
            JobEvent::Step(frame) => {
                self.elapsed = frame.elapsed;
                self.frames.push(frame);
            }
            JobEvent::Decoded { step, view, pictures } => {
                if let Some((_, since)) = self.asked.take_if(|(asked, _)| *asked == (step, view)) {
                    self.decodes_held_step &= since.elapsed() < FAST_DECODE;
                }
                self.decoded.insert((step, view), pictures);
            }
            JobEvent::Finished { pictures, elapsed, .. } => {
                self.phase = RunPhase::Finished;
                self.pictures = pictures;
                self.elapsed = elapsed;
            }
            JobEvent::Stopped => self.phase = RunPhase::Stopped,
            JobEvent::Failed { .. } => self.phase = RunPhase::Failed,
        }
    }

    /// Steps of the whole schedule: as many as the engine plans, or, for an adaptive sampler,
    /// has taken.
    pub fn steps(&self) -> usize {
        let made = self.start_step + self.frames.len();
        if self.recipe.sampler.is_adaptive() && self.phase == RunPhase::Finished {
            return made;
        }
        // A branch may have another number, which the engine reports.
        let meant = self.sigmas.len().checked_sub(1).unwrap_or(self.recipe.steps as usize);
        meant.max(made)
    }

    /// True for steps that belong to the parent run.
    pub fn is_shared(&self, step: usize) -> bool {
        self.parent.is_some_and(|parent| step < parent.step)
    }

    /// The number of steps that this run has done.
    pub fn done(&self) -> usize {
        self.frames.len()
    }

    pub fn to_do(&self) -> usize {
        self.steps().saturating_sub(self.start_step)
    }

    /// 0 to 1.
    pub fn progress(&self) -> f32 {
        self.done() as f32 / self.to_do().max(1) as f32
    }

    /// Measured over the last steps, since the first ones include warm-up.
    pub fn steps_per_second(&self) -> Option<f64> {
        const WINDOW: usize = 12;
        let last = self.frames.last()?;
        let own = self.frames.partition_point(|frame| self.is_shared(frame.step));
        let first = self.frames.get(self.frames.len().saturating_sub(WINDOW + 1).max(own))?;
        if first.step == last.step {
            return None;
        }
        let elapsed_secs = last.elapsed.saturating_sub(first.elapsed).as_secs_f64();
        (elapsed_secs > 0.0).then(|| (last.step - first.step) as f64 / elapsed_secs)
    }

    pub fn seconds_left(&self) -> Option<f64> {
        let left = self.to_do().saturating_sub(self.done());
        Some(left as f64 / self.steps_per_second()?)
    }

    pub fn frame(&self, step: usize) -> Option<&Frame> {
        self.frames.get(step.checked_sub(self.start_step)?).filter(|frame| frame.step == step)
    }

    /// The best pictures of a step, and whether they are fully decoded.
    pub fn pictures_of(&self, step: usize, view: StepView) -> Option<(&[Arc<Pixels>], bool)> {
        if view == StepView::Predicted && step + 1 == self.steps() && !self.pictures.is_empty() {
            return Some((&self.pictures, true));
        }
        if let Some(pictures) = self.decoded.get(&(step, view)).filter(|pictures| !pictures.is_empty()) {
            return Some((pictures, true));
        }
        Some((self.frame(step)?.preview(view), false)).filter(|(pictures, _)| !pictures.is_empty())
    }

    /// What to decode next: the shown views of the `held` steps, then, once the run has
    /// ended, the predictions that are still previews, from the first on.
    pub fn next_decode(&self, held: &[usize], looked_at: &[StepView]) -> Option<(usize, StepView)> {
        let is_preview = |&(step, view): &(usize, StepView)| {
            !self.decoded.contains_key(&(step, view))
                && matches!(self.pictures_of(step, view), Some((_, false)))
        };
        if self.asked.is_some() || self.phase == RunPhase::Failed {
            return None;
        }
        let rest = || {
            let may = self.decodes_held_step && !self.is_live() && self.frames.len() <= MAX_DECODED;
            let steps = self.frames.iter().map(|frame| (frame.step, StepView::Predicted));
            steps.filter(|_| may).find(is_preview)
        };
        let mut of_held = held.iter().flat_map(|&step| looked_at.iter().map(move |&view| (step, view)));
        of_held.find(is_preview).or_else(rest)
    }

    /// The best pictures of the run.
    pub fn latest(&self) -> Option<(&[Arc<Pixels>], bool)> {
        self.latest_of(StepView::Predicted)
    }

    /// The best pictures of another view.
    pub fn latest_of(&self, view: StepView) -> Option<(&[Arc<Pixels>], bool)> {
        if view == StepView::Predicted && !self.pictures.is_empty() {
            return Some((&self.pictures, true));
        }
        self.pictures_of(self.frames.last()?.step, view)
    }
}
