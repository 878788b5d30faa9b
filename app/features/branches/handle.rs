//! Branching from a step, resuming a stopped run, and showing earlier runs.

use engine::session::JobId;

use crate::features::branches::{BranchCommand, BranchPoint, BranchRow, QueuedRun, Runs};
use crate::features::effect::Effect;
use crate::features::film::FilmState;
use crate::features::generate::run::{Run, RunPhase};
use crate::features::state::AppState;

impl AppState {
    pub(crate) fn handle_branch(&mut self, command: BranchCommand) -> Vec<Effect> {
        match command {
            BranchCommand::Leave(step) => self.leave(step),
            BranchCommand::Stay => self.runs.branch_from = None,
            BranchCommand::GoOn => return self.go_on(),
            BranchCommand::Show(job) => return self.show_run(job),
            BranchCommand::Name(job, name) => {
                if let Some(run) = self.runs.get_mut(job) {
                    run.name = name;
                }
            }
            BranchCommand::Compare(job) => return self.compare_run(job),
            BranchCommand::Forget(job) => return self.forget_run(job),
            BranchCommand::TakeSettings => {
                if let Some(run) = self.runs.current() {
                    let recipe = run.recipe.clone();
                    self.runs.last_seed = None;
                    self.edit(recipe);
                    return self.read_start_image();
                }
            }
        }
        Vec::new()
    }

    /// The step that the next run would branch from: the shown step.
    pub fn branch_step(&self) -> Option<usize> {
        let step = self.film.current_step(&self.runs)?;
        self.runs.current()?.frame(step).map(|frame| frame.step)
    }

    pub(crate) fn leave(&mut self, step: Option<usize>) {
        let Some(step) = step.or_else(|| self.branch_step()) else { return };
        let Some(run) = self.runs.current() else { return };
        if run.frame(step).is_none() {
            return;
        }
        // A branch shares these with its parent; everything else is free.
        let from = &run.recipe;
        (self.shared.recipe.width, self.shared.recipe.height, self.shared.recipe.batch) =
            (from.width, from.height, from.batch);
        self.shared.recipe.seed = from.seed;
        let other_start = self.shared.recipe.start != from.start;
        self.shared.recipe.start.clone_from(&from.start);
        if other_start {
            self.start_picture = None;
        }
        self.film.play = None;
        self.film.hovered = None;
        self.film.pinned = Some(step);
        self.runs.branch_from = Some(step);
    }

    /// The run that Generate would start now.
    pub(crate) fn queued_run(&self) -> QueuedRun {
        match (self.runs.current(), self.runs.branch_from) {
            (Some(run), Some(step)) => {
                let drawing = self.brush.of_branch(&self.runs);
                let paint = drawing.and_then(|drawing| drawing.paint(self.brush.hold));
                QueuedRun {
                    recipe: self.shared.recipe.clone().branching_painted(&run.recipe, step as u32, paint),
                    parent: Some(BranchPoint { job: run.job.id, step }),
                }
            }
            _ => QueuedRun { recipe: self.shared.recipe.clone(), parent: None },
        }
    }

    /// The current run, from its last step.
    pub(crate) fn go_on(&mut self) -> Vec<Effect> {
        if self.runs.live().is_some() {
            return Vec::new();
        }
        let stopped = self.runs.current().filter(|run| run.can_go_on()).map(|run| run.job.id);
        let Some(run) = stopped.and_then(|job| self.runs.remove(job)) else { return Vec::new() };
        let (name, parent) = (run.name.clone(), run.parent);
        self.runs.previous_images = run.latest().map_or_else(Vec::new, |(pictures, _)| pictures.to_vec());
        let effects = self.send(run.recipe.clone(), parent, Some(run.job.id));
        if let Some(run) = self.runs.current_mut() {
            run.name = name;
        }
        effects
    }

    pub(crate) fn show_run(&mut self, job: JobId) -> Vec<Effect> {
        if !self.runs.show(job) {
            return Vec::new();
        }
        self.hide_sheet();
        self.film = FilmState::default();
        self.decode_held_step()
    }

    /// Its branches become separate trees.
    pub(crate) fn forget_run(&mut self, job: JobId) -> Vec<Effect> {
        if self.runs.get(job).is_none_or(Run::is_live) {
            return Vec::new();
        }
        self.runs.remove(job);
        if self.runs.current().is_some() {
            return Vec::new();
        }
        self.runs.branch_from = None;
        self.film = FilmState::default();
        self.runs.previous_images.clear();
        let next = self.runs.last().map(|run| run.job.id);
        next.map_or_else(Vec::new, |job| self.show_run(job))
    }
}

impl FilmState {
    /// The title of the run behind the divider, if it is not the current one.
    pub fn title_beside(&self, runs: &Runs) -> Option<String> {
        let (job, _) = (self.beside?, self.compared?);
        let rows = runs.tree();
        rows.iter().find(|row| row.run.job.id == job).map(BranchRow::title)
    }
}

impl Run {
    /// True for a run that ended early and has steps to resume from.
    pub fn can_go_on(&self) -> bool {
        matches!(self.phase, RunPhase::Stopped | RunPhase::Failed) && !self.frames.is_empty()
    }
}
