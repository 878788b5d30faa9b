//! The status bar: activity, device, memory, and saved pictures.

use egui::{Align, Color32, Layout, Response, RichText, Sense, Ui, vec2};
use engine::memory::mode::MemoryMode;

use crate::features::branches::Runs;
use crate::features::command::Command;
use crate::features::device::DeviceState;
use crate::features::device::menu::{check_offer_ui, device_menu_ui};
use crate::features::drop::DropCommand;
use crate::features::generate::run::RunPhase;
use crate::features::settings::SettingsCommand;
use crate::features::state::{Model, Shared};
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{link_ui, tip};

use engine::format::human_size;

/// `memory` is the program's memory in bytes, if known.
pub fn status_bar_ui(
    ui: &mut Ui,
    shared: &Shared,
    runs: &Runs,
    device: &DeviceState,
    memory: Option<u64>,
    commands: &mut Vec<Command>,
) {
    let tokens = Tokens::of(ui);
    ui.spacing_mut().item_spacing.x = 6.0;
    let (color, doing) = doing(shared, runs, tokens);
    let (dot, _) = ui.allocate_exact_size(vec2(8.0, 8.0), Sense::hover());
    ui.painter().circle_filled(dot.center(), 3.5, color);
    word_ui(ui, &doing, tokens.dim);
    ui.add_space(theme::GAP_L);
    device_menu_ui(ui, shared, device, commands);
    ui.add_space(theme::GAP_L);
    if let Some(memory) = memory {
        word_ui(ui, &human_size(memory), tokens.dim).on_hover_text(about_memory(shared));
        ui.add_space(theme::GAP_L);
    }
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| right_ui(ui, shared, device, commands));
}

fn about_memory(shared: &Shared) -> String {
    let Some(info) = shared.model_info() else {
        return "Memory of this program".to_owned();
    };
    let needed = human_size(info.memory.bytes(&shared.recipe, MemoryMode::Full));
    format!("Memory of this program. The next run needs about {needed} more, or less in low-memory mode")
}

fn doing(shared: &Shared, runs: &Runs, tokens: &Tokens) -> (Color32, String) {
    if let Some(run) = runs.live() {
        let doing = match (run.phase, run.recipe.batch) {
            (RunPhase::Stopping, _) => "Stopping".to_owned(),
            (_, 1) => "Making a picture".to_owned(),
            (_, count) => format!("Making {count} pictures"),
        };
        return (tokens.accent, doing);
    }
    match &shared.model {
        Model::Opening { name, .. } => (tokens.accent, format!("Opening {name}")),
        Model::Missing => (tokens.coral, "No model is open".to_owned()),
        Model::Open(_) if shared.recipe_error().is_some() => {
            (tokens.coral, "A setting needs attention".to_owned())
        }
        Model::Open(_) => (tokens.accent, "Ready".to_owned()),
    }
}

fn right_ui(ui: &mut Ui, shared: &Shared, device: &DeviceState, commands: &mut Vec<Command>) {
    let tokens = Tokens::of(ui);
    let open_folder = |ui: &mut Ui, commands: &mut Vec<Command>| {
        let response = link_ui(ui, "Open folder", theme::small(), tokens.dim, true);
        let folder = shared.settings.output_folder().display().to_string();
        if tip(response, "Open folder", None, &folder).clicked() {
            commands.push(Command::Settings(SettingsCommand::OpenOutputFolder));
        }
    };
    if let Some(text) = shared.error_at(crate::features::errors::ErrorSlot::Output) {
        let response = link_ui(ui, "Choose a folder…", theme::small(), tokens.coral_text, true);
        if response.clicked() {
            commands.push(Command::Settings(SettingsCommand::ChooseOutputFolder));
        }
        truncated_ui(ui, &text, tokens.coral_text);
    } else if shared.crash_report.is_some() {
        let response = link_ui(ui, "Show the report", theme::small(), tokens.amber_text, true);
        let hint = "A text file without your prompts, pictures and paths. Nothing is sent: attach it if you report the problem.";
        if tip(response, "Show the report", None, hint).clicked() {
            commands.push(Command::Settings(SettingsCommand::ShowCrashReport));
        }
        truncated_ui(ui, "Tidepool did not end as usual the last time", tokens.amber_text);
    } else if let Some(text) = &shared.warning {
        truncated_ui(ui, text, tokens.amber_text);
    } else if let Some(gpu) = device.check_offer(shared) {
        check_offer_ui(ui, gpu, commands);
    } else if let Some(file) = shared.saved.first() {
        open_folder(ui, commands);
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let text = match shared.saved.len() {
            1 => format!("Saved {name}"),
            count => format!("Saved {count} pictures, starting with {name}"),
        };
        truncated_ui(ui, &text, tokens.dim).on_hover_text(file.display().to_string());
    } else if !shared.takes_drops {
        let response = link_ui(ui, "Open files…", theme::small(), tokens.dim, true);
        let hint = "Opens pictures, models and concepts, as if they were dropped on the window.";
        if tip(response, "Open files", None, hint).clicked() {
            commands.push(Command::Drop(DropCommand::Choose));
        }
        truncated_ui(ui, "Files cannot be dropped on a Wayland window; Open files does the same", tokens.dim);
    } else {
        open_folder(ui, commands);
        truncated_ui(ui, "Images are saved automatically", tokens.dim);
    }
}

fn word_ui(ui: &mut Ui, text: &str, color: Color32) -> Response {
    ui.label(RichText::new(text).font(theme::small()).color(color))
}

fn truncated_ui(ui: &mut Ui, text: &str, color: Color32) -> Response {
    let words = RichText::new(text).font(theme::small()).color(color);
    ui.add(egui::Label::new(words).truncate()).on_hover_text(text)
}
