//! The Map tab: every run of this session as a path on the plane where their steps differ most.

use egui::{
    CursorIcon, EventFilter, Key, Pos2, Rect, Response, RichText, Role, ScrollArea, Sense, Stroke, Ui, Vec2,
    WidgetInfo, accesskit, vec2,
};
use engine::inspect::trajectory_map::{MapView, TrajectoryMap};

use super::draw::{ArrowOf, DrawnMap, MapDot, arrow_shapes, arrows, picture_of, picture_ui};
use super::{MapSettings, TrajectoryMapCommand};
use crate::features::branches::{BranchCommand, Runs};
use crate::features::command::Command;
use crate::features::film::FilmCommand;
use crate::features::film::panel::point_at;
use crate::features::state::AppState;
use crate::ui::textures::{Textures, Use};
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{check_ui, focus_ring, note_ui, segmented_ui};

const MIN_HEIGHT: f32 = 200.0;
const MAX_HEIGHT: f32 = 340.0;
/// What is below the map.
const LEGEND_HEIGHT: f32 = 150.0;
/// The longest side of the picture in a tooltip.
const ENLARGED: f32 = 144.0;

pub fn trajectory_map_ui(
    ui: &mut Ui,
    state: &AppState,
    textures: &mut Textures,
    commands: &mut Vec<Command>,
) {
    ScrollArea::vertical().id_salt("map").auto_shrink([false, false]).show(ui, |ui| {
        let mut settings = state.shared.settings.trajectory_map;
        settings_ui(ui, &mut settings);
        if settings != state.shared.settings.trajectory_map {
            commands.push(Command::TrajectoryMap(TrajectoryMapCommand::Change(settings)));
        }
        ui.add_space(theme::GAP_M);
        match state.map_shown() {
            Some(map) => map_ui(ui, state, map, textures, commands),
            None => empty_ui(ui, state),
        }
    });
}

fn settings_ui(ui: &mut Ui, settings: &mut MapSettings) {
    let names = MapView::ALL.map(|view| view.label().to_owned());
    let hint = |index: usize| MapView::ALL[index].hint().to_owned();
    if let Some(index) = segmented_ui(ui, "Map of", &names, settings.view as usize, hint) {
        settings.view = MapView::ALL[index];
    }
    ui.add_space(theme::GAP_S);
    ui.horizontal(|ui| {
        check_ui(ui, "Pictures", "Draws the pictures of some steps beside the path.", &mut settings.with_pictures);
        let sentence = "Draws where guidance and losses pull each step of the selected path. The longest arrow of \
            each kind has one length.";
        check_ui(ui, "Arrows", sentence, &mut settings.with_arrows);
    });
}

/// Says what will be here, or why it is not.
fn empty_ui(ui: &mut Ui, state: &AppState) {
    let is_gone = state.trajectory_map.map.as_ref().is_some_and(|map| map.paths.is_empty());
    let text = match state.runs.current() {
        None => {
            "Each run becomes a path here, from noise to its picture, on the plane where the steps of all runs differ \
                most. Make a picture; then branch from one of its steps, or try another sampler."
        }
        Some(run) if run.is_live() => "The path appears with the first steps.",
        Some(_) if is_gone => "The steps of this run are no longer in memory. Make it again with its seed.",
        Some(_) => "",
    };
    note_ui(ui, text, theme::small(), Tokens::of(ui).dim);
}

fn map_ui(
    ui: &mut Ui,
    state: &AppState,
    map: &TrajectoryMap,
    textures: &mut Textures,
    commands: &mut Vec<Command>,
) {
    let height = (ui.available_height() - LEGEND_HEIGHT).clamp(MIN_HEIGHT, MAX_HEIGHT).round();
    let (area, response) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::click());
    let drawn = DrawnMap::new(map, &state.runs, state.film.picture.unwrap_or(0), area);
    let MapSettings { with_pictures, with_arrows, .. } = state.shared.settings.trajectory_map;
    let current = state.film.current_step(&state.runs);
    drawn.draw(ui, current, (with_pictures, with_arrows), textures);
    focus_ring(ui, &response, theme::CORNER_FIELD);
    keys_ui(ui, &state.runs, current, &response, commands);
    dots_ui(ui, &drawn, commands);

    let pointed = response.hover_pos().and_then(|pointer: Pos2| drawn.dot_at(pointer));
    let in_film = pointed.filter(|dot| dot.is_selected).map(|dot| dot.step);
    point_at(ui, response.id.with("pointed at"), in_film, commands);
    if let Some(dot) = pointed {
        if response.clicked() {
            commands.push(match dot.is_selected {
                true => Command::Film(FilmCommand::Pin(Some(dot.step))),
                false => select(&dot),
            });
        }
        let response = response.on_hover_cursor(CursorIcon::PointingHand);
        response.on_hover_ui_at_pointer(|ui| tooltip_ui(ui, &dot, map.view, textures));
    }
    ui.add_space(theme::GAP_S);
    legend_ui(ui, map, &drawn);
}

fn select(dot: &MapDot<'_>) -> Command {
    Command::TrajectoryMap(TrajectoryMapCommand::Select { job: dot.run.job.id, step: dot.step })
}

/// The dots of the selected path, for screen readers. The pointer passes through them.
fn dots_ui(ui: &Ui, drawn: &DrawnMap<'_>, commands: &mut Vec<Command>) {
    for (step, at) in drawn.selected_dots() {
        let rect = Rect::from_center_size(at, Vec2::splat(8.0));
        let dot = ui.interact(rect, ui.scope_id().with(("dot", step)), Sense::hover());
        dot.widget_info(|| WidgetInfo::labeled(Role::Button, true, format!("Step {} on the map", step + 1)));
        ui.ctx().accesskit_node_builder(dot.id, |node| node.add_action(accesskit::Action::Click));
        if ui.input(|input| input.has_accesskit_action_request(dot.id, accesskit::Action::Click)) {
            commands.push(Command::Film(FilmCommand::Pin(Some(step))));
        }
    }
}

/// Left and right move along the steps, up and down from run to run.
fn keys_ui(ui: &Ui, runs: &Runs, current: Option<usize>, map: &Response, commands: &mut Vec<Command>) {
    map.widget_info(|| {
        let step = current.map_or(0.0, |step| (step + 1) as f64);
        WidgetInfo::slider(ui.is_enabled(), step, "Step of the run, on the map")
    });
    ui.ctx().accesskit_node_builder(map.id, |node| {
        node.add_action(accesskit::Action::Increment);
        node.add_action(accesskit::Action::Decrement);
    });
    let (mut steps, mut rows) = (0, 0);
    if map.has_focus() {
        let arrows = EventFilter { horizontal_arrows: true, vertical_arrows: true, ..EventFilter::default() };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(map.id, arrows));
        let presses = |more: Key, less: Key| {
            ui.input(|input| input.num_presses(more) as isize - input.num_presses(less) as isize)
        };
        (steps, rows) = (presses(Key::ArrowRight, Key::ArrowLeft), presses(Key::ArrowDown, Key::ArrowUp));
    }
    steps += ui.input(|input| {
        let asked = |action| input.num_accesskit_action_requests(map.id, action) as isize;
        asked(accesskit::Action::Increment) - asked(accesskit::Action::Decrement)
    });
    if steps != 0 {
        commands.push(Command::Film(FilmCommand::StepBy(steps)));
    }
    let jobs: Vec<_> = runs.iter().map(|run| run.job.id).collect();
    let at = runs.current().and_then(|run| jobs.iter().position(|job| *job == run.job.id));
    let next = at.and_then(|at| jobs.get(at.checked_add_signed(rows)?)).filter(|_| rows != 0);
    commands.extend(next.map(|&job| Command::Branch(BranchCommand::Show(job))));
}

/// The picture of a step, and what it is.
fn tooltip_ui(ui: &mut Ui, dot: &MapDot<'_>, view: MapView, textures: &mut Textures) {
    let tokens = Tokens::of(ui);
    let MapDot { run, picture, step, .. } = *dot;
    if let Some(pixels) = picture_of(run, picture, step, view) {
        let scale = ENLARGED / pixels.width.max(pixels.height).max(1) as f32;
        let size = vec2(pixels.width as f32, pixels.height as f32) * scale;
        let (rect, _) = ui.allocate_exact_size(size, Sense::hover());
        picture_ui(ui.painter(), rect, textures.get(ui.ctx(), pixels, Use::Thumbnail).id());
    }
    let sigma = run.frame(step).map_or(String::new(), |frame| format!(" · σ {:.2}", frame.sigma));
    ui.label(RichText::new(format!("step {}{sigma}", step + 1)).font(theme::mono()).color(tokens.text));
    let text = format!("{} · seed {}", run.recipe.sampler.label(), run.recipe.seed);
    ui.label(RichText::new(text).font(theme::small()).color(tokens.dim));
}

/// The colours of the samplers and of the arrows, and how much of the truth a plane can show.
fn legend_ui(ui: &mut Ui, map: &TrajectoryMap, drawn: &DrawnMap<'_>) {
    let tokens = Tokens::of(ui);
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = theme::GAP_L;
        for &sampler in &drawn.samplers {
            let color = drawn.color(tokens, sampler);
            entry_ui(ui, sampler.label(), |painter, rect| {
                painter.line_segment([rect.left_center(), rect.right_center()], Stroke::new(2.0, color));
                painter.circle_filled(rect.center(), 2.6, color);
            });
        }
        let points = || map.paths.iter().flat_map(|path| &path.points);
        let names = ["guidance", "a loss"];
        for ((arrow, color), name) in arrows(tokens).into_iter().zip(names) {
            let arrow: ArrowOf = arrow;
            if points().any(|point| arrow(point).is_some()) {
                entry_ui(ui, name, |painter, rect| {
                    let along = vec2(rect.width(), 0.0);
                    painter.extend(arrow_shapes(rect.left_center(), along, Stroke::new(1.0, color)));
                });
            }
        }
    });
    let [x, y] = map.variance_explained.map(|part| 100.0 * part);
    let text = format!("{x:.0} % of the variance lies across, {y:.0} % upwards.");
    note_ui(ui, text, theme::small(), tokens.dim).on_hover_text(
        "The axes are the two principal components of all steps. What lies off this plane is not seen.",
    );
}

fn entry_ui(ui: &mut Ui, name: &str, mark: impl FnOnce(&egui::Painter, Rect)) {
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 5.0;
        let (rect, _) = ui.allocate_exact_size(vec2(16.0, 16.0), Sense::hover());
        mark(ui.painter(), rect);
        ui.label(RichText::new(name).font(theme::small()).color(Tokens::of(ui).dim));
    });
}
