//! The Models tab: the models on this machine, and the folders they are in.

use std::sync::Arc;

use egui::{Margin, ScrollArea, TextEdit, Ui, vec2};

use super::folders::{folders_height, model_folders_ui};
use super::row::{Row, model_row_ui};
use crate::features::command::Command;
use crate::features::convert::panel::convert_model_ui;
use crate::features::download::panel::get_model_ui;
use crate::features::errors::ErrorSlot;
use crate::features::models::{LibraryCommand, ModelCommand, Models};
use crate::features::state::{AppState, Shared};
use crate::library::{Entry, Library, ScanStatus};
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{field_frame, link_ui, note_ui, outlined_button_ui, problem_ui};

pub fn models_ui(ui: &mut Ui, state: &AppState, commands: &mut Vec<Command>) {
    get_model_ui(ui, state, commands);
    ui.add_space(theme::GAP_M);
    convert_model_ui(ui, &state.shared, &state.conversion, commands);
    search_ui(ui, &state.shared, &state.models, commands);
    if let Some(text) = state.shared.error_at(ErrorSlot::Model)
        && problem_ui(ui, &text, true)
    {
        commands.push(Command::Dismiss(ErrorSlot::Model));
    }
    for note in state.shared.model_info().into_iter().flat_map(|info| &info.notes) {
        note_ui(ui, note, theme::small(), Tokens::of(ui).dim);
    }
    ui.add_space(theme::GAP_S);
    let library = Arc::clone(&state.shared.library);
    let found = found(&library, &state.models.search);
    let below = folders_height(&library) + OPEN_HEIGHT + theme::GAP_L;
    let height = (ui.available_height() - below).max(2.0 * theme::MODEL_ROW_HEIGHT);
    ui.spacing_mut().item_spacing.y = ROW_GAP;
    ScrollArea::vertical()
        .id_salt("models")
        .max_height(height)
        .min_scrolled_height(height)
        .auto_shrink([false, true])
        .show_rows(ui, theme::MODEL_ROW_HEIGHT, found.len(), |ui, rows| {
            for row in &found[rows] {
                model_row_ui(ui, &state.shared, *row, commands);
            }
        });
    ui.spacing_mut().item_spacing.y = theme::GAP_S;
    if found.is_empty() {
        note_ui(ui, "No model matches.", theme::small(), Tokens::of(ui).dim);
    } else if library.entries.is_empty() && library.status == ScanStatus::Done {
        lesson_ui(ui, commands);
    }
    ui.add_space(theme::GAP_S);
    open_ui(ui, commands);
    ui.add_space(theme::GAP_M);
    model_folders_ui(ui, &state.shared, commands);
}

const ROW_GAP: f32 = 2.0;
/// Height of the two links below the list.
const OPEN_HEIGHT: f32 = 24.0;

/// The built-in model and the library's models that match every search word in name, kind or hash.
fn found<'a>(library: &'a Library, search: &str) -> Vec<Row<'a>> {
    let search = search.to_lowercase();
    let is_meant = |text: &[&str]| {
        let text = text.iter().map(|part| part.to_lowercase()).collect::<Vec<_>>();
        search.split_whitespace().all(|word| text.iter().any(|part| part.contains(word)))
    };
    let is_found = |entry: &&Entry| {
        let hash = entry.sha256.as_deref().unwrap_or_default();
        search.is_empty() || is_meant(&[&entry.name, entry.kind.label(), entry.precision_label(), hash])
    };
    let built_in = is_meant(&["Built-in"]).then_some(Row::BuiltIn);
    built_in.into_iter().chain(library.entries.iter().filter(is_found).map(Row::Entry)).collect()
}

fn search_ui(ui: &mut Ui, shared: &Shared, models: &Models, commands: &mut Vec<Command>) {
    let tokens = Tokens::of(ui);
    let mut search = models.search.clone();
    let id = ui.scope_id().with("search");
    let is_focused = ui.memory(|memory| memory.has_focus(id));
    let hint = match shared.library.entries.len() {
        0 => "Search models".to_owned(),
        count => format!("Search {} models", count + 1),
    };
    let field = TextEdit::singleline(&mut search)
        .id(id)
        .font(theme::body())
        .text_color(tokens.text)
        .hint_text(egui::RichText::new(hint).color(tokens.faint))
        .frame(field_frame(tokens, is_focused).inner_margin(Margin::symmetric(10, 6)))
        .desired_width(f32::INFINITY)
        .min_size(vec2(0.0, theme::FIELD_HEIGHT))
        .show(ui);
    if field.response.response.accessible_name("Search models").changed() {
        commands.push(Command::Library(LibraryCommand::Search(search)));
    }
}

/// The empty state: what to add, in the names by which people know their folders and files.
fn lesson_ui(ui: &mut Ui, commands: &mut Vec<Command>) {
    let tokens = Tokens::of(ui);
    ui.add_space(theme::GAP_M);
    ui.label(egui::RichText::new("Do you already have models?").font(theme::heading()).color(tokens.text));
    for text in [
        "Tidepool opens Stable Diffusion 1.x and 2.x models where they are. Nothing is copied \
            or moved.",
        "Add the folder of A1111 or Forge (stable-diffusion-webui), of ComfyUI or SwarmUI, or any folder \
         with files such as v1-5-pruned-emaonly.safetensors or dreams.ckpt.",
        "Models in the Hugging Face cache are found automatically.",
    ] {
        note_ui(ui, text, theme::small(), tokens.dim);
        ui.add_space(theme::GAP_S);
    }
    if outlined_button_ui(ui, "Add a folder…", true).clicked() {
        commands.push(Command::Library(LibraryCommand::AddFolder));
    }
}

/// Opens a model outside the library's folders.
fn open_ui(ui: &mut Ui, commands: &mut Vec<Command>) {
    let ink = Tokens::of(ui).dim;
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = theme::GAP_L;
        if link_ui(ui, "Open a model file…", theme::small(), ink, true).clicked() {
            commands.push(Command::Model(ModelCommand::ChooseFile));
        }
        if link_ui(ui, "Open a model folder…", theme::small(), ink, true).clicked() {
            commands.push(Command::Model(ModelCommand::ChooseFolder));
        }
    });
}
