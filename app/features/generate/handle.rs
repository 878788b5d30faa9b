//! How [`AppState`] starts and stops a run.

use engine::pipeline::StopFlag;
use engine::recipe::{Recipe, random_seed};
use engine::session::{Job, JobEvent, JobId, Request};

use crate::features::branches::{BranchPoint, QueuedRun};
use crate::features::effect::{Batch, Effect};
use crate::features::errors::ErrorSlot;
use crate::features::film::FilmState;
use crate::features::generate::run::{Run, RunPhase};
use crate::features::state::{AppState, Model};

impl AppState {
    pub(crate) fn generate(&mut self) -> Vec<Effect> {
        if self.shared.recipe_error().is_some() {
            return Vec::new();
        }
        if matches!(self.shared.model, Model::Missing) {
            self.shared.errors.set(ErrorSlot::Run, "No model is open: choose one at the top of the window");
            return Vec::new();
        }
        // A seed that was typed, rolled or taken from a picture is used once as it is; after
        // that every picture gets a new one, unless the seed is locked.
        // A branch has the seed of its parent.
        let is_branch = self.runs.branch_from.is_some();
        if !is_branch
            && !self.shared.settings.seed_locked
            && self.runs.last_seed == Some(self.shared.recipe.seed)
        {
            self.shared.recipe.seed = random_seed();
        }
        let queued_run = self.queued_run();
        // What is painted may be too much; it is kept, so that some of it can be undone.
        if let Err(error) = queued_run.recipe.check() {
            self.shared.errors.set(ErrorSlot::Run, error.to_string());
            return Vec::new();
        }
        self.runs.last_seed = Some(self.shared.recipe.seed);
        if self.brush.of_branch(&self.runs).is_some() {
            self.brush.drawing = None;
        }
        self.brush.is_open = false;
        self.runs.branch_from = None;
        if self.is_making() {
            self.runs.queued = Some(queued_run);
            return Vec::new();
        }
        self.start(queued_run)
    }

    pub(crate) fn start(&mut self, queued_run: QueuedRun) -> Vec<Effect> {
        self.hide_sheet();
        let recorded_by = queued_run.parent.map(|parent| parent.job);
        if let Some(shown) = self.shown() {
            self.runs.previous_images = shown.pictures.to_vec();
        }
        self.send(queued_run.recipe, queued_run.parent, recorded_by)
    }

    /// Sends a run to the engine, which reuses the steps of `recorded_by` as far as they fit.
    pub(crate) fn send(
        &mut self,
        recipe: Recipe,
        parent: Option<BranchPoint>,
        recorded_by: Option<JobId>,
    ) -> Vec<Effect> {
        let job = Job { id: self.runs.next_id(), stop: StopFlag::default() };
        self.film = FilmState::default();
        self.shared.warning = None;
        self.shared.errors.clear(ErrorSlot::Run);
        self.runs.push(Run::new(job.clone(), recipe.clone(), parent, self.prompts.tokenizer.as_ref()));
        vec![Effect::Send(Request::Generate {
            job,
            recipe: Box::new(recipe),
            concepts: self.concepts.set.clone(),
            recorded_by,
            keeps_run: true,
        })]
    }

    pub(crate) fn stop(&mut self) {
        self.runs.queued = None;
        if let Some(run) = self.runs.iter_mut().find(|run| run.is_live()) {
            run.job.stop.raise();
            run.phase = RunPhase::Stopping;
        }
    }

    pub(crate) fn receive_job(&mut self, id: JobId, event: JobEvent) -> Vec<Effect> {
        if let Some(effects) = self.receive_cell(id, &event) {
            return effects;
        }
        let vae = self.shared.model_info().and_then(|info| info.vae.clone());
        let Some(run) = self.runs.get_mut(id) else { return Vec::new() };
        let mut effects = Vec::new();
        let is_last = event.is_last();
        match &event {
            JobEvent::Finished { pictures, concepts, .. } => {
                let model = match &self.shared.model {
                    Model::Open(info) => info.name.clone(),
                    Model::Opening { name, .. } => name.clone(),
                    Model::Missing => String::new(),
                };
                effects.push(Effect::Save(Box::new(Batch {
                    recipe: run.recipe.clone(),
                    model,
                    vae,
                    concepts: concepts.clone(),
                    folder: self.shared.settings.output_folder(),
                    pictures: pictures.clone(),
                })));
            }
            JobEvent::Failed { text } => self.shared.errors.set(ErrorSlot::Run, text),
            _ => {}
        }
        let is_decoded = matches!(event, JobEvent::Decoded { .. });
        run.receive(event);
        if is_last && let Some(queued_run) = self.runs.queued.take() {
            effects.extend(self.start(queued_run));
        } else if is_last || is_decoded {
            effects.extend(self.decode_held_step());
        }
        effects
    }
}
