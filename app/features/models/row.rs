//! A row of the model list: name, kind, and whether it is the current model.

use egui::text::{LayoutJob, TextWrapping};
use egui::{
    Color32, CornerRadius, CursorIcon, FontId, Rect, Response, RichText, Role, Sense, Stroke, StrokeKind,
    TextFormat, Ui, UiBuilder, WidgetInfo, pos2, vec2,
};
use engine::checkpoint::ModelSource;

use crate::features::command::Command;
use crate::features::models::ModelCommand;
use crate::features::state::{Model, Shared};
use crate::library::Entry;
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{Icon, close_ui, focus_ring, note_ui};
use engine::format::human_size;

/// What a row shows.
#[derive(Clone, Copy, Debug)]
pub enum Row<'a> {
    BuiltIn,
    Entry(&'a Entry),
}

/// The state of a row's model.
#[derive(Clone, Copy, PartialEq)]
enum RowStatus {
    None,
    InUse,
    /// The fraction opened, 0 to 1.
    Opening(f32),
    /// It could not be opened.
    Failed,
}

/// Padding between a row's edges and its text.
const PAD: f32 = 9.0;

pub fn model_row_ui(ui: &mut Ui, shared: &Shared, row: Row<'_>, commands: &mut Vec<Command>) {
    let size = vec2(ui.available_width(), theme::MODEL_ROW_HEIGHT);
    let is_of_use = opens(row) || matches!(row, Row::Entry(entry) if entry.is_vae());
    let sense = if is_of_use { Sense::click() } else { Sense::hover() };
    let (rect, response) = ui.allocate_exact_size(size, sense);
    let is_chosen = is_chosen(shared, row);
    response.widget_info(|| WidgetInfo::selected(Role::RadioButton, is_of_use, is_chosen, name_of(row)));
    if !ui.is_rect_visible(rect) {
        return;
    }
    let status = match &shared.model {
        Model::Open(_) if is_chosen => RowStatus::InUse,
        Model::Opening { fraction, .. } if is_chosen && opens(row) => RowStatus::Opening(*fraction),
        Model::Missing if is_chosen => RowStatus::Failed,
        _ => RowStatus::None,
    };
    ground_ui(ui, rect, &response, status == RowStatus::InUse);
    words_ui(ui, rect, row, is_of_use, status);
    focus_ring(ui, &response, theme::CORNER_TOOL);
    let response = if is_of_use { response.on_hover_cursor(CursorIcon::PointingHand) } else { response };
    if response.clicked() {
        commands.extend(command(row, is_chosen, status));
    }
    if matches!(status, RowStatus::Opening(_)) {
        let corner =
            Rect::from_center_size(pos2(rect.right() - PAD - 7.0, rect.top() + 14.0), vec2(16.0, 16.0));
        if close_ui(&mut ui.new_child(UiBuilder::new().max_rect(corner)), "Cancel opening").clicked() {
            commands.push(Command::Model(ModelCommand::StopOpening));
        }
    }
    response.on_hover_ui(|ui| {
        egui::Frame::new().inner_margin(egui::Margin::symmetric(5, 3)).show(ui, |ui| facts_ui(ui, row));
    });
}

/// The command of a click. A VAE replaces the model's own until it is clicked again.
fn command(row: Row<'_>, is_chosen: bool, status: RowStatus) -> Option<Command> {
    match row {
        Row::Entry(vae) if vae.is_vae() => {
            Some(Command::Model(ModelCommand::UseVae((!is_chosen).then(|| vae.path().to_owned()))))
        }
        _ if !matches!(status, RowStatus::None | RowStatus::Failed) => None,
        Row::BuiltIn => Some(Command::Model(ModelCommand::Open(ModelSource::BuiltIn))),
        Row::Entry(entry) => Some(Command::Model(ModelCommand::Open(entry.source.clone()))),
    }
}

fn is_chosen(shared: &Shared, row: Row<'_>) -> bool {
    match row {
        Row::BuiltIn => shared.settings.model == ModelSource::BuiltIn,
        Row::Entry(vae) if vae.is_vae() => shared.settings.vae.as_deref() == Some(vae.path()),
        Row::Entry(entry) => shared.settings.model == entry.source,
    }
}

fn opens(row: Row<'_>) -> bool {
    match row {
        Row::BuiltIn => true,
        Row::Entry(entry) => entry.opens(),
    }
}

fn name_of(row: Row<'_>) -> &str {
    match row {
        Row::BuiltIn => "Built-in",
        Row::Entry(entry) => &entry.name,
    }
}

fn ground_ui(ui: &Ui, rect: Rect, response: &Response, is_in_use: bool) {
    let tokens = Tokens::of(ui);
    let corner = CornerRadius::same(theme::CORNER_TOOL);
    if is_in_use {
        ui.painter().rect(rect, corner, tokens.card, Stroke::new(1.0, tokens.accent), StrokeKind::Inside);
    } else if response.hovered() {
        ui.painter().rect_filled(rect, corner, tokens.card);
    }
}

fn words_ui(ui: &Ui, rect: Rect, row: Row<'_>, is_of_use: bool, status: RowStatus) {
    let tokens = Tokens::of(ui);
    let (ink, quiet) = if is_of_use { (tokens.text, tokens.dim) } else { (tokens.faint, tokens.faint) };
    let inner = rect.shrink2(vec2(PAD, 6.0));
    let status_width = if status == RowStatus::None { 0.0 } else { 20.0 };
    let font = if status == RowStatus::None { theme::body() } else { theme::heading() };
    let name = name_galley(ui, name_of(row), inner.width() - status_width, &font, ink, quiet);
    ui.painter().galley(inner.min, name, ink);
    let icon = match status {
        RowStatus::InUse => Some((Icon::Check, tokens.accent)),
        RowStatus::Failed => Some((Icon::Warning, tokens.coral_text)),
        RowStatus::None | RowStatus::Opening(_) => None,
    };
    if let Some((icon, ink)) = icon {
        let place = Rect::from_center_size(pos2(inner.right() - 7.0, inner.top() + 8.0), vec2(14.0, 14.0));
        icon.paint_sized(ui.painter(), place, 14.0, ink);
    }

    let hash = match row {
        Row::Entry(entry) => entry.short_hash().unwrap_or_default().to_owned(),
        Row::BuiltIn => String::new(),
    };
    let hash = ui.painter().layout_no_wrap(hash, theme::mono_small(), tokens.faint);
    let facts = match (status, row) {
        (RowStatus::Opening(fraction), _) => format!("Opening, {:.0} %", 100.0 * fraction),
        (_, Row::BuiltIn) => "Inside this program, 128 px".to_owned(),
        (_, Row::Entry(entry)) => short_facts(entry),
    };
    let facts = one_line(ui, &facts, inner.width() - hash.size().x - theme::GAP_M, theme::small(), quiet);
    let foot = |height: f32| inner.bottom() - height;
    ui.painter().galley(pos2(inner.left(), foot(facts.size().y)), facts, quiet);
    let at = pos2(inner.right() - hash.size().x, foot(hash.size().y) - 1.0);
    ui.painter().galley(at, hash, tokens.faint);
    if let RowStatus::Opening(fraction) = status {
        let track = Rect::from_min_max(
            pos2(inner.left(), rect.bottom() - 3.0),
            pos2(inner.right(), rect.bottom() - 1.0),
        );
        let mut done = track;
        done.set_width(track.width() * fraction.clamp(0.0, 1.0));
        ui.painter().rect_filled(track, 1.0, tokens.line);
        ui.painter().rect_filled(done, 1.0, tokens.accent);
    }
}

fn short_facts(entry: &Entry) -> String {
    let size = human_size(entry.bytes);
    [entry.kind.label(), &size, entry.precision_label()]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" · ")
}

/// The name with its folders in dim text. Where that is too long, the folders are dropped first.
fn name_galley(
    ui: &Ui,
    name: &str,
    width: f32,
    font: &FontId,
    ink: Color32,
    quiet: Color32,
) -> std::sync::Arc<egui::Galley> {
    let (folders, last) =
        name.rsplit_once('/').map_or(("", name), |(_, last)| name.split_at(name.len() - last.len()));
    let laid = |folders: &str| {
        let mut job = LayoutJob { wrap: TextWrapping::truncate_at_width(width), ..LayoutJob::default() };
        job.append(folders, 0.0, TextFormat::simple(font.clone(), quiet));
        job.append(last, 0.0, TextFormat::simple(font.clone(), ink));
        ui.painter().layout_job(job)
    };
    let whole = laid(folders);
    if whole.elided && !folders.is_empty() { laid("…/") } else { whole }
}

fn one_line(ui: &Ui, text: &str, width: f32, font: FontId, ink: Color32) -> std::sync::Arc<egui::Galley> {
    let mut job = LayoutJob::simple_singleline(text.to_owned(), font, ink);
    job.wrap = TextWrapping::truncate_at_width(width);
    ui.painter().layout_job(job)
}

/// The tooltip with all known facts.
fn facts_ui(ui: &mut Ui, row: Row<'_>) {
    let tokens = Tokens::of(ui);
    ui.label(RichText::new(name_of(row)).font(theme::heading()).color(tokens.text));
    let Row::Entry(entry) = row else {
        let sentence = "The small model inside this program: 128 x 128 pixels, no download.";
        note_ui(ui, sentence, theme::small(), tokens.dim);
        return;
    };
    if let Some(sentence) = entry.refusal.as_ref().or(entry.remark.as_ref()) {
        note_ui(ui, sentence, theme::small(), tokens.amber_text);
    } else if entry.is_vae() {
        let sentence = "A VAE. Click to use it in place of the model's own; click again to remove it.";
        note_ui(ui, sentence, theme::small(), tokens.dim);
    }
    let facts = format!("{} · {}", short_facts(entry), entry.format.label());
    note_ui(ui, facts, theme::small(), tokens.dim);
    if let Some(sha256) = &entry.sha256 {
        note_ui(ui, format!("SHA-256 {sha256}"), theme::mono_small(), tokens.dim);
    }
    note_ui(ui, entry.path().display().to_string(), theme::mono_small(), tokens.dim);
}
