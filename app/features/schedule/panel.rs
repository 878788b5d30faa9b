//! The Schedule tab: sigma and timestep at every step.
//!
//! The plot is also a control: clicking a point selects that step, and the coral marker is the strength
//! slider.

use egui::{
    Align, Align2, CursorIcon, EventFilter, Key, Layout, Pos2, Rect, Response, RichText, Role, ScrollArea,
    Sense, Stroke, Ui, WidgetInfo, accesskit, pos2, vec2,
};
use engine::diffusion::Schedule;
use engine::recipe::{Recipe, Start, start_step_of, strength_of};

use super::plot::{Drawn, Face, face_ui};
use crate::features::branches::Runs;
use crate::features::command::Command;
use crate::features::film::panel::point_at;
use crate::features::film::{FilmCommand, FilmState};
use crate::features::schedule::curves::ScheduleCurves;
use crate::features::settings::SettingsCommand;
use crate::features::state::AppState;
use crate::ui::section::title_ui;
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{check_ui, focus_ring, segmented_ui, stepped, tip};

const SIGMA_HEIGHT: f32 = 190.0;
const TIMESTEP_HEIGHT: f32 = 104.0;
/// The distance from a curve, in points, within which the pointer means it.
const NEAR: f32 = 7.0;

pub fn schedule_ui(
    ui: &mut Ui,
    state: &AppState,
    recipe: &mut Recipe,
    curves: &mut ScheduleCurves,
    commands: &mut Vec<Command>,
) {
    curves.follow(recipe, state.shared.model_info());
    ScrollArea::vertical().id_salt("schedule").auto_shrink([false, false]).show(ui, |ui| {
        let mut look = state.shared.settings.schedule_plot;
        ui.horizontal(|ui| {
            ui.set_min_height(theme::TOOL_SIDE);
            title_ui(ui, "Noise at each step");
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let scales = ["Log".to_owned(), "Linear".to_owned()];
                if let Some(index) =
                    segmented_ui(ui, "Scale", &scales, usize::from(look.is_linear), |_| String::new())
                {
                    look.is_linear = index == 1;
                }
            });
        });
        ui.add_space(theme::GAP_S);
        let sigma = Face::Sigma { is_linear: look.is_linear };
        let mut read = None;
        for (face, height) in [(sigma, SIGMA_HEIGHT), (Face::Timestep, TIMESTEP_HEIGHT)] {
            if face == Face::Timestep {
                ui.add_space(theme::GAP_S);
                title_ui(ui, "Timestep");
            }
            let drawn = face_ui(ui, face, height, curves, recipe.schedule, look.with_others);
            let pointed = over_ui(ui, state, recipe, curves, &drawn, look.with_others, commands);
            read = read.or(pointed);
        }
        ui.horizontal(|ui| {
            let sentence = "Draws the other schedules faintly behind the selected one. Point at one to see \
                    its name.";
            check_ui(ui, "Show others", sentence, &mut look.with_others);
            let reading = read.unwrap_or_else(|| at_rest(&state.runs, &state.film, recipe, curves));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.label(RichText::new(reading).font(theme::mono()).color(Tokens::of(ui).dim));
            });
        });
        if look != state.shared.settings.schedule_plot {
            commands.push(Command::Settings(SettingsCommand::ShowSchedule(look)));
        }
    });
}

/// The marks over the curves: recorded steps, the start step and the current step. Returns what the pointer
/// reads off.
fn over_ui(
    ui: &Ui,
    state: &AppState,
    recipe: &mut Recipe,
    curves: &ScheduleCurves,
    drawn: &Drawn,
    with_others: bool,
    commands: &mut Vec<Command>,
) -> Option<String> {
    let area = drawn.response.rect;
    // Both plots react to the pointer; the keyboard needs only the first.
    let senses_keys = drawn.face != Face::Timestep;
    let sense = if senses_keys { Sense::click_and_drag() } else { Sense::CLICK | Sense::DRAG };
    let plot = ui.interact(area, drawn.id("film"), sense);
    let pointer = plot.hover_pos().or(plot.interact_pointer_pos());
    let steps = curves.of(recipe.schedule).map_or(1, |curve| curve.timesteps.len());
    let pointed = pointer.map(|at| drawn.step_at(at).clamp(0.0, steps as f64 - 1.0) as usize);

    film_ui(ui, &state.runs, &state.film, curves, drawn);
    start_ui(ui, recipe, curves, drawn, sense);
    focus_ring(ui, &plot, theme::CORNER_FIELD);
    film_keys(ui, &state.runs, &state.film, &plot, senses_keys, commands);
    let recorded = pointed.filter(|&step| state.runs.current().is_some_and(|run| run.frame(step).is_some()));
    point_at(ui, drawn.id("pointed at"), recorded, commands);
    if let Some(step) = recorded {
        ui.ctx().set_cursor_icon(CursorIcon::PointingHand);
        if plot.clicked() {
            commands.push(Command::Film(FilmCommand::Pin(Some(step))));
        } else if plot.dragged() && state.film.pinned != Some(step) {
            commands.push(Command::Film(FilmCommand::ScrubTo(step)));
        }
    }
    let (at, step) = (pointer?, pointed?);
    let other = if with_others { nearest_other(curves, drawn, recipe.schedule, step, at) } else { None };
    Some(reading(curves, other.unwrap_or(recipe.schedule), other.is_some(), step))
}

/// Every recorded step, and the current one.
fn film_ui(ui: &Ui, runs: &Runs, film: &FilmState, curves: &ScheduleCurves, drawn: &Drawn) {
    let tokens = Tokens::of(ui);
    let Some(run) = runs.current() else { return };
    let painter = ui.painter_at(drawn.response.rect.expand(6.0));
    let place = |step: usize, sigma: f32| {
        let value = match drawn.face {
            Face::Sigma { .. } => sigma,
            Face::Timestep => run.recipe.schedule.timestep(sigma, &curves.noise),
        };
        drawn.position(step as f64, value)
    };
    for frame in &run.frames {
        painter.circle_filled(place(frame.step, frame.sigma), 2.2, tokens.accent);
    }
    let current = film.current_step(runs).and_then(|step| run.frame(step));
    if let Some(frame) = current {
        let at = place(frame.step, frame.sigma);
        let hair = Stroke::new(1.0, tokens.accent.gamma_multiply(0.6));
        painter.vline(at.x, drawn.response.rect.y_range(), hair);
        painter.circle_filled(at, 6.0, tokens.field);
        painter.circle_filled(at, 4.5, tokens.accent);
    }
}

/// The image-to-image start step: a marker that can be dragged.
fn start_ui(ui: &Ui, recipe: &mut Recipe, curves: &ScheduleCurves, drawn: &Drawn, sense: Sense) {
    let steps = recipe.steps;
    let schedule = recipe.schedule;
    let Start::Image { strength, .. } = &mut recipe.start else { return };
    let tokens = Tokens::of(ui);
    let area = drawn.response.rect;
    let last = f64::from(steps.saturating_sub(1));
    let place = |start: f64| {
        let values = curves.of(schedule).map(|curve| drawn.face.values(curve)).unwrap_or_default();
        drawn.position(start, values.get(start as usize).copied().unwrap_or_default())
    };
    let before = f64::from(start_step_of(*strength, steps)).min(last);
    let handle = Rect::from_center_size(pos2(place(before).x, area.center().y), vec2(14.0, area.height()));
    let handle = ui.interact(handle, drawn.id("start"), sense);
    let mut start = before;
    if handle.dragged()
        && let Some(at) = handle.interact_pointer_pos()
    {
        start = drawn.step_at(at).clamp(0.0, last);
    }
    if drawn.face != Face::Timestep {
        start = stepped(ui, &handle, &(0.0..=last), 1.0, start);
        handle.widget_info(|| WidgetInfo::slider(ui.is_enabled(), start, "Start step, on the plot"));
        ui.ctx().accesskit_node_builder(handle.id, |node| {
            node.set_role(Role::Slider);
            node.set_min_numeric_value(0.0);
            node.set_max_numeric_value(last);
            node.set_numeric_value_step(1.0);
            node.add_action(accesskit::Action::SetValue);
            node.add_action(accesskit::Action::Increment);
            node.add_action(accesskit::Action::Decrement);
        });
    }
    if start != before {
        *strength = strength_of(start as u32, steps);
    }
    let at = place(start);
    let painter = ui.painter_at(area.expand(1.0));
    let skipped = Rect::from_min_max(area.min, pos2(at.x, area.bottom()));
    painter.rect_filled(skipped, 0.0, tokens.coral.gamma_multiply(0.09));
    let lit = handle.hovered() || handle.dragged() || handle.has_focus();
    painter.vline(at.x, area.y_range(), Stroke::new(if lit { 2.0 } else { 1.4 }, tokens.coral));
    painter.circle_filled(at, 6.5, tokens.field);
    painter.circle_filled(at, if lit { 5.5 } else { 4.5 }, tokens.coral);
    if handle.has_focus() {
        painter.circle_stroke(at, 8.0, Stroke::new(1.5, tokens.accent));
    }
    if drawn.face != Face::Timestep {
        let words = format!("start · strength {strength:.2}");
        let at = pos2(at.x + 6.0, area.top() + 4.0);
        let is_late = at.x + 130.0 > area.right();
        let (at, align) =
            if is_late { (at - vec2(12.0, 0.0), Align2::RIGHT_TOP) } else { (at, Align2::LEFT_TOP) };
        painter.text(at, align, words, theme::mono_small(), tokens.coral_text);
    }
    let handle = handle.on_hover_cursor(CursorIcon::ResizeHorizontal);
    if !handle.dragged() {
        let sentence = "The image-to-image start step, the same value as the strength slider. Drag it.";
        tip(handle, "Start step", None, sentence);
    }
}

/// The arrow keys move along the steps.
fn film_keys(
    ui: &Ui,
    runs: &Runs,
    film: &FilmState,
    plot: &Response,
    senses_keys: bool,
    commands: &mut Vec<Command>,
) {
    if !senses_keys {
        return;
    }
    let current = film.current_step(runs);
    let name = "Step of the run, on the plot";
    plot.widget_info(|| match current {
        Some(step) => WidgetInfo::slider(ui.is_enabled(), (step + 1) as f64, name),
        None => WidgetInfo::labeled(Role::Image, true, "Sigma against step"),
    });
    if current.is_none() {
        return;
    }
    ui.ctx().accesskit_node_builder(plot.id, |node| {
        node.add_action(accesskit::Action::Increment);
        node.add_action(accesskit::Action::Decrement);
    });
    let mut by = 0;
    if plot.has_focus() {
        let arrows = EventFilter { horizontal_arrows: true, ..EventFilter::default() };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(plot.id, arrows));
        by += ui.input(|input| {
            input.num_presses(Key::ArrowRight) as isize - input.num_presses(Key::ArrowLeft) as isize
        });
    }
    by += ui.input(|input| {
        let asked = |action| input.num_accesskit_action_requests(plot.id, action) as isize;
        asked(accesskit::Action::Increment) - asked(accesskit::Action::Decrement)
    });
    if by != 0 {
        commands.push(Command::Film(FilmCommand::StepBy(by)));
    }
}

/// The background schedule under the pointer, if it is nearer than the selected one.
fn nearest_other(
    curves: &ScheduleCurves,
    drawn: &Drawn,
    chosen: Schedule,
    step: usize,
    at: Pos2,
) -> Option<Schedule> {
    let distances = curves.all.iter().filter_map(|curve| {
        let value = *drawn.face.values(curve).get(step)?;
        Some((curve.schedule, (drawn.position(step as f64, value) - at).length()))
    });
    let (nearest, distance) = distances.min_by(|(_, a), (_, b)| a.total_cmp(b))?;
    (nearest != chosen && distance < NEAR).then_some(nearest)
}

fn reading(curves: &ScheduleCurves, schedule: Schedule, is_named: bool, step: usize) -> String {
    let Some(curve) = curves.of(schedule) else { return String::new() };
    let (Some(sigma), Some(timestep)) = (curve.sigmas.get(step), curve.timesteps.get(step)) else {
        return String::new();
    };
    let name = if is_named { format!("{} ", schedule.label()) } else { String::new() };
    format!("{name}{} · σ {sigma:.3} · t {timestep:.0}", step + 1)
}

/// The current step, or the step at which the run would start.
fn at_rest(runs: &Runs, film: &FilmState, recipe: &Recipe, curves: &ScheduleCurves) -> String {
    let frame =
        runs.current().zip(film.current_step(runs)).and_then(|(run, step)| run.frame(step).zip(Some(run)));
    match frame {
        Some((frame, run)) => {
            let timestep = run.recipe.schedule.timestep(frame.sigma, &curves.noise);
            format!("{} · σ {:.3} · t {timestep:.0}", frame.step + 1, frame.sigma)
        }
        None => reading(curves, recipe.schedule, false, recipe.start_step() as usize),
    }
}
