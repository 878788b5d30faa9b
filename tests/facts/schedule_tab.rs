//! The sampling room: the plot of the schedule, the views of a step, the film that plays.

use std::sync::Arc;

use app::command::{Command, LookWish, ViewWish};
use app::film::Playing;
use app::settings::{Settings, Tab, WindowLayout};
use app::state::{AppState, StartPicture};
use app::views::Views;
use egui::accesskit::Role;
use egui::{Key, Pos2, Rect};
use egui_kittest::kittest::{NodeT, Queryable};
use engine::diffusion::{Schedule, StepView};
use engine::images::Pixels;
use engine::look::{Channel, RoundTrip};
use engine::recipe::{Recipe, Start, strength_of};
use engine::session::{Event, JobEvent, JobId, Look, Request, Seen};

use crate::support::window_harness::{Desk, window};

fn settings(tab: Tab, recipe: Recipe) -> Settings {
    let window = WindowLayout { tab, ..WindowLayout::default() };
    Settings { window, last_recipe: recipe, seed_locked: true, ..Settings::default() }
}

fn desk(tab: Tab) -> Desk {
    Desk::opened(window(), settings(tab, Recipe::default()))
}

/// A desk with a film on it.
fn with_film(tab: Tab) -> (Desk, JobId) {
    let mut desk = desk(tab);
    desk.harness.get_by_label("Generate").click();
    let (id, recipe) = desk.job();
    desk.run_steps(id, &recipe, 20);
    desk.finish(id, &recipe);
    desk.harness.run();
    (desk, id)
}

fn state(desk: &Desk) -> &AppState {
    &desk.harness.state().state
}

fn start_image(desk: &mut Desk, strength: f32) {
    let state = &mut desk.harness.state_mut().state;
    let start = Start::Image { path: "fox.png".into(), strength };
    state.handle(Command::Edit(Box::new(Recipe { start, ..state.recipe.clone() })));
    let pixels = Arc::new(Pixels::new(64, 64, vec![128; 64 * 64 * 3]));
    state.start_picture = Some(StartPicture { pixels, notes: Vec::new() });
    desk.harness.run();
}

fn strength(desk: &Desk) -> f32 {
    match state(desk).recipe.start {
        Start::Image { strength, .. } => strength,
        Start::Noise => panic!("a start image"),
    }
}

fn place_of(desk: &Desk, role: Role, name: &str) -> Rect {
    desk.harness.get_by_role_and_label(role, name).rect()
}

fn drag(desk: &mut Desk, from: Pos2, to: Pos2) {
    desk.harness.hover_at(from);
    desk.harness.step();
    desk.harness.drag_at(from);
    desk.harness.step();
    desk.harness.hover_at(from.lerp(to, 0.5));
    desk.harness.step();
    desk.harness.hover_at(to);
    desk.harness.step();
    desk.harness.drop_at(to);
    desk.harness.run();
}

const PLOT: &str = "Step of the film, on the plot";
const START: &str = "Start step, on the plot";

#[test]
fn the_coral_mark_on_the_plot_is_the_strength_slider() {
    let mut desk = desk(Tab::Schedule);
    assert!(desk.harness.query_by_label(START).is_none(), "noise starts at the first step");
    start_image(&mut desk, 0.5);
    desk.harness.get_by_role_and_label(Role::Slider, START).focus();
    desk.harness.step();
    desk.harness.key_press(Key::ArrowRight);
    desk.harness.run();
    assert_eq!((state(&desk).recipe.start_step(), strength(&desk)), (11, strength_of(11, 20)));
    let slider =
        desk.harness.get_by_role_and_label(Role::Slider, "Strength").accesskit_node().numeric_value();
    assert!(slider.is_some_and(|value| (value - 0.45).abs() < 1e-6), "{slider:?}");

    let mark = place_of(&desk, Role::Slider, START).center();
    drag(&mut desk, mark, mark - egui::vec2(60.0, 0.0));
    let dragged = state(&desk).recipe.start_step();
    assert!((1..11).contains(&dragged), "step {dragged}");
    let from = place_of(&desk, Role::Slider, START).center();
    drag(&mut desk, from, mark + egui::vec2(2000.0, 0.0));
    assert_eq!(state(&desk).recipe.start_step(), 19, "at the end one step is left to run");
    assert!(state(&desk).recipe.check().is_ok());
}

#[test]
fn a_click_on_the_plot_holds_that_step_of_the_film_and_arrows_go_on() {
    let (mut desk, _) = with_film(Tab::Schedule);
    let plot = place_of(&desk, Role::Slider, PLOT);
    desk.harness.hover_at(plot.left_center());
    desk.harness.step();
    desk.harness.drag_at(plot.left_center());
    desk.harness.drop_at(plot.left_center());
    desk.harness.run();
    assert_eq!(state(&desk).film.pinned, Some(0));
    desk.harness.get_by_role_and_label(Role::Slider, PLOT).focus();
    desk.harness.step();
    desk.harness.key_press(Key::ArrowRight);
    desk.harness.run();
    assert_eq!(state(&desk).film.pinned, Some(1));
    drag(&mut desk, plot.left_center() + egui::vec2(10.0, 0.0), plot.right_center());
    assert_eq!(state(&desk).film.pinned, Some(19), "a drag runs through the film");
}

#[test]
fn the_plot_follows_the_run() {
    let mut desk = desk(Tab::Schedule);
    assert!(desk.harness.query_by_label(PLOT).is_none(), "there is no film yet");
    desk.harness.get_by_label("Generate").click();
    let (id, recipe) = desk.job();
    desk.run_steps(id, &recipe, 9);
    desk.harness.run();
    let at = desk.harness.get_by_role_and_label(Role::Slider, PLOT).accesskit_node().numeric_value();
    assert_eq!(at, Some(9.0));
}

#[test]
fn the_plot_says_what_the_lesson_says_of_its_schedule() {
    let recipe = Recipe { steps: 15, schedule: Schedule::Lesson, ..Recipe::default() };
    let mut desk = Desk::opened(window(), settings(Tab::Schedule, recipe));
    desk.harness.run();
    desk.harness.get_by_label("1 · σ 14.615 · t 999");
    desk.harness.get_by_label("Scale Linear").click();
    desk.harness.run();
    desk.harness.get_by_role_and_label(Role::CheckBox, "Others behind").click();
    desk.harness.run();
    let plot = state(&desk).settings.schedule_plot;
    assert!(plot.is_linear && !plot.with_others);
}

#[test]
fn one_view_or_several_of_a_step_are_on_the_canvas_and_each_can_be_hidden() {
    let (mut desk, id) = with_film(Tab::Models);
    let asked = |desk: &Desk| {
        desk.requests.try_iter().find_map(|request| match request {
            Request::Decode { step, view, .. } => Some((step, view)),
            _ => None,
        })
    };
    let answer = |desk: &mut Desk, (step, view): (usize, StepView)| {
        let pictures = vec![Arc::new(Pixels::new(128, 128, vec![90; 128 * 128 * 3]))];
        desk.tell_job(id, JobEvent::Decoded { step, view, pictures });
    };
    let first = asked(&desk).expect("the film is developed");
    desk.harness.get_by_role_and_label(Role::RadioButton, "View Noisy").click();
    desk.harness.run();
    assert_eq!(state(&desk).shown_of(StepView::Noisy).map(|shown| shown.pictures[0].width), Some(16));
    answer(&mut desk, first);
    let noisy = asked(&desk).expect("what is looked at comes first");
    assert_eq!(noisy, (19, StepView::Noisy), "at rest that is the last step");
    answer(&mut desk, noisy);
    assert!(state(&desk).shown_of(StepView::Noisy).is_some_and(|shown| shown.is_full));

    desk.harness.get_by_label("Side by side").click();
    desk.harness.run();
    desk.harness.get_by_label("Show Guidance alone");
    desk.harness.get_by_role_and_label(Role::CheckBox, "View Guidance").click();
    desk.harness.run();
    assert!(desk.harness.query_by_label("Show Guidance alone").is_none());
    desk.harness.get_by_label("Show Noise alone").click();
    desk.harness.run();
    assert_eq!(state(&desk).settings.views.shown(), [StepView::Noise]);
}

#[test]
fn a_run_without_guidance_says_why_there_is_no_such_view() {
    let mut desk = desk(Tab::Models);
    desk.harness.get_by_label("Generate").click();
    let (id, recipe) = desk.job();
    desk.run_steps(id, &recipe, 3);
    let run = desk.harness.state_mut().state.run.as_mut().expect("a run");
    run.frames.iter_mut().for_each(|frame| frame.guidance.clear());
    desk.harness.state_mut().state.handle(Command::View(ViewWish::Choose(StepView::Guidance)));
    desk.harness.run();
    assert!(state(&desk).shown_of(StepView::Guidance).is_none());
    desk.harness.get_by_role_and_label(Role::RadioButton, "View Predicted").click();
    desk.harness.run();
    assert!(state(&desk).shown_of(StepView::Predicted).is_some());
}

#[test]
fn two_steps_are_compared_with_a_divider_between_them() {
    let (mut desk, _) = with_film(Tab::Models);
    desk.harness.get_by_label_contains("Step 15, sigma").click();
    desk.harness.run();
    assert_eq!(state(&desk).film.pinned, Some(14), "a click is no drag");
    desk.harness.get_by_label("Compare").click();
    desk.harness.run();
    let film = &state(&desk).film;
    assert_eq!((film.pinned, film.compared), (Some(14), Some(19)), "with the last one at first");
    desk.harness.get_by_label_contains("Step 17, sigma").click();
    desk.harness.run();
    let film = &state(&desk).film;
    assert_eq!((film.pinned, film.compared), (Some(14), Some(16)), "a click chooses the other");

    let at = |desk: &Desk| {
        desk.harness.get_by_role_and_label(Role::Slider, "Divider").accesskit_node().numeric_value()
    };
    assert_eq!(at(&desk), Some(50.0));
    let from = place_of(&desk, Role::Slider, "Divider").center();
    drag(&mut desk, from, from + egui::vec2(40.0, 0.0));
    assert!(at(&desk).is_some_and(|at| at > 55.0), "{:?}", at(&desk));
    desk.harness.get_by_role_and_label(Role::Slider, "Divider").focus();
    desk.harness.step();
    let before = at(&desk).expect("a divider");
    desk.harness.key_press(Key::ArrowLeft);
    desk.harness.run();
    assert!(at(&desk).is_some_and(|at| at < before));

    desk.harness.key_press(Key::Escape);
    desk.harness.run();
    let film = &state(&desk).film;
    assert_eq!(
        (film.pinned, film.compared),
        (Some(14), None),
        "first the comparison ends, then the step is let go"
    );
}

#[test]
fn a_film_is_played_as_it_is_told() {
    let (mut desk, _) = with_film(Tab::Models);
    for (name, is_on) in [("Loop", false), ("To and fro", true)] {
        desk.harness.get_by_role_and_label(Role::CheckBox, name).click();
        desk.harness.run();
        let how = state(&desk).settings.playing;
        assert_eq!(if name == "Loop" { how.loops } else { how.ping_pong }, is_on);
    }
    let state = &mut desk.harness.state_mut().state;
    let how = Playing { loops: false, ping_pong: false, fps: 10.0 };
    state.handle(Command::View(ViewWish::Play { how, now: 0.0 }));
    state.handle(Command::TogglePlay { now: 0.0 });
    state.handle(Command::Tick { now: 0.55 });
    assert_eq!(state.looked_at(), Some(5));
    state.handle(Command::Tick { now: 9.0 });
    assert!(state.film.play.is_none() && state.film.pinned == Some(19), "it ends and stays where it ended");
}

#[test]
fn a_drag_over_the_film_runs_through_it() {
    let (mut desk, _) = with_film(Tab::Models);
    let tile = |desk: &Desk, number: usize| {
        desk.harness.get_by_label_contains(&format!("Step {number}, sigma")).rect().center()
    };
    let (from, to) = (tile(&desk, 14), tile(&desk, 18));
    drag(&mut desk, from, to);
    assert_eq!(state(&desk).film.pinned, Some(17));
}

fn looked(desk: &Desk) -> Option<(u64, Look)> {
    desk.requests.try_iter().find_map(|request| match request {
        Request::Look { id, look } => Some((id, look)),
        _ => None,
    })
}

#[test]
fn the_look_tab_asks_one_look_after_the_other_and_the_hand_gets_what_it_wants_last() {
    let (mut desk, _) = with_film(Tab::Look);
    let grey = || Arc::new(Pixels::new(16, 16, vec![128; 768]));
    let (id, channels) = looked(&desk).expect("the channels first");
    assert!(matches!(channels, Look::StepChannels { step: 19, view: StepView::Predicted, picture: 0, .. }));
    let four = (0..4u8).map(|n| Channel { picture: grey(), min: -3.5, max: f32::from(n) }).collect();
    desk.tell(Event::Looked { id, seen: Ok(Seen::Channels(four)) });
    desk.harness.get_by_label("−3.5…2.0");

    let (id, noised) = looked(&desk).expect("then the noise");
    let Look::AddNoise { sigma, seed: 32, .. } = noised else { panic!("{noised:?}") };
    let schedule = state(&desk).recipe.schedule;
    let card = state(&desk).card().expect("a model");
    let noise = engine::diffusion::NoiseSchedule { training_sigmas: card.training_sigmas.to_vec() };
    assert_eq!(sigma, schedule.sigmas(20, &noise)[13], "two thirds of the way");
    for step in [3, 5, 8] {
        desk.harness.state_mut().press(Command::Look(LookWish::NoiseStep(step)));
    }
    assert!(looked(&desk).is_none(), "one at a time");
    desk.tell(Event::Looked { id, seen: Ok(Seen::Noised(grey())) });
    let (id, noised) = looked(&desk).expect("the latest wish");
    assert!(matches!(noised, Look::AddNoise { sigma, .. } if sigma == schedule.sigmas(20, &noise)[8]));
    desk.tell(Event::Looked { id, seen: Ok(Seen::Noised(grey())) });

    let (id, trip) = looked(&desk).expect("then there and back");
    assert!(matches!(trip, Look::RoundTrip(_)));
    let trip = RoundTrip::new(grey(), Arc::new(Pixels::new(16, 16, vec![130; 768])));
    desk.tell(Event::Looked { id, seen: Ok(Seen::RoundTrip(trip)) });
    desk.harness.get_by_label("differs by 2.00 / 255");
    assert!(looked(&desk).is_none(), "all is seen");
}

#[test]
fn what_cannot_be_looked_at_is_said_in_its_place() {
    let (mut desk, _) = with_film(Tab::Look);
    let (id, _) = looked(&desk).expect("a look");
    desk.tell(Event::Looked { id, seen: Err("The numbers of this step are no longer kept".into()) });
    desk.harness.run();
    desk.harness.get_by_label("The numbers of this step are no longer kept");
}

#[test]
fn a_closed_look_tab_asks_for_nothing() {
    let (desk, _) = with_film(Tab::Models);
    assert!(looked(&desk).is_none());
    assert!(Views::default().shown() == [StepView::Predicted]);
}
