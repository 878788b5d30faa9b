//! Leaving a run at a step, going on with one that was stopped, and looking at those made before.

use engine::session::JobId;

use crate::features::branches::{BranchCommand, BranchPoint, BranchRow, QueuedRun};
use crate::features::effect::Effect;
use crate::features::film::FilmState;
use crate::features::generate::run::{Run, RunPhase};
use crate::features::state::AppState;

impl AppState {
    pub(crate) fn handle_branch(&mut self, command: BranchCommand) -> Vec<Effect> {
        match command {
            BranchCommand::Leave(step) => self.leave(step),
            BranchCommand::Stay => self.branches.branch_from = None,
            BranchCommand::GoOn => return self.go_on(),
            BranchCommand::Show(job) => return self.show_run(job),
            BranchCommand::Name(job, name) => {
                if let Some(run) = self.run_mut(job) {
                    run.name = name;
                }
            }
            BranchCommand::Compare(job) => return self.compare_run(job),
            BranchCommand::Forget(job) => return self.forget_run(job),
            BranchCommand::TakeSettings => {
                if let Some(run) = &self.run {
                    let recipe = run.recipe.clone();
                    self.last_seed = None;
                    self.edit(recipe);
                    return self.read_start_image();
                }
            }
        }
        Vec::new()
    }

    /// Any run of this session.
    pub fn run_of(&self, job: JobId) -> Option<&Run> {
        self.run.iter().chain(&self.branches.kept).find(|run| run.job.id == job)
    }

    /// The title of the run behind the divider, if it is not the one at hand.
    pub fn title_beside(&self) -> Option<String> {
        let (job, _) = (self.film.beside?, self.film.compared?);
        let rows = self.branches.tree(self.run.as_ref());
        rows.iter().find(|row| row.run.job.id == job).map(BranchRow::title)
    }

    pub(crate) fn run_mut(&mut self, job: JobId) -> Option<&mut Run> {
        self.run.iter_mut().chain(&mut self.branches.kept).find(|run| run.job.id == job)
    }

    /// The step that the next run would leave the one at hand at: the one looked at.
    pub fn branch_step(&self) -> Option<usize> {
        let step = self.current_step()?;
        self.run.as_ref()?.frame(step).map(|frame| frame.step)
    }

    pub(crate) fn leave(&mut self, step: Option<usize>) {
        let Some(step) = step.or_else(|| self.branch_step()) else { return };
        let Some(run) = &self.run else { return };
        if run.frame(step).is_none() {
            return;
        }
        // These a branch has in common with the run that it leaves; everything else is free.
        let from = &run.recipe;
        (self.recipe.width, self.recipe.height, self.recipe.batch) = (from.width, from.height, from.batch);
        self.recipe.seed = from.seed;
        let other_start = self.recipe.start != from.start;
        self.recipe.start.clone_from(&from.start);
        if other_start {
            self.start_picture = None;
        }
        self.film.play = None;
        self.film.hovered = None;
        self.film.pinned = Some(step);
        self.branches.branch_from = Some(step);
    }

    /// What Generate makes of the desk as it stands.
    pub(crate) fn queued_run(&self) -> QueuedRun {
        match (&self.run, self.branches.branch_from) {
            (Some(run), Some(step)) => QueuedRun {
                recipe: self.recipe.clone().branching(&run.recipe, step as u32),
                parent: Some(BranchPoint { job: run.job.id, step }),
            },
            _ => QueuedRun { recipe: self.recipe.clone(), parent: None },
        }
    }

    /// The run at hand, from the step it came to.
    pub(crate) fn go_on(&mut self) -> Vec<Effect> {
        if self.live_run().is_some() {
            return Vec::new();
        }
        let Some(run) = self.run.take_if(|run| run.can_go_on()) else { return Vec::new() };
        let (name, parent) = (run.name.clone(), run.parent);
        self.previous_images = run.latest().map_or_else(Vec::new, |(pictures, _)| pictures.to_vec());
        let effects = self.send(run.recipe.clone(), parent, Some(run.job.id));
        if let Some(run) = &mut self.run {
            run.name = name;
        }
        effects
    }

    pub(crate) fn show_run(&mut self, job: JobId) -> Vec<Effect> {
        let Some(run) = self.branches.take(job) else { return Vec::new() };
        self.hide_sheet();
        if let Some(before) = self.run.replace(run) {
            self.branches.keep(before);
        }
        self.branches.branch_from = None;
        self.film = FilmState::default();
        self.decode_held_step()
    }

    /// Those that left it become trees of their own.
    pub(crate) fn forget_run(&mut self, job: JobId) -> Vec<Effect> {
        if self.run_of(job).is_none_or(Run::is_live) {
            return Vec::new();
        }
        if self.branches.take(job).is_some() {
            return Vec::new();
        }
        self.run = None;
        self.branches.branch_from = None;
        self.film = FilmState::default();
        self.previous_images.clear();
        let next = self.branches.kept.last().map(|run| run.job.id);
        next.map_or_else(Vec::new, |job| self.show_run(job))
    }
}

impl Run {
    /// True for one that ended early and has steps to go on from.
    pub fn can_go_on(&self) -> bool {
        matches!(self.phase, RunPhase::Stopped | RunPhase::Failed) && !self.frames.is_empty()
    }
}
