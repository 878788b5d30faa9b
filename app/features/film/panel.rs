//! The filmstrip under the picture: every step of the run.

use egui::{
    Align2, CornerRadius, CursorIcon, Id, Rect, Role, ScrollArea, Sense, Stroke, StrokeKind, Ui, WidgetInfo,
    pos2, vec2,
};
use engine::diffusion::StepView;
use engine::pipeline::Frame;

use super::controls::{compare_ui, film_controls_ui};
use crate::features::branches::{BranchCommand, Runs};
use crate::features::command::Command;
use crate::features::export::panel::export_ui;
use crate::features::film::{FilmCommand, FilmState};
use crate::features::generate::run::Run;
use crate::features::state::{AppState, Shared};
use crate::ui::keys;
use crate::ui::textures::{Textures, Use};
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{Icon, close_ui, dashed_rect, text_button_ui, tip};

/// Below this width, the filmstrip's header shows less.
const TIGHT_HEAD: f32 = 760.0;
const TILE_HEIGHT: f32 = 64.0;
const TILE_GAP: f32 = 6.0;
const LABEL_HEIGHT: f32 = 20.0;
/// Space around the tiles for the outline of the current one.
pub const RING: f32 = 3.0;

pub fn filmstrip_ui(ui: &mut Ui, state: &AppState, textures: &mut Textures, commands: &mut Vec<Command>) {
    head_ui(ui, state, commands);
    ui.add_space(2.0);
    let Some(run) = state.runs.current().filter(|run| !run.sigmas.is_empty()) else {
        empty_ui(ui);
        return;
    };
    let aspect = run.recipe.width as f32 / run.recipe.height.max(1) as f32;
    let tile = vec2((TILE_HEIGHT * aspect).clamp(36.0, 128.0).round(), TILE_HEIGHT);
    let pitch = tile.x + TILE_GAP;
    let current = state.film.current_step(&state.runs);
    let mut hovered = None;
    ScrollArea::horizontal().auto_shrink([false, false]).id_salt("film").show_viewport(ui, |ui, viewport| {
        let size =
            vec2(pitch * run.to_do() as f32 - TILE_GAP + 2.0 * RING, TILE_HEIGHT + LABEL_HEIGHT + RING);
        let (whole, _) = ui.allocate_exact_size(size, Sense::hover());
        let place = |index: usize| {
            let min = whole.min + vec2(RING + pitch * index as f32, RING);
            Rect::from_min_size(min, tile)
        };
        scrub_ui(ui, &state.film, run, whole, pitch, commands);
        // Only the tiles in view are drawn, so a thousand steps cost no more.
        let first = ((viewport.left() - RING) / pitch).floor().max(0.0) as usize;
        let last = ((viewport.right() / pitch).ceil() as usize).min(run.to_do());
        for index in first..last {
            let step = run.start_step + index;
            let response = match run.frames.get(index) {
                Some(frame) => frame_tile_ui(ui, run, frame, place(index), textures),
                None => {
                    placeholder_ui(ui, run, step, place(index));
                    continue;
                }
            };
            if response.contains_pointer() {
                hovered = Some(step);
            }
            if response.clicked() {
                commands.push(Command::Film(FilmCommand::Pin(Some(step))));
            }
            mark_ui(ui, &state.runs, &state.film, step, place(index), current == Some(step));
        }
        follow(ui, current, run, place);
    });
    point_at(ui, ui.scope_id().with("pointed at"), hovered, commands);
}

/// Dragging along the filmstrip scrubs through it.
fn scrub_ui(ui: &Ui, film: &FilmState, run: &Run, whole: Rect, pitch: f32, commands: &mut Vec<Command>) {
    let strip = ui.interact(whole, ui.scope_id().with("scrub"), Sense::DRAG);
    // Until the pointer has moved it may be a click, which belongs to the tile.
    let is_drag = strip.dragged() && ui.input(|input| input.pointer.is_decidedly_dragging());
    let Some(pointer) = strip.interact_pointer_pos().filter(|_| is_drag) else { return };
    let index = ((pointer.x - whole.left() - RING) / pitch).max(0.0) as usize;
    let Some(frame) = run.frames.get(index.min(run.frames.len().saturating_sub(1))) else { return };
    let held = film.compared.or(film.pinned);
    if held != Some(frame.step) {
        commands.push(Command::Film(FilmCommand::ScrubTo(frame.step)));
    }
}

/// Shows the step under the pointer. Several places have steps to point at, so each remembers under its
/// `id` what it pointed at and reports only changes, since keys may have moved to another step meanwhile.
pub fn point_at(ui: &Ui, id: Id, step: Option<usize>, commands: &mut Vec<Command>) {
    let before = ui.data(|data| data.get_temp::<Option<usize>>(id)).flatten();
    if before != step {
        ui.data_mut(|data| data.insert_temp(id, step));
        commands.push(Command::Film(FilmCommand::Hover(step)));
    }
}

fn head_ui(ui: &mut Ui, state: &AppState, commands: &mut Vec<Command>) {
    let tokens = Tokens::of(ui);
    ui.horizontal(|ui| {
        ui.set_min_height(22.0);
        ui.spacing_mut().item_spacing.x = 6.0;
        ui.add_space(RING);
        ui.label(egui::RichText::new("Film").font(theme::heading()).color(tokens.text));
        let Some(run) = state.runs.current().filter(|run| run.frames.len() > 1) else { return };
        // Where space is short, only the tooltips show the keys.
        let is_tight = ui.available_width() < TIGHT_HEAD;
        film_controls_ui(ui, &state.shared, &state.film, is_tight, commands);
        let is_painted = state.brush.of_branch(&state.runs).is_some();
        leave_ui(ui, &state.runs, is_painted, is_tight, commands);
        compare_ui(ui, &state.runs, &state.film, is_tight, commands);
        export_ui(ui, &state.runs, &state.export, commands);
        // Where the controls leave too little space, the least important numbers are dropped first.
        let texts = facts(&state.shared, &state.runs, &state.film, run)
            .map(|facts| [facts.join(" · "), facts[..2].join(" · ")]);
        let width = |text: &String| {
            ui.painter().layout_no_wrap(text.clone(), theme::mono(), tokens.dim).size().x + 2.0 * RING + 8.0
        };
        let room = ui.available_width();
        let Some(text) = texts.into_iter().flatten().find(|text| width(text) < room) else { return };
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            ui.add_space(RING);
            ui.label(egui::RichText::new(text).font(theme::mono()).color(tokens.dim));
        });
    });
}

/// The step that the next run branches from, or the button that sets it.
fn leave_ui(ui: &mut Ui, runs: &Runs, is_painted: bool, is_tight: bool, commands: &mut Vec<Command>) {
    if let Some(step) = runs.branch_from {
        let begin = if is_tight { "Branching at" } else { "The next run starts from" };
        let painted = if is_painted { ", painted" } else { "" };
        let text = format!("{begin} step {}{painted}", step + 1);
        let tokens = Tokens::of(ui);
        ui.label(egui::RichText::new(text).font(theme::label()).color(tokens.accent));
        if close_ui(ui, "Do not branch").clicked() {
            commands.push(Command::Branch(BranchCommand::Stay));
        }
        return;
    }
    let key = Some(keys::BRANCH_KEY);
    let response = text_button_ui(ui, Some(Icon::Branch), "Branch", key.filter(|_| !is_tight));
    let sentence = "The next run starts from exactly this step's noisy latent, with any other prompt, \
        guidance, sampler or seed.";
    if tip(response, "Branch from here", key, sentence).clicked() {
        commands.push(Command::Branch(BranchCommand::Leave(None)));
    }
}

/// Step and sigma of the picture on the canvas.
fn facts(shared: &Shared, runs: &Runs, film: &FilmState, run: &Run) -> Option<[String; 3]> {
    let frame = run.frame(film.current_step(runs)?)?;
    let pictures = run.pictures_of(frame.step, shared.settings.views.first());
    let by = if matches!(pictures, Some((_, true))) { "full decode" } else { "preview" };
    Some([format!("step {}", frame.step + 1), format!("σ {:.3}", frame.sigma), by.to_owned()])
}

fn frame_tile_ui(ui: &Ui, run: &Run, frame: &Frame, rect: Rect, textures: &mut Textures) -> egui::Response {
    let id = ui.scope_id().with(("frame", frame.step));
    let response = ui.interact(rect, id, Sense::click());
    let name = format!("Step {}, sigma {:.2}", frame.step + 1, frame.sigma);
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &name));
    let best = run.pictures_of(frame.step, StepView::Predicted);
    if let Some(pixels) = best.and_then(|(pictures, _)| pictures.first()) {
        let texture = textures.get(ui.ctx(), pixels, Use::Thumbnail);
        let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
        let corner = CornerRadius::same(theme::CORNER_FIELD);
        // Steps of the parent run are muted.
        let tint = if run.is_shared(frame.step) { theme::MUTED } else { egui::Color32::WHITE };
        let shape = egui::epaint::RectShape::filled(rect, corner, tint);
        ui.painter().add(shape.with_texture(texture.id(), uv));
    }
    response.on_hover_cursor(CursorIcon::PointingHand)
}

/// A step that is still to come, with its sigma.
fn placeholder_ui(ui: &Ui, run: &Run, step: usize, rect: Rect) {
    let tokens = Tokens::of(ui);
    let line = Stroke::new(1.0, tokens.line);
    ui.painter().extend(dashed_rect(rect.shrink(0.5), f32::from(theme::CORNER_FIELD), line));
    label_ui(ui, rect, step, run.sigmas.get(step).copied(), tokens.faint);
}

fn mark_ui(ui: &Ui, runs: &Runs, film: &FilmState, step: usize, rect: Rect, is_current: bool) {
    let tokens = Tokens::of(ui);
    let sigma = runs.current().and_then(|run| run.frame(step)).map(|frame| frame.sigma);
    if is_current {
        let corner = CornerRadius::same(theme::CORNER_FIELD + 2);
        let ring = Stroke::new(2.0, tokens.accent);
        ui.painter().rect_stroke(rect.expand(1.0), corner, ring, StrokeKind::Outside);
    }
    let corner = rect.right_top() + vec2(-7.0, 7.0);
    if film.pinned == Some(step) {
        ui.painter().circle_filled(corner, 3.5, tokens.accent);
    }
    if film.compared == Some(step) {
        let line = Stroke::new(2.0, tokens.text);
        let round = CornerRadius::same(theme::CORNER_FIELD + 2);
        ui.painter().rect_stroke(rect.expand(1.0), round, line, StrokeKind::Outside);
        Icon::Compare.paint_sized(
            ui.painter(),
            Rect::from_center_size(corner, vec2(14.0, 14.0)),
            13.0,
            egui::Color32::WHITE,
        );
    }
    label_ui(ui, rect, step, sigma, if is_current { tokens.accent } else { tokens.faint });
}

fn label_ui(ui: &Ui, rect: Rect, step: usize, sigma: Option<f32>, color: egui::Color32) {
    let Some(sigma) = sigma else { return };
    let at = pos2(rect.center().x, rect.bottom() + 6.0);
    let text = format!("{} · {sigma:.2}", step + 1);
    ui.painter().text(at, Align2::CENTER_TOP, text, theme::mono_small(), color);
}

/// Scrolls the current step into view whenever it changes.
fn follow(ui: &Ui, current: Option<usize>, run: &Run, place: impl Fn(usize) -> Rect) {
    let id = ui.scope_id().with("followed");
    let at = (run.job.id.0, current);
    let before = ui.data(|data| data.get_temp::<(u64, Option<usize>)>(id));
    if before == Some(at) {
        return;
    }
    ui.data_mut(|data| data.insert_temp(id, at));
    let hovering = ui.rect_contains_pointer(ui.clip_rect());
    if let Some(step) = current
        && !hovering
    {
        let rect = place(step.saturating_sub(run.start_step)).expand2(vec2(TILE_HEIGHT, 0.0));
        ui.scroll_to_rect_animation(rect, None, egui::style::ScrollAnimation::none());
    }
}

fn empty_ui(ui: &mut Ui) {
    let tokens = Tokens::of(ui);
    let (rect, _) =
        ui.allocate_exact_size(vec2(ui.available_width(), TILE_HEIGHT + LABEL_HEIGHT), Sense::hover());
    let line = Stroke::new(1.0, tokens.line);
    let count = ((rect.width() + TILE_GAP) / (TILE_HEIGHT + TILE_GAP)).floor() as usize;
    for index in 0..count {
        let min = rect.min + vec2(RING + (TILE_HEIGHT + TILE_GAP) * index as f32, RING);
        let tile = Rect::from_min_size(min, vec2(TILE_HEIGHT, TILE_HEIGHT));
        ui.painter().extend(dashed_rect(tile.shrink(0.5), f32::from(theme::CORNER_FIELD), line));
    }
    ui.painter().text(
        pos2(rect.left() + RING, rect.top() + RING + TILE_HEIGHT + 6.0),
        Align2::LEFT_TOP,
        "Every step of a run appears here. Point at one to see it; click to select it.",
        theme::small(),
        tokens.faint,
    );
}
