//! What [`AppState`] does to begin a run and to end it.

use engine::recipe::{Recipe, random_seed};
use engine::session::{JobEvent, JobId, Request};

use crate::features::branches::{BranchPoint, QueuedRun};
use crate::features::effect::{Batch, Effect};
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
            self.recipe.seed = random_seed();
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

    pub(crate) fn receive_job(&mut self, id: JobId, event: JobEvent) -> Vec<Effect> {
        if let Some(effects) = self.receive_cell(id, &event) {
            return effects;
        }
        let vae = self.model_info().and_then(|info| info.vae.clone());
        let mut runs = self.run.iter_mut().chain(&mut self.branches.kept);
        let Some(run) = runs.find(|run| run.job.id == id) else {
            return Vec::new();
        };
        let mut effects = Vec::new();
        let is_last = event.is_last();
        match &event {
            JobEvent::Finished { pictures, concepts, .. } => {
                let model = match &self.model {
                    Model::Open(info) => info.name.clone(),
                    Model::Opening { name, .. } => name.clone(),
                    Model::Missing => String::new(),
                };
                effects.push(Effect::Save(Box::new(Batch {
                    recipe: run.recipe.clone(),
                    model,
                    vae,
                    concepts: concepts.clone(),
                    folder: self.settings.output_folder(),
                    pictures: pictures.clone(),
                })));
            }
            JobEvent::Failed { text } => self.errors.set(ErrorSlot::Run, text),
            _ => {}
        }
        let is_decoded = matches!(event, JobEvent::Decoded { .. });
        run.receive(event);
        if is_last && let Some(queued_run) = self.queued.take() {
            effects.extend(self.start(queued_run));
        } else if is_last || is_decoded {
            effects.extend(self.decode_held_step());
        }
        effects
    }
}
