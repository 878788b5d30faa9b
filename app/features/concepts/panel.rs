//! The Concepts tab: clicking a concept inserts it into the prompt.

use std::path::Path;
use std::sync::Arc;

use egui::{
    Align, CornerRadius, CursorIcon, Frame, Id, Label, Layout, Margin, Panel, Rect, RichText, Role,
    ScrollArea, Sense, Stroke, StrokeKind, TextEdit, TextWrapMode, Ui, UiBuilder, Vec2, WidgetInfo,
    WidgetText, pos2, vec2,
};
use engine::checkpoint::ModelSource;
use engine::concepts::{BUILT_IN, Concept};

use crate::features::command::Command;
use crate::features::concepts::{ConceptCommand, Concepts};
use crate::features::prompt::prompt_words::insert_word;
use crate::features::settings::SettingsCommand;
use crate::features::state::{AppState, Shared};
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{
    Icon, Tool, close_ui, field_frame, focus_ring, icon_button_ui, label_ui, line_ui, link_ui, note_ui,
    outlined_button_ui, problem_ui, tip,
};

/// Two lines of text with padding.
const ROW: f32 = 46.0;
/// Longer lists get a search field.
const SEARCHED: usize = 8;
/// The most refused files shown at once.
const MAX_REFUSED: usize = 4;

/// The folders stay at the bottom, however many concepts there are.
pub fn concepts_ui(ui: &mut Ui, state: &AppState, commands: &mut Vec<Command>) {
    Panel::bottom("concept folders").resizable(false).show_separator_line(false).frame(Frame::NONE).show(
        ui,
        |ui| {
            ui.add_space(theme::GAP_M);
            line_ui(ui);
            ui.add_space(theme::GAP_M);
            folders_ui(ui, &state.shared, commands);
        },
    );
    let count = state.concepts.set.iter().len();
    ui.horizontal(|ui| {
        if outlined_button_ui(ui, "Load concepts…", false).clicked() {
            commands.push(Command::Concept(ConceptCommand::Choose));
        }
        if count > 0 {
            let words = if count == 1 { "1 concept".to_owned() } else { format!("{count} concepts") };
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.label(RichText::new(words).font(theme::small()).color(Tokens::of(ui).dim));
            });
        }
    });
    let is_there = |name: &str| {
        state.concepts.set.iter().any(|concept| name.strip_suffix(".bin") == Some(&concept.name()))
    };
    if state.shared.settings.model == ModelSource::BuiltIn && !BUILT_IN.iter().all(|(name, _)| is_there(name))
    {
        ui.add_space(theme::GAP_S);
        let hint = "A style and an animal that the built-in model learned afterwards. They become files in your concept folder.";
        let button = outlined_button_ui(ui, "Add those of the built-in model", false);
        if tip(button, "Add those of the built-in model", None, hint).clicked() {
            commands.push(Command::Concept(ConceptCommand::AddBuiltIn));
        }
    }
    ui.add_space(theme::GAP_M);
    let wanted = if count > SEARCHED { search_ui(ui) } else { String::new() };
    ScrollArea::vertical().id_salt("concepts").auto_shrink([false, false]).show(ui, |ui| {
        refused_ui(ui, &state.concepts, commands);
        if count == 0 {
            empty_ui(ui);
        } else {
            list_ui(ui, state, &wanted, commands);
        }
    });
}

/// What concepts are, what their files are called, and how they are used.
fn empty_ui(ui: &mut Ui) {
    let tokens = Tokens::of(ui);
    let paragraphs = [
        "A concept is a word that someone taught a model: a style or an object. It comes as a \
            small file such as learned_embeds.bin, birb-style.pt or easynegative.safetensors.",
        "Put such files into a watched folder, drop them on this window, or load them with the button above.",
        "In the prompt, write a concept as <birb-style>, by its file name, or as \
            embedding:birb-style. Clicking it here does the same.",
    ];
    for paragraph in paragraphs {
        note_ui(ui, paragraph, theme::small(), tokens.dim);
        ui.add_space(theme::GAP_M);
    }
}

fn refused_ui(ui: &mut Ui, concepts: &Concepts, commands: &mut Vec<Command>) {
    for (file, text) in concepts.refused.iter().take(MAX_REFUSED) {
        if problem_ui(ui, text, true) {
            commands.push(Command::Concept(ConceptCommand::Forget(file.clone())));
        }
        ui.add_space(theme::GAP_M);
    }
    let more = concepts.refused.len().saturating_sub(MAX_REFUSED);
    if more > 0 {
        let text = format!("and {more} more that are not concepts");
        note_ui(ui, text, theme::small(), Tokens::of(ui).coral_text);
        ui.add_space(theme::GAP_M);
    }
}

fn list_ui(ui: &mut Ui, state: &AppState, wanted: &str, commands: &mut Vec<Command>) {
    let mut concepts: Vec<(String, &Arc<Concept>)> = state
        .concepts
        .set
        .iter()
        .map(|concept| (format!("{} {}", concept.token, concept.name()).to_lowercase(), concept))
        .filter(|(names, _)| names.contains(wanted))
        .collect();
    concepts.sort_by(|(a, _), (b, _)| a.cmp(b));
    if concepts.is_empty() {
        note_ui(ui, "No concept matches.", theme::small(), Tokens::of(ui).dim);
    }
    ui.spacing_mut().item_spacing.y = 2.0;
    for (_, concept) in concepts {
        let (_, rect) = ui.allocate_space(vec2(ui.available_width(), ROW));
        // Only the rows in view are drawn.
        if ui.is_rect_visible(rect) {
            row_ui(ui, rect, &state.shared, &state.concepts, concept, commands);
        }
    }
}

/// The search text, in lower case.
fn search_ui(ui: &mut Ui) -> String {
    let id = Id::unique("concept search");
    let mut wanted: String = ui.data(|data| data.get_temp(id)).unwrap_or_default();
    let tokens = Tokens::of(ui);
    let focused = ui.memory(|memory| memory.has_focus(id));
    field_frame(tokens, focused).show(ui, |ui| {
        let hint = RichText::new("Search").font(theme::body()).color(tokens.faint);
        let field = TextEdit::singleline(&mut wanted).id(id).hint_text(hint).font(theme::body());
        let inset = Frame::NONE.inner_margin(Margin::symmetric(10, 6));
        let response = ui.add(field.frame(inset).desired_width(ui.available_width() - 20.0));
        response.accessible_name("Search concepts");
    });
    ui.add_space(theme::GAP_M);
    ui.data_mut(|data| data.insert_temp(id, wanted.clone()));
    wanted.trim().to_lowercase()
}

/// Why a concept is not used, if so: in short, and as a sentence.
fn unreadable_reason(shared: &Shared, concepts: &Concepts, concept: &Concept) -> Option<(String, String)> {
    if let Some(other) = concepts.set.shadowed_by(concept) {
        let sentence = format!("Another file with the same word is used instead: {}", other.source.display());
        return Some((format!("not used: {} has the same word", other.name()), sentence));
    }
    let error = concept.check_width(shared.model_info()?.text_width).err()?;
    Some((format!("does not fit: made for {}", concept.family()), error.to_string()))
}

fn row_ui(
    ui: &mut Ui,
    rect: Rect,
    shared: &Shared,
    concepts: &Concepts,
    concept: &Concept,
    commands: &mut Vec<Command>,
) {
    let tokens = Tokens::of(ui);
    let unreadable_reason = unreadable_reason(shared, concepts, concept);
    // A concept in a watched folder is removed with its file.
    let removable = shared.settings.concept_files.contains(&concept.source);
    let press =
        Rect::from_min_max(rect.min, pos2(rect.right() - if removable { 26.0 } else { 0.0 }, rect.bottom()));
    let id = Id::unique(("concept", &concept.source));
    let response = ui.interact(press, id, Sense::click());
    response.widget_info(|| {
        WidgetInfo::labeled(Role::Button, unreadable_reason.is_none(), format!("Insert {}", concept.token))
    });
    let corner = CornerRadius::same(theme::CORNER_FIELD);
    let line = if response.hovered() { tokens.line_strong } else { tokens.line };
    ui.painter().rect(rect, corner, tokens.card, Stroke::new(1.0, line), StrokeKind::Inside);

    let (ink, note) = match &unreadable_reason {
        None => (tokens.coral_text, file_name(&concept.source)),
        Some((short, _)) => (tokens.dim, short.clone()),
    };
    let note_ink = if unreadable_reason.is_none() { tokens.dim } else { tokens.amber_text };
    let count = format!("×{}", concept.count());
    let count = ui.painter().layout_no_wrap(count, theme::mono(), tokens.dim);
    let inside = press.shrink2(vec2(10.0, 0.0));
    let room = inside.width() - count.size().x - theme::GAP_M;
    let lines = [
        (&concept.token, theme::body(), ink, room, 5.0),
        (&note, theme::small(), note_ink, inside.width(), 24.0),
    ];
    for (text, font, ink, room, top) in lines {
        let text = WidgetText::from(RichText::new(text).font(font.clone()));
        let galley = text.into_galley(ui, Some(TextWrapMode::Truncate), room, font);
        ui.painter().galley_with_override_text_color(inside.min + vec2(0.0, top), galley, ink);
    }
    let at = pos2(inside.right() - count.size().x, rect.top() + 7.0);
    ui.painter().galley(at, count, tokens.dim);
    focus_ring(ui, &response, theme::CORNER_FIELD);

    let sentence = match &unreadable_reason {
        None => "Click to insert it at the cursor.",
        Some((_, sentence)) => sentence,
    };
    let facts = match concept.count() {
        1 => format!("1 vector of {}", concept.width),
        count => format!("{count} vectors of {}", concept.width),
    };
    let response = response.on_hover_cursor(CursorIcon::PointingHand);
    let path = concept.source.display();
    let response = tip(response, &concept.token, Some(&facts), &format!("{sentence}\n{path}"));
    if response.clicked() && unreadable_reason.is_none() {
        commands.push(insert_word(ui.ctx(), shared, &concept.token));
    }
    if removable {
        let place = Rect::from_center_size(pos2(press.right() + 9.0, rect.center().y), Vec2::splat(16.0));
        let mut corner = ui.new_child(UiBuilder::new().max_rect(place));
        if close_ui(&mut corner, &format!("Remove {}", concept.token)).clicked() {
            commands.push(Command::Concept(ConceptCommand::Forget(concept.source.clone())));
        }
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// The watched folders.
fn folders_ui(ui: &mut Ui, shared: &Shared, commands: &mut Vec<Command>) {
    let tokens = Tokens::of(ui);
    label_ui(ui, "Watched folders").on_hover_text("Concepts in these folders are loaded automatically.");
    let own = shared.settings.concept_folders();
    for folder in shared.watched_folders() {
        ui.horizontal(|ui| {
            let name = folder.display().to_string();
            let sentence = "Opens the folder. Files that you put there are loaded automatically.";
            if icon_button_ui(ui, Icon::Folder, "Show the folder", None, sentence, Tool::Bare).clicked() {
                commands.push(Command::Settings(SettingsCommand::OpenFolder(folder.clone())));
            }
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let sentence = "Stops watching this folder. The files stay where they are.";
                // The others belong to model folders.
                if own.contains(&folder)
                    && icon_button_ui(ui, Icon::Close, "Stop watching", None, sentence, Tool::Bare).clicked()
                {
                    commands.push(Command::Concept(ConceptCommand::ForgetFolder(folder.clone())));
                }
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                    let words = RichText::new(shortened(&name)).font(theme::small()).color(tokens.dim);
                    ui.add(Label::new(words).truncate()).on_hover_text(&name);
                });
            });
        });
    }
    if link_ui(ui, "Watch a folder…", theme::small(), tokens.dim, true).clicked() {
        commands.push(Command::Concept(ConceptCommand::ChooseFolder));
    }
}

/// The end of a path says more than its start.
fn shortened(path: &str) -> String {
    const LETTERS: usize = 30;
    let count = path.chars().count();
    if count <= LETTERS {
        return path.to_owned();
    }
    std::iter::once('…').chain(path.chars().skip(count - LETTERS)).collect()
}
