//! Opening a model, and stopping that.

use std::path::PathBuf;

use engine::checkpoint::ModelSource;
use engine::pipeline::StopFlag;
use engine::session::{ModelEvent, Request};

use crate::features::effect::{Effect, Task};
use crate::features::errors::ErrorSlot;
use crate::features::models::ModelCommand;
use crate::features::state::{AppState, Model};

impl AppState {
    pub(crate) fn handle_model(&mut self, command: ModelCommand) -> Vec<Effect> {
        match command {
            ModelCommand::ChooseFolder => vec![Effect::Task(Task::PickModelFolder)],
            ModelCommand::ChooseFile => vec![Effect::Task(Task::PickModelFile)],
            ModelCommand::Open(source) => self.open_model(source),
            ModelCommand::UseVae(vae) => self.use_vae(vae),
            ModelCommand::StopOpening => self.stop_opening(),
        }
    }

    pub(crate) fn open_model(&mut self, source: ModelSource) -> Vec<Effect> {
        self.shared.errors.clear(ErrorSlot::Model);
        self.shared.model = Model::Opening { name: source.name(), fraction: 0.0 };
        self.shared.settings.model = source.clone();
        self.remember_recent(&source);
        self.models.opening = StopFlag::default();
        let (vae, device, stop) =
            (self.shared.settings.vae.clone(), self.shared.settings.device, self.models.opening.clone());
        vec![Effect::Send(Request::OpenModel { source, vae, device, stop })]
    }

    pub(crate) fn use_vae(&mut self, vae: Option<PathBuf>) -> Vec<Effect> {
        self.shared.settings.vae = vae;
        self.open_model(self.shared.settings.model.clone())
    }

    /// Marks that no model is open, and drops what the last one was computing.
    pub(crate) fn close_model(&mut self) {
        self.shared.model = Model::Missing;
        self.forget_looks();
    }

    /// Goes back to the previous model, which the engine still has if memory allowed; without one,
    /// no model is open.
    pub(crate) fn stop_opening(&mut self) -> Vec<Effect> {
        if !matches!(self.shared.model, Model::Opening { .. }) {
            return Vec::new();
        }
        self.models.opening.raise();
        self.close_model();
        let before =
            self.models.current_source.clone().filter(|opened| *opened != self.shared.settings.model);
        before.map_or_else(Vec::new, |source| self.open_model(source))
    }

    pub(crate) fn receive_model(&mut self, event: ModelEvent) -> Vec<Effect> {
        match event {
            // Progress may still arrive from an opening that was stopped.
            ModelEvent::Opening { .. } if self.models.opening.is_raised() => {}
            ModelEvent::Opening { name, fraction } => self.shared.model = Model::Opening { name, fraction },
            // An opening also ends early when a newer one starts.
            ModelEvent::Stopped if self.models.opening.is_raised() => self.close_model(),
            ModelEvent::Stopped => {}
            ModelEvent::Opened(info) => {
                self.shared.errors.clear(ErrorSlot::Model);
                self.shared.errors.clear(ErrorSlot::Run);
                if info.name == self.shared.settings.model.name() {
                    self.models.current_source = Some(self.shared.settings.model.clone());
                    self.models.current_vae.clone_from(&self.shared.settings.vae);
                }
                self.shared.model = Model::Open(info);
                self.forget_looks();
                self.reread_prompts();
                self.forget_maps();
            }
            // A VAE that does not fit is removed again.
            ModelEvent::Failed { text }
                if self.models.current_source.as_ref() == Some(&self.shared.settings.model)
                    && self.shared.settings.vae != self.models.current_vae =>
            {
                self.shared.warning = Some(text);
                return self.use_vae(self.models.current_vae.clone());
            }
            ModelEvent::Failed { text } => {
                self.close_model();
                self.shared.errors.set(ErrorSlot::Model, text);
            }
        }
        Vec::new()
    }
}
