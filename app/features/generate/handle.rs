//! What [`AppState`] does to begin a run and to end it.

use engine::recipe::Recipe;
use engine::session::{JobId, Request};

use crate::features::branches::{BranchPoint, QueuedRun};
use crate::features::command::Effect;
use crate::features::errors::ErrorSlot;
use crate::features::film::FilmState;
use crate::features::generate::run::{Run, RunPhase};
use crate::features::state::{AppState, Model};

impl AppState {
    pub(crate) fn generate(&mut self) -> Vec<Effect> {
        if self.recipe_error().is_some() {
            return Vec::new();
        }
        if matches!(self.model, Model::Missing) {
            self.errors.set(ErrorSlot::Run, "No model is open: choose one at the top of the window");
            return Vec::new();
        }
        // A seed that was typed, rolled or taken from a picture is used once as it stands; after
        // that every picture gets a fresh one, unless the lock is on.
        // A branch has its run's.
        let is_branch = self.branches.branch_from.is_some();
        if !is_branch && !self.settings.seed_locked && self.last_seed == Some(self.recipe.seed) {
            self.recipe.seed = fresh_seed();
        }
        self.last_seed = Some(self.recipe.seed);
        let queued_run = self.queued_run();
        self.branches.branch_from = None;
        if self.is_making() {
            self.queued = Some(queued_run);
            return Vec::new();
        }
        self.start(queued_run)
    }

    pub(crate) fn start(&mut self, queued_run: QueuedRun) -> Vec<Effect> {
        self.hide_sheet();
        let recorded_by = queued_run.parent.map(|parent| parent.job);
        if let Some(shown) = self.shown() {
            self.previous_images = shown.pictures.to_vec();
        }
        if let Some(run) = self.run.take() {
            self.branches.keep(run);
        }
        self.send(queued_run.recipe, queued_run.parent, recorded_by)
    }

    /// Sends a run to the engine, which takes the steps of `recorded_by` as far as they fit.
    pub(crate) fn send(
        &mut self,
        recipe: Recipe,
        parent: Option<BranchPoint>,
        recorded_by: Option<JobId>,
    ) -> Vec<Effect> {
        let job = self.next_job();
        self.film = FilmState::default();
        self.warning = None;
        self.errors.clear(ErrorSlot::Run);
        self.run = Some(Run::new(job.clone(), recipe.clone(), parent, self.words.as_ref()));
        vec![Effect::Send(Request::Generate {
            job,
            recipe: Box::new(recipe),
            concepts: self.concepts.clone(),
            recorded_by,
            keeps_run: true,
        })]
    }

    pub(crate) fn stop(&mut self) {
        self.queued = None;
        let mut runs = self.run.iter_mut().chain(&mut self.branches.kept);
        if let Some(run) = runs.find(|run| run.is_live()) {
            run.job.stop.raise();
            run.phase = RunPhase::Stopping;
        }
    }
}

/// A seed nobody chose. Below 2^32, since PyTorch's CPU noise takes no more of it.
pub(crate) fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish() & 0xffff_ffff
}
