//! The models at hand.

use egui::Ui;
use engine::checkpoint::ModelSource;

use crate::command::Command;
use crate::problems::Place;
use crate::state::AppState;
use crate::theme;
use crate::widgets::{SelectItem, menu_item_ui, outlined_button_ui, problem_ui};

pub fn models_ui(ui: &mut Ui, state: &AppState, commands: &mut Vec<Command>) {
    let chosen = state.settings.model == ModelSource::BuiltIn;
    let hint = "The small model inside this program: 128 x 128 pixels, at once, anywhere.";
    if menu_item_ui(ui, SelectItem { label: "Built-in", hint, chosen }) {
        commands.push(Command::OpenModel(ModelSource::BuiltIn));
    }
    ui.add_space(theme::GAP_M);
    if outlined_button_ui(ui, "Open a model file…", false).clicked() {
        commands.push(Command::ChooseModelFile);
    }
    if outlined_button_ui(ui, "Open a model folder…", false).clicked() {
        commands.push(Command::ChooseModelFolder);
    }
    if let Some(text) = state.problem_at(Place::Model) {
        ui.add_space(theme::GAP_M);
        if problem_ui(ui, &text, true) {
            commands.push(Command::Dismiss(Place::Model));
        }
    }
}
