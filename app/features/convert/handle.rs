//! How [`AppState`] handles the conversion of a pickle.

use std::path::PathBuf;

use engine::checkpoint::ModelSource;
use engine::pipeline::StopFlag;

use crate::features::convert::{Conversion, ConversionReport, ConvertCommand, pickle_of};
use crate::features::effect::{Effect, Task};
use crate::features::errors::ErrorSlot;
use crate::features::state::{AppState, Model, Shared};

impl AppState {
    pub(crate) fn handle_conversion(&mut self, command: ConvertCommand) -> Vec<Effect> {
        match command {
            ConvertCommand::Start => {
                let Some(file) = self.conversion.offered_conversion(&self.shared) else { return Vec::new() };
                let stop = StopFlag::default();
                self.shared.errors.clear(ErrorSlot::Model);
                self.conversion =
                    Conversion::Running { file: file.clone(), fraction: 0.0, stop: stop.clone() };
                return vec![Effect::Task(Task::Convert { file, stop })];
            }
            ConvertCommand::Cancel => {
                if let Conversion::Running { stop, .. } = &self.conversion {
                    stop.raise();
                }
            }
            ConvertCommand::Decline => {
                if let Some(pickle) = self.conversion.offered_conversion(&self.shared) {
                    self.shared.settings.kept_pickles.push(pickle);
                }
            }
            ConvertCommand::UseIt => {
                if let Conversion::Done(file) = std::mem::take(&mut self.conversion) {
                    return self.open_model(ModelSource::File(file));
                }
            }
            ConvertCommand::Close => self.conversion = Conversion::Idle,
        }
        Vec::new()
    }

    pub(crate) fn receive_conversion(&mut self, report: ConversionReport) -> Vec<Effect> {
        let Conversion::Running { fraction, stop, .. } = &mut self.conversion else { return Vec::new() };
        match report {
            ConversionReport::Progress(now) => *fraction = now,
            ConversionReport::Ended(Ok(file)) => {
                self.conversion = Conversion::Done(file);
                return self.look_for_models();
            }
            ConversionReport::Ended(Err(text)) => {
                let is_wanted = stop.is_raised();
                self.conversion = Conversion::Idle;
                if !is_wanted {
                    self.shared.errors.set(ErrorSlot::Model, text);
                }
            }
        }
        Vec::new()
    }
}

impl Conversion {
    /// The pickle of the current model, unless it was converted or the offer declined.
    pub fn offered_conversion(&self, shared: &Shared) -> Option<PathBuf> {
        let Model::Open(_) = shared.model else { return None };
        let pickle = pickle_of(&shared.settings.model)?.to_owned();
        let beside = pickle.with_extension("safetensors");
        let is_converted = shared.library.entries.iter().any(|entry| entry.path() == beside)
            || matches!(self, Conversion::Done(file) if *file == beside);
        (!is_converted && !shared.settings.kept_pickles.contains(&pickle)).then_some(pickle)
    }
}
