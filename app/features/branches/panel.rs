//! The Branches tab: the runs of this session, each below its parent.

use std::sync::Arc;

use egui::{
    Align2, CornerRadius, CursorIcon, Frame, Id, Margin, Rect, RichText, Role, Sense, Stroke, StrokeKind,
    TextEdit, TextWrapMode, Ui, UiBuilder, Vec2, WidgetInfo, WidgetText, pos2, vec2,
};

use crate::features::branches::{BranchCommand, BranchRow, Runs};
use crate::features::command::Command;
use crate::features::generate::run::{Run, RunPhase};
use crate::ui::keys;
use crate::ui::textures::{Textures, Use};
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{
    Icon, Tool, close_ui, field_frame, focus_ring, icon_button_ui, label_ui, note_ui, outlined_button_ui, tip,
};

const ROW: f32 = 52.0;
const ROW_GAP: f32 = 4.0;
const THUMBNAIL: f32 = 40.0;
/// The indentation of a branch, up to a depth that leaves space for its text.
const INDENT: f32 = 16.0;
const MAX_DEPTH: usize = 6;

pub fn branches_ui(ui: &mut Ui, runs: &Runs, textures: &mut Textures, commands: &mut Vec<Command>) {
    let rows = runs.tree();
    if rows.is_empty() {
        empty_ui(ui);
        return;
    }
    if let Some(run) = runs.current() {
        at_hand_ui(ui, run, commands);
        ui.add_space(theme::GAP_M);
    }
    label_ui(ui, "Runs of this session");
    egui::ScrollArea::vertical().auto_shrink([false, true]).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = ROW_GAP;
        for (index, row) in rows.iter().enumerate() {
            let (_, rect) = ui.allocate_space(vec2(ui.available_width(), ROW));
            if row.depth > 0 {
                elbow_ui(ui, rect, row.depth, index - parent_of(&rows, index));
            }
            if ui.is_rect_visible(rect) {
                row_ui(ui, rect, row, runs, textures, commands);
            }
        }
    });
}

fn empty_ui(ui: &mut Ui) {
    let tokens = Tokens::of(ui);
    let key = keys::BRANCH_KEY;
    for paragraph in [
        "Every run of this session appears here, with its branches.".to_owned(),
        format!(
            "Select a step in the filmstrip and press {key} to branch: the next run starts from \
                exactly that noisy latent, with any other prompt, guidance, sampler or seed."
        ),
    ] {
        note_ui(ui, paragraph, theme::small(), tokens.dim);
        ui.add_space(theme::GAP_M);
    }
}

/// The name of the run on the canvas, and its actions.
fn at_hand_ui(ui: &mut Ui, run: &Run, commands: &mut Vec<Command>) {
    let tokens = Tokens::of(ui);
    label_ui(ui, "Name of this run");
    let id = Id::unique("run name");
    let mut name = run.name.clone();
    let focused = ui.memory(|memory| memory.has_focus(id));
    field_frame(tokens, focused).show(ui, |ui| {
        let hint = RichText::new("Unnamed").font(theme::body()).color(tokens.faint);
        let field = TextEdit::singleline(&mut name).id(id).hint_text(hint).font(theme::body()).char_limit(80);
        let inset = Frame::NONE.inner_margin(Margin::symmetric(10, 6));
        let response = ui.add(field.frame(inset).desired_width(f32::INFINITY));
        response.accessible_name("Name of this run");
    });
    if name != run.name {
        commands.push(Command::Branch(BranchCommand::Name(run.job.id, name)));
    }
    ui.add_space(theme::GAP_M);
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 6.0;
        if run.can_go_on() {
            let sentence = "Resumes from its last step, as if it had never stopped.";
            if tip(outlined_button_ui(ui, "Resume", true), "Resume", None, sentence).clicked() {
                commands.push(Command::Branch(BranchCommand::GoOn));
            }
        }
        let sentence = "Restores the settings of this run.";
        if tip(outlined_button_ui(ui, "Use its settings", false), "Use its settings", None, sentence)
            .clicked()
        {
            commands.push(Command::Branch(BranchCommand::TakeSettings));
        }
    });
}

fn row_ui(
    ui: &mut Ui,
    rect: Rect,
    row: &BranchRow<'_>,
    runs: &Runs,
    textures: &mut Textures,
    commands: &mut Vec<Command>,
) {
    let tokens = Tokens::of(ui);
    let run = row.run;
    let is_current = runs.current().is_some_and(|current| current.job.id == run.job.id);
    let indent = indent_of(row.depth);
    let info = Rect::from_min_max(rect.min + vec2(indent, 0.0), rect.max);
    let can_compare = !is_current && !run.frames.is_empty();
    let tools = if can_compare { 50.0 } else { 26.0 };
    let press = Rect::from_min_max(info.min, pos2(info.right() - tools, info.bottom()));
    let response = ui.interact(press, Id::unique(("run", run.job.id.0)), Sense::click());
    let title = row.title();
    response
        .widget_info(|| WidgetInfo::selected(Role::Button, true, is_current, format!("Show run: {title}")));
    let line = match (is_current, response.hovered()) {
        (true, _) => tokens.accent,
        (_, true) => tokens.line_strong,
        _ => tokens.line,
    };
    let corner = CornerRadius::same(theme::CORNER_FIELD);
    ui.painter().rect(info, corner, tokens.card, Stroke::new(1.0, line), StrokeKind::Inside);

    let place = Rect::from_min_size(info.min + Vec2::splat((ROW - THUMBNAIL) / 2.0), Vec2::splat(THUMBNAIL));
    thumbnail_ui(ui, place, run, textures);
    let left = place.right() + 9.0;
    let room = press.right() - left;
    let lines =
        [(title.clone(), theme::body(), tokens.text, 8.0), (facts(row), theme::small(), tokens.dim, 28.0)];
    for (text, font, ink, top) in lines {
        let text = WidgetText::from(RichText::new(text).font(font.clone()));
        let galley = text.into_galley(ui, Some(TextWrapMode::Truncate), room, font);
        ui.painter().galley_with_override_text_color(pos2(left, info.top() + top), galley, ink);
    }
    focus_ring(ui, &response, theme::CORNER_FIELD);
    let response = response.on_hover_cursor(CursorIcon::PointingHand);
    let sentence = format!("Click to show this run and its steps.\n{}", run.recipe.prompt);
    if tip(response, &title, None, &sentence).clicked() && !is_current {
        commands.push(Command::Branch(BranchCommand::Show(run.job.id)));
    }
    if can_compare {
        let place = Rect::from_center_size(pos2(press.right() + 11.0, info.center().y), Vec2::splat(22.0));
        let mut corner = ui.new_child(UiBuilder::new().max_rect(place));
        let name = format!("Compare with run: {title}");
        let sentence = "Shows its picture beside the one on the canvas, with a divider between them.";
        if icon_button_ui(&mut corner, Icon::Compare, &name, None, sentence, Tool::Bare).clicked() {
            commands.push(Command::Branch(BranchCommand::Compare(run.job.id)));
        }
    }
    if !run.is_live() {
        let place = Rect::from_center_size(pos2(info.right() - 15.0, info.center().y), Vec2::splat(16.0));
        let mut corner = ui.new_child(UiBuilder::new().max_rect(place));
        let sentence = "Removes it from this list. Saved pictures stay where they are.";
        let response = close_ui(&mut corner, &format!("Remove run: {title}"));
        if tip(response, "Forget", None, sentence).clicked() {
            commands.push(Command::Branch(BranchCommand::Forget(run.job.id)));
        }
    }
}

/// Its facts, or its progress.
fn facts(row: &BranchRow<'_>) -> String {
    let run = row.run;
    match run.phase {
        RunPhase::Waiting => "waiting".to_owned(),
        RunPhase::Running | RunPhase::Stopping => {
            format!("step {} of {}", run.start_step + run.done(), run.steps())
        }
        RunPhase::Stopped => format!("stopped after step {} of {}", run.start_step + run.done(), run.steps()),
        RunPhase::Failed => format!("failed after step {}", run.start_step + run.done()),
        RunPhase::Finished => row.facts(),
    }
}

fn indent_of(depth: usize) -> f32 {
    INDENT * depth.min(MAX_DEPTH) as f32
}

/// The row of the parent: the nearest row above with less indentation.
fn parent_of(rows: &[BranchRow<'_>], index: usize) -> usize {
    rows[..index].iter().rposition(|row| row.depth < rows[index].depth).unwrap_or(index)
}

/// Draws the line from the parent, some rows above, to this row.
fn elbow_ui(ui: &Ui, rect: Rect, depth: usize, rows_above: usize) {
    let line = Stroke::new(1.0, Tokens::of(ui).line_strong);
    let indent = indent_of(depth);
    let x = rect.left() + indent - INDENT / 2.0;
    let between = (ROW + ROW_GAP) * rows_above.saturating_sub(1) as f32;
    ui.painter().vline(x, rect.top() - ROW_GAP - between..=rect.center().y, line);
    ui.painter().hline(x..=rect.left() + indent, rect.center().y, line);
}

fn thumbnail_ui(ui: &Ui, place: Rect, run: &Run, textures: &mut Textures) {
    let tokens = Tokens::of(ui);
    let corner = CornerRadius::same(4);
    let Some(pixels) = run.latest().and_then(|(pictures, _)| pictures.first()) else {
        ui.painter().rect_filled(place, corner, tokens.field);
        ui.painter().text(place.center(), Align2::CENTER_CENTER, "…", theme::body(), tokens.faint);
        return;
    };
    let texture = textures.get(ui.ctx(), &Arc::clone(pixels), Use::Thumbnail);
    // The centre, as a square.
    let (width, height) = (pixels.width as f32, pixels.height as f32);
    let margin = vec2((width - height).max(0.0) / width, (height - width).max(0.0) / height) / 2.0;
    let uv = Rect::from_min_max(margin.to_pos2(), (Vec2::splat(1.0) - margin).to_pos2());
    let shape = egui::epaint::RectShape::filled(place, corner, egui::Color32::WHITE);
    ui.painter().add(shape.with_texture(texture.id(), uv));
}
