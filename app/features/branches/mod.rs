//! The runs of a session as a tree: which one branches from which, and where.

mod handle;
pub(crate) mod panel;

use std::sync::Arc;

use engine::diffusion::SamplerOption;
use engine::images::Pixels;
use engine::recipe::{Recipe, Start};
use engine::session::JobId;

use crate::features::generate::run::Run;

/// Where a run branches from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BranchPoint {
    pub job: JobId,
    /// The branch's first own step.
    pub step: usize,
}

/// A run that is requested and has no number yet.
#[derive(Clone, Debug, PartialEq)]
pub struct QueuedRun {
    pub recipe: Recipe,
    /// The branch point, if it is a branch.
    pub parent: Option<BranchPoint>,
}

/// The runs of a session, including the current one, and what the next run will be.
#[derive(Clone, Debug)]
pub struct Runs {
    /// In the order in which they were made.
    all: Vec<Run>,
    current: Option<JobId>,
    /// The step of the current run that the next one branches from.
    pub branch_from: Option<usize>,
    pub queued: Option<QueuedRun>,
    /// Pictures on the canvas until the current run has its own.
    pub(crate) previous_images: Vec<Arc<Pixels>>,
    /// Used up; the next picture gets a fresh one.
    pub(crate) last_seed: Option<u64>,
    next_job: u64,
}

/// A row of the tree.
pub struct BranchRow<'a> {
    pub run: &'a Run,
    pub parent: Option<&'a Run>,
    /// 0 for a run that is not a branch.
    pub depth: usize,
}

impl Runs {
    /// Older runs are dropped; their pictures are saved.
    const MAX_KEPT: usize = 32;

    pub fn new(last_seed: Option<u64>) -> Self {
        Self {
            all: Vec::new(),
            current: None,
            branch_from: None,
            queued: None,
            previous_images: Vec::new(),
            last_seed,
            next_job: 1,
        }
    }

    /// The current run.
    pub fn current(&self) -> Option<&Run> {
        self.get(self.current?)
    }

    pub fn current_mut(&mut self) -> Option<&mut Run> {
        self.get_mut(self.current?)
    }

    /// Any run of this session.
    pub fn get(&self, job: JobId) -> Option<&Run> {
        self.all.iter().find(|run| run.job.id == job)
    }

    pub fn get_mut(&mut self, job: JobId) -> Option<&mut Run> {
        self.all.iter_mut().find(|run| run.job.id == job)
    }

    /// All runs, in the order in which they were made.
    pub fn iter(&self) -> impl Iterator<Item = &Run> {
        self.all.iter()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Run> {
        self.all.iter_mut()
    }

    pub fn last(&self) -> Option<&Run> {
        self.all.last()
    }

    /// The run that is in progress.
    pub fn live(&self) -> Option<&Run> {
        self.all.iter().find(|run| run.is_live())
    }

    /// Of a run, or of a cell of a sheet.
    pub(crate) fn next_id(&mut self) -> JobId {
        self.next_job += 1;
        JobId(self.next_job - 1)
    }

    /// Adds the newest run and makes it the current one.
    pub(crate) fn push(&mut self, run: Run) {
        self.set_aside();
        if self.all.len() > Self::MAX_KEPT {
            self.all.remove(0);
        }
        self.current = Some(run.job.id);
        self.all.push(run);
    }

    /// Brings another run back; false if there is no other of that number.
    pub(crate) fn show(&mut self, job: JobId) -> bool {
        let is_other = self.current != Some(job) && self.get(job).is_some();
        if is_other {
            self.set_aside();
            self.current = Some(job);
            self.branch_from = None;
        }
        is_other
    }

    pub(crate) fn remove(&mut self, job: JobId) -> Option<Run> {
        let at = self.all.iter().position(|run| run.job.id == job)?;
        self.current = self.current.filter(|current| *current != job);
        Some(self.all.remove(at))
    }

    /// One that was stopped before its first step leaves nothing to keep.
    fn set_aside(&mut self) {
        let Some(run) = self.current_mut() else { return };
        // Previews stay; full decodes take a hundred times as much memory.
        run.decoded.clear();
        run.asked = None;
        if run.frames.is_empty() && !run.is_live() {
            let job = run.job.id;
            self.remove(job);
        }
        self.current = None;
    }

    /// All runs, each below the one that it left.
    pub fn tree(&self) -> Vec<BranchRow<'_>> {
        let parent_of = |run: &Run| run.parent.and_then(|parent| self.get(parent.job));
        let mut rows = Vec::with_capacity(self.all.len());
        let roots = self.all.iter().rev().filter(|run| parent_of(run).is_none());
        let mut waiting: Vec<(&Run, usize)> = roots.map(|run| (run, 0)).collect();
        while let Some((run, depth)) = waiting.pop() {
            rows.push(BranchRow { run, parent: parent_of(run), depth });
            let children =
                self.all.iter().rev().filter(|child| child.parent.is_some_and(|it| it.job == run.job.id));
            waiting.extend(children.map(|child| (child, depth + 1)));
        }
        rows
    }
}

impl BranchRow<'_> {
    /// The name it was given, or else its prompt or what it changed.
    pub fn title(&self) -> String {
        match (self.run.name.as_str(), self.parent) {
            ("", Some(parent)) => changes(&parent.recipe, &self.run.recipe),
            ("", None) if self.run.recipe.prompt.trim().is_empty() => "No prompt".to_owned(),
            ("", None) => self.run.recipe.prompt.clone(),
            (name, _) => name.to_owned(),
        }
    }

    /// Where it starts, and its settings.
    pub fn facts(&self) -> String {
        let Recipe { seed, sampler, .. } = &self.run.recipe;
        match (self.run.parent, &self.run.recipe.start) {
            (Some(parent), _) => format!("from step {} · {}", parent.step + 1, sampler.label()),
            (None, Start::Noise) => format!("seed {seed} · {}", sampler.label()),
            (None, Start::Image { .. }) => format!("from a picture · {}", sampler.label()),
        }
    }
}

/// How a branch differs from its parent.
fn changes(from: &Recipe, to: &Recipe) -> String {
    let mut changes = Vec::new();
    if to.guidance != from.guidance {
        changes.push(format!("guidance {}", to.guidance.cfg_scale));
    }
    if to.sampler != from.sampler {
        changes.push(to.sampler.label().to_owned());
    }
    for option in SamplerOption::ALL {
        let value = to.sampler_options.get(option);
        if value != from.sampler_options.get(option) {
            let value = value.map_or_else(|| "as before".to_owned(), |value| value.to_string());
            changes.push(format!("{} {value}", option.label().to_lowercase()));
        }
    }
    if to.schedule != from.schedule {
        changes.push(to.schedule.label().to_owned());
    }
    if to.schedule_options != from.schedule_options {
        changes.push("different rho or betas".to_owned());
    }
    if to.noise != from.noise {
        changes.push(format!("noise of {}", to.noise.label()));
    }
    if to.steps != from.steps {
        changes.push(format!("{} steps", to.steps));
    }
    if to.seed != from.seed {
        changes.push(format!("seed {}", to.seed));
    }
    if let Some(paint) = to.branch.as_ref().and_then(|branch| branch.paint.as_ref()) {
        let painted =
            [paint.layer.is_some().then_some("painted"), paint.noise.is_some().then_some("fresh noise")];
        changes.extend(painted.into_iter().flatten().map(str::to_owned));
    }
    // Last, since they are long.
    if to.prompt != from.prompt {
        changes.push(format!("“{}”", to.prompt));
    }
    if to.negative_prompt != from.negative_prompt {
        changes.push(format!("not “{}”", to.negative_prompt));
    }
    if changes.is_empty() { "Unchanged".to_owned() } else { changes.join(", ") }
}

/// A request about runs and their branches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BranchCommand {
    /// The next run branches from a step of the current run; from the shown step if none is given.
    Leave(Option<usize>),
    /// The next run does not branch after all.
    Stay,
    /// Resumes the current run, which was stopped.
    GoOn,
    /// Shows another run on the canvas.
    Show(JobId),
    Name(JobId, String),
    /// Compares the end of another run with the current one, behind a divider.
    Compare(JobId),
    /// Removes a run from the list.
    Forget(JobId),
    /// Uses the current run's settings for the next run.
    TakeSettings,
}
