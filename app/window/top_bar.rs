//! The top bar: logo, model, tabs and theme.

use egui::{Align, Layout, RichText, Sense, Ui, Vec2};
use engine::checkpoint::ModelSource;
use engine::format::human_size;

use super::side_panel::tabs_ui;
use crate::features::command::Command;
use crate::features::errors::ErrorSlot;
use crate::features::models::ModelCommand;
#[cfg(target_os = "linux")]
use crate::features::settings::window_system_ui;
use crate::features::settings::{SettingsCommand, ThemeChoice};
use crate::features::state::{Model, Shared};
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{Icon, SelectItem, Tool, chip_ui, icon_button_ui, logo_ui, menu_item_ui, note_ui};

pub fn top_bar_ui(ui: &mut Ui, shared: &Shared, commands: &mut Vec<Command>) {
    let tokens = Tokens::of(ui);
    ui.spacing_mut().item_spacing.x = theme::GAP_M;
    let (mark, _) = ui.allocate_exact_size(Vec2::splat(17.0), Sense::hover());
    logo_ui(ui, mark);
    ui.label(RichText::new("Tidepool").font(theme::heading()).color(tokens.text));
    ui.add_space(theme::GAP_S);
    model_chip_ui(ui, shared, commands);
    if matches!(shared.model, Model::Opening { .. }) {
        let sentence = "Stops opening and goes back to the previous model.";
        if icon_button_ui(ui, Icon::Close, "Stop opening", None, sentence, Tool::Bare).clicked() {
            commands.push(Command::Model(ModelCommand::StopOpening));
        }
    }
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        let (name, other) = if ui.visuals().dark_mode {
            ("Light theme", ThemeChoice::Light)
        } else {
            ("Dark theme", ThemeChoice::Dark)
        };
        let button =
            icon_button_ui(ui, Icon::Theme, name, None, "Switches between dark and light.", Tool::Bare);
        #[cfg(target_os = "linux")]
        egui::Popup::context_menu(&button).width(280.0).show(|ui| window_system_ui(ui, shared, commands));
        if button.clicked() {
            commands.push(Command::Settings(SettingsCommand::SetTheme(other)));
        }
        ui.add_space(theme::GAP_M);
        tabs_ui(ui, shared, commands);
        ui.with_layout(Layout::left_to_right(Align::Center), |ui| problem_line_ui(ui, shared));
    });
}

/// The model's error, in the remaining space.
fn problem_line_ui(ui: &mut Ui, shared: &Shared) {
    let Some(text) = shared.error_at(ErrorSlot::Model) else { return };
    let tokens = Tokens::of(ui);
    let (mark, _) = ui.allocate_exact_size(Vec2::splat(16.0), Sense::hover());
    Icon::Warning.paint_sized(ui.painter(), mark, 14.0, tokens.coral_text);
    let words = RichText::new(&text).font(theme::small()).color(tokens.coral_text);
    ui.add(egui::Label::new(words).truncate()).on_hover_text(&text);
}

fn model_chip_ui(ui: &mut Ui, shared: &Shared, commands: &mut Vec<Command>) {
    let (name, facts) = match &shared.model {
        Model::Open(info) => {
            (info.name.clone(), format!("{} px · {}", info.native_side, human_size(info.file_bytes)))
        }
        Model::Opening { name, fraction } if *fraction > 0.0 => {
            (name.clone(), format!("opening, {:.0} %", fraction * 100.0))
        }
        Model::Opening { name, .. } => (name.clone(), "opening".to_owned()),
        Model::Missing => ("No model".to_owned(), String::new()),
    };
    let sentence = shared.model_info().map_or_else(
        || "The model that makes the pictures.".to_owned(),
        |info| {
            let millions = info.parameters as f64 / 1e6;
            let side = info.native_side;
            format!("{}, {millions:.0} million parameters, native size {side} x {side}.", info.kind)
        },
    );
    chip_ui(ui, "Model", &name, &facts, &sentence, |ui| {
        let is_built_in = shared.settings.model == ModelSource::BuiltIn;
        let built_in = SelectItem {
            label: "Built-in",
            hint: "The small model inside this program: 128 x 128 pixels, no download.",
            chosen: is_built_in,
        };
        if menu_item_ui(ui, built_in) {
            commands.push(Command::Model(ModelCommand::Open(ModelSource::BuiltIn)));
        }
        for source in shared.settings.recent_models.iter().take(MAX_RECENT) {
            let (ModelSource::Folder(path) | ModelSource::File(path)) = source else { continue };
            let chosen = *source == shared.settings.model;
            let (label, hint) = (name_of(shared, source), path.display().to_string());
            if menu_item_ui(ui, SelectItem { label: &label, hint: &hint, chosen }) {
                commands.push(Command::Model(ModelCommand::Open(source.clone())));
            }
        }
        let open = SelectItem {
            label: "Open a model folder…",
            hint: "A Stable Diffusion model in diffusers layout. Dropping the folder on the window does the same.",
            chosen: false,
        };
        if menu_item_ui(ui, open) {
            commands.push(Command::Model(ModelCommand::ChooseFolder));
        }
        let open = SelectItem {
            label: "Open a model file…",
            hint: "A single .safetensors or .ckpt file. Pickles are read as data: nothing in them is run.",
            chosen: false,
        };
        if menu_item_ui(ui, open) {
            commands.push(Command::Model(ModelCommand::ChooseFile));
        }
        if let Some(text) = shared.error_at(ErrorSlot::Model) {
            ui.add_space(theme::GAP_S);
            note_ui(ui, text, theme::small(), Tokens::of(ui).coral_text);
        }
    });
}

/// The most recent models in the menu.
const MAX_RECENT: usize = 6;

/// The library's name for it, if it is in the library.
fn name_of(shared: &Shared, source: &ModelSource) -> String {
    let known = shared.library.entries.iter().find(|entry| entry.source == *source);
    known.map_or_else(|| source.name(), |entry| entry.name.clone())
}
