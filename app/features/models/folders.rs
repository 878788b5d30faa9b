//! The model folders, at the bottom of the list.

use egui::{Align, Label, Layout, RichText, ScrollArea, Sense, Ui, vec2};

use crate::features::command::Command;
use crate::features::models::LibraryCommand;
use crate::features::state::Shared;
use crate::library::{Folder, Library, ScanStatus};
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{Icon, Tool, close_ui, icon_button_ui, line_ui, link_ui, note_ui, tip};

const HEAD: f32 = 30.0;
const LINE: f32 = 22.0;
const PROBLEM: f32 = 50.0;
/// The height beyond which the folders scroll.
const MAX: f32 = 150.0;

/// The height that [`model_folders_ui`] takes.
pub fn folders_height(library: &Library) -> f32 {
    let of = |folder: &Folder| LINE + if folder.problem.is_some() { PROBLEM } else { 0.0 };
    HEAD + library.folders.iter().map(of).sum::<f32>().min(MAX) + work_height(library)
}

fn work_height(library: &Library) -> f32 {
    if library.status == ScanStatus::Done { 0.0 } else { LINE }
}

pub fn model_folders_ui(ui: &mut Ui, shared: &Shared, commands: &mut Vec<Command>) {
    let tokens = Tokens::of(ui);
    line_ui(ui);
    ui.horizontal(|ui| {
        ui.label(RichText::new("Folders").font(theme::label()).color(tokens.dim));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.spacing_mut().item_spacing.x = theme::GAP_S;
            let add = "Lists and opens the models in it where they are. Nothing is copied.";
            if icon_button_ui(ui, Icon::Plus, "Add a folder…", None, add, Tool::Bare).clicked() {
                commands.push(Command::Library(LibraryCommand::AddFolder));
            }
            let again = "Finds models that were added or removed.";
            if icon_button_ui(ui, Icon::Refresh, "Rescan", None, again, Tool::Bare).clicked() {
                commands.push(Command::Library(LibraryCommand::Rescan));
            }
        });
    });
    ui.spacing_mut().item_spacing.y = 0.0;
    ScrollArea::vertical().id_salt("model folders").max_height(MAX).auto_shrink([false, true]).show(
        ui,
        |ui| {
            for folder in &shared.library.folders {
                folder_ui(ui, folder, commands);
            }
        },
    );
    work_ui(ui, shared, commands);
}

fn folder_ui(ui: &mut Ui, folder: &Folder, commands: &mut Vec<Command>) {
    let tokens = Tokens::of(ui);
    let path = folder.path.display().to_string();
    let name = folder.path.file_name().unwrap_or(folder.path.as_os_str()).to_string_lossy();
    let ink = if folder.problem.is_some() { tokens.coral_text } else { tokens.dim };
    ui.allocate_ui_with_layout(
        vec2(ui.available_width(), LINE),
        Layout::right_to_left(Align::Center),
        |ui| {
            ui.spacing_mut().item_spacing.x = theme::GAP_S;
            if close_ui(ui, &format!("Remove {name}")).clicked() {
                commands.push(Command::Library(LibraryCommand::RemoveFolder(folder.path.clone())));
            }
            ui.label(RichText::new(folder.count.to_string()).font(theme::mono()).color(tokens.faint));
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                let (mark, _) = ui.allocate_exact_size(vec2(15.0, 15.0), Sense::hover());
                Icon::Folder.paint_sized(ui.painter(), mark, 13.0, ink);
                let shown = if folder.layout.label() == "Folder" {
                    name.to_string()
                } else {
                    format!("{name} · {}", folder.layout.label())
                };
                let words = RichText::new(shown).font(theme::small()).color(ink);
                tip(ui.add(Label::new(words).truncate()), folder.layout.label(), None, &path);
            });
        },
    );
    if let Some(problem) = &folder.problem {
        let words = RichText::new(problem).font(theme::small()).color(tokens.coral_text);
        ui.scope(|ui| {
            ui.set_max_height(PROBLEM);
            ui.add(Label::new(words).wrap()).on_hover_text(problem);
        });
    }
}

/// The scanner's progress, and a button to pause it.
fn work_ui(ui: &mut Ui, shared: &Shared, commands: &mut Vec<Command>) {
    let tokens = Tokens::of(ui);
    let paused = shared.settings.hashing_paused;
    let text = match shared.library.status {
        ScanStatus::Done => return,
        ScanStatus::Scanning => "Scanning folders".to_owned(),
        ScanStatus::Hashing { left } if paused => format!("Hashing is paused, {left} to go"),
        ScanStatus::Hashing { left } => format!("Hashing, {left} to go"),
    };
    ui.horizontal(|ui| {
        let label = note_ui(ui, text, theme::small(), tokens.faint);
        let sentence = "Other programs identify a model by its hash. It is computed once, while nothing else \
            is running.";
        tip(label, "Hashing", None, sentence);
        if shared.library.status == ScanStatus::Scanning {
            return;
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let word = if paused { "Resume" } else { "Pause" };
            if link_ui(ui, word, theme::small(), tokens.dim, true).clicked() {
                commands.push(Command::Library(LibraryCommand::PauseHashing(!paused)));
            }
        });
    });
}
