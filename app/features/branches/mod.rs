//! The runs of a session as a tree: which one left which, and where.

pub(crate) mod handle;
pub(crate) mod panel;

use engine::diffusion::SamplerOption;
use engine::recipe::{Recipe, Start};
use engine::session::JobId;

use crate::features::generate::run::Run;

/// Where a run left another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BranchPoint {
    pub job: JobId,
    /// The first step that is the branch's own.
    pub step: usize,
}

/// A run that is asked for and has no number yet.
#[derive(Clone, Debug, PartialEq)]
pub struct QueuedRun {
    pub recipe: Recipe,
    /// The run that it leaves.
    pub parent: Option<BranchPoint>,
}

/// The runs that are not at hand, and where the next one leaves the one that is.
#[derive(Clone, Debug, Default)]
pub struct Branches {
    /// In the order they were made.
    pub kept: Vec<Run>,
    /// Step of the run at hand.
    pub branch_from: Option<usize>,
}

/// A line of the tree.
pub struct BranchRow<'a> {
    pub run: &'a Run,
    pub parent: Option<&'a Run>,
    /// 0 for one that left no other.
    pub depth: usize,
}

impl Branches {
    /// Older runs are forgotten; their pictures are saved.
    const MAX_KEPT: usize = 32;

    /// Puts a run aside. One that was stopped before its first step leaves nothing to keep.
    pub fn keep(&mut self, mut run: Run) {
        if run.frames.is_empty() && !run.is_live() {
            return;
        }
        // Previews stay; the full decodes of a film take a hundred times as much.
        run.decoded.clear();
        run.asked = None;
        let at = self.kept.partition_point(|kept| kept.job.id < run.job.id);
        self.kept.insert(at, run);
        if self.kept.len() > Self::MAX_KEPT {
            self.kept.remove(0);
        }
    }

    pub fn take(&mut self, job: JobId) -> Option<Run> {
        let at = self.kept.iter().position(|run| run.job.id == job)?;
        Some(self.kept.remove(at))
    }

    /// All runs with the one `at_hand`, each below the one that it left.
    pub fn tree<'a>(&'a self, at_hand: Option<&'a Run>) -> Vec<BranchRow<'a>> {
        let mut runs: Vec<&Run> = self.kept.iter().chain(at_hand).collect();
        runs.sort_by_key(|run| run.job.id);
        let find = |job: JobId| runs.iter().copied().find(|run| run.job.id == job);
        let parent_of = |run: &Run| run.parent.and_then(|parent| find(parent.job));
        let mut rows = Vec::with_capacity(runs.len());
        let roots = runs.iter().rev().copied().filter(|run| parent_of(run).is_none());
        let mut waiting: Vec<(&Run, usize)> = roots.map(|run| (run, 0)).collect();
        while let Some((run, depth)) = waiting.pop() {
            rows.push(BranchRow { run, parent: parent_of(run), depth });
            let children =
                runs.iter().rev().filter(|child| child.parent.is_some_and(|it| it.job == run.job.id));
            waiting.extend(children.map(|child| (*child, depth + 1)));
        }
        rows
    }
}

impl BranchRow<'_> {
    /// The name it was given, or what it is: its prompt, or what it changed.
    pub fn title(&self) -> String {
        match (self.run.name.as_str(), self.parent) {
            ("", Some(parent)) => changes(&parent.recipe, &self.run.recipe),
            ("", None) if self.run.recipe.prompt.trim().is_empty() => "No prompt".to_owned(),
            ("", None) => self.run.recipe.prompt.clone(),
            (name, _) => name.to_owned(),
        }
    }

    /// Where it begins, and how it is made.
    pub fn facts(&self) -> String {
        let Recipe { seed, sampler, .. } = &self.run.recipe;
        match (self.run.parent, &self.run.recipe.start) {
            (Some(parent), _) => format!("from step {} · {}", parent.step + 1, sampler.label()),
            (None, Start::Noise) => format!("seed {seed} · {}", sampler.label()),
            (None, Start::Image { .. }) => format!("from a picture · {}", sampler.label()),
        }
    }
}

/// What a branch does in another way than the run that it left.
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
    // Last, since they are long.
    if to.prompt != from.prompt {
        changes.push(format!("“{}”", to.prompt));
    }
    if to.negative_prompt != from.negative_prompt {
        changes.push(format!("not “{}”", to.negative_prompt));
    }
    if changes.is_empty() { "Unchanged".to_owned() } else { changes.join(", ") }
}

/// A wish about runs that grow out of one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BranchCommand {
    /// The next run leaves the one at hand at a step; without one, at the step that is looked at.
    Leave(Option<usize>),
    /// The next run begins anew after all.
    Stay,
    /// The run at hand, which was stopped, goes on.
    GoOn,
    /// Brings another run back to the canvas.
    Show(JobId),
    Name(JobId, String),
    /// Holds the end of another run beside the one at hand, behind a divider.
    Compare(JobId),
    /// Takes a run out of the list.
    Forget(JobId),
    /// The settings of the run at hand, for the next one.
    TakeSettings,
}
