//! Opening a model, and thinking better of it.

use std::path::PathBuf;

use engine::checkpoint::ModelSource;
use engine::pipeline::StopFlag;
use engine::session::Request;

use crate::features::command::Effect;
use crate::features::errors::ErrorSlot;
use crate::features::state::{AppState, Model};

impl AppState {
    pub(crate) fn open_model(&mut self, source: ModelSource) -> Vec<Effect> {
        self.errors.clear(ErrorSlot::Model);
        self.model = Model::Opening { name: source.name(), fraction: 0.0 };
        self.settings.model = source.clone();
        self.remember_recent(&source);
        self.opening = StopFlag::default();
        let (vae, device, stop) = (self.settings.vae.clone(), self.settings.device, self.opening.clone());
        vec![Effect::Send(Request::OpenModel { source, vae, device, stop })]
    }

    pub(crate) fn use_vae(&mut self, vae: Option<PathBuf>) -> Vec<Effect> {
        self.settings.vae = vae;
        self.open_model(self.settings.model.clone())
    }

    /// No model is open, and nothing is on its way from one.
    pub(crate) fn close_model(&mut self) {
        self.model = Model::Missing;
        self.forget_looks();
    }

    /// Back to the model that was open, which the engine still has if there was room; without one,
    /// there is none.
    pub(crate) fn stop_opening(&mut self) -> Vec<Effect> {
        if !matches!(self.model, Model::Opening { .. }) {
            return Vec::new();
        }
        self.opening.raise();
        self.close_model();
        let before = self.current_source.clone().filter(|opened| *opened != self.settings.model);
        before.map_or_else(Vec::new, |source| self.open_model(source))
    }
}
