//! The schedule tab and what belongs to it: the plot, the views of a step, playing the film.

use std::sync::Arc;

use app::features::canvas::ViewCommand;
use app::features::canvas::views::Views;
use app::features::command::Command;
use app::features::film::{FilmCommand, PlaybackSettings};
use app::features::inspect::InspectCommand;
use app::features::settings::{Settings, Tab, WindowLayout};
use app::features::start_image::StartPicture;
use app::features::state::AppState;
use egui::accesskit::Role;
use egui::{Key, Pos2, Rect};
use egui_kittest::kittest::{NodeT, Queryable};
use engine::diffusion::{Schedule, StepView};
use engine::images::Pixels;
use engine::inspect::latents::{Channel, RoundTrip};
use engine::recipe::{Recipe, Start, strength_of};
use engine::session::{Event, InspectRequest, InspectResult, JobEvent, JobId, Request};

use crate::support::window_harness::{TestWindow, window_builder};

fn settings(tab: Tab, recipe: Recipe) -> Settings {
    let window = WindowLayout { tab, ..WindowLayout::default() };
    Settings { window, last_recipe: recipe, seed_locked: true, ..Settings::default() }
}

fn test_window(tab: Tab) -> TestWindow {
    TestWindow::opened(window_builder(), settings(tab, Recipe::default()))
}

/// A window with a film in it.
fn with_film(tab: Tab) -> (TestWindow, JobId) {
    let mut window = test_window(tab);
    window.harness.get_by_label("Generate").click();
    let (id, recipe) = window.next_job();
    window.run_steps(id, &recipe, 20);
    window.finish(id, &recipe);
    window.harness.run();
    (window, id)
}

fn state(window: &TestWindow) -> &AppState {
    &window.harness.state().state
}

fn start_image(window: &mut TestWindow, strength: f32) {
    let state = &mut window.harness.state_mut().state;
    let start = Start::Image { path: "fox.png".into(), strength };
    state.handle(Command::Edit(Box::new(Recipe { start, ..state.shared.recipe.clone() })));
    let pixels = Arc::new(Pixels::new(64, 64, vec![128; 64 * 64 * 3]));
    state.start_picture = Some(StartPicture { pixels, notes: Vec::new() });
    window.harness.run();
}

fn strength(window: &TestWindow) -> f32 {
    match state(window).shared.recipe.start {
        Start::Image { strength, .. } => strength,
        Start::Noise => panic!("a start image"),
    }
}

fn place_of(window: &TestWindow, role: Role, name: &str) -> Rect {
    window.harness.get_by_role_and_label(role, name).rect()
}

fn drag(window: &mut TestWindow, from: Pos2, to: Pos2) {
    window.harness.hover_at(from);
    window.harness.step();
    window.harness.drag_at(from);
    window.harness.step();
    window.harness.hover_at(from.lerp(to, 0.5));
    window.harness.step();
    window.harness.hover_at(to);
    window.harness.step();
    window.harness.drop_at(to);
    window.harness.run();
}

const PLOT: &str = "Step of the run, on the plot";
const START: &str = "Start step, on the plot";

#[test]
fn the_coral_mark_on_the_plot_is_the_strength_slider() {
    let mut window = test_window(Tab::Schedule);
    assert!(window.harness.query_by_label(START).is_none(), "noise starts at the first step");
    start_image(&mut window, 0.5);
    window.harness.get_by_role_and_label(Role::Slider, START).focus();
    window.harness.step();
    window.harness.key_press(Key::ArrowRight);
    window.harness.run();
    assert_eq!((state(&window).shared.recipe.start_step(), strength(&window)), (11, strength_of(11, 20)));
    let slider =
        window.harness.get_by_role_and_label(Role::Slider, "Strength").accesskit_node().numeric_value();
    assert!(slider.is_some_and(|value| (value - 0.45).abs() < 1e-6), "{slider:?}");

    let mark = place_of(&window, Role::Slider, START).center();
    drag(&mut window, mark, mark - egui::vec2(60.0, 0.0));
    let dragged = state(&window).shared.recipe.start_step();
    assert!((1..11).contains(&dragged), "step {dragged}");
    let from = place_of(&window, Role::Slider, START).center();
    drag(&mut window, from, mark + egui::vec2(2000.0, 0.0));
    assert_eq!(state(&window).shared.recipe.start_step(), 19, "at the end one step is left to run");
    assert!(state(&window).shared.recipe.check().is_ok());
}

#[test]
fn a_click_on_the_plot_selects_that_step_and_arrow_keys_move_on() {
    let (mut window, _) = with_film(Tab::Schedule);
    let plot = place_of(&window, Role::Slider, PLOT);
    window.harness.hover_at(plot.left_center());
    window.harness.step();
    window.harness.drag_at(plot.left_center());
    window.harness.drop_at(plot.left_center());
    window.harness.run();
    assert_eq!(state(&window).film.pinned, Some(0));
    window.harness.get_by_role_and_label(Role::Slider, PLOT).focus();
    window.harness.step();
    window.harness.key_press(Key::ArrowRight);
    window.harness.run();
    assert_eq!(state(&window).film.pinned, Some(1));
    drag(&mut window, plot.left_center() + egui::vec2(10.0, 0.0), plot.right_center());
    assert_eq!(state(&window).film.pinned, Some(19), "a drag runs through the film");
}

#[test]
fn the_plot_follows_the_run() {
    let mut window = test_window(Tab::Schedule);
    assert!(window.harness.query_by_label(PLOT).is_none(), "there is no film yet");
    window.harness.get_by_label("Generate").click();
    let (id, recipe) = window.next_job();
    window.run_steps(id, &recipe, 9);
    window.harness.run();
    let at = window.harness.get_by_role_and_label(Role::Slider, PLOT).accesskit_node().numeric_value();
    assert_eq!(at, Some(9.0));
}

#[test]
fn the_plot_says_what_the_lesson_says_of_its_schedule() {
    let recipe = Recipe { steps: 15, schedule: Schedule::Linspace, ..Recipe::default() };
    let mut window = TestWindow::opened(window_builder(), settings(Tab::Schedule, recipe));
    window.harness.run();
    window.harness.get_by_label("1 · σ 14.615 · t 999");
    window.harness.get_by_label("Scale Linear").click();
    window.harness.run();
    window.harness.get_by_role_and_label(Role::CheckBox, "Show others").click();
    window.harness.run();
    let plot = state(&window).shared.settings.schedule_plot;
    assert!(plot.is_linear && !plot.with_others);
}

#[test]
fn one_view_or_several_of_a_step_are_on_the_canvas_and_each_can_be_hidden() {
    let (mut window, id) = with_film(Tab::Models);
    let asked = |window: &TestWindow| {
        window.requests.try_iter().find_map(|request| match request {
            Request::Decode { step, view, .. } => Some((step, view)),
            _ => None,
        })
    };
    let answer = |window: &mut TestWindow, (step, view): (usize, StepView)| {
        let pictures = vec![Arc::new(Pixels::new(128, 128, vec![90; 128 * 128 * 3]))];
        window.send_job_event(id, JobEvent::Decoded { step, view, pictures });
    };
    let first = asked(&window).expect("the film is developed");
    window.harness.get_by_role_and_label(Role::RadioButton, "View Noisy").click();
    window.harness.run();
    assert_eq!(
        state(&window).shown_of(StepView::NoisyLatents).map(|shown| shown.pictures[0].width),
        Some(16)
    );
    answer(&mut window, first);
    let noisy = asked(&window).expect("what is looked at comes first");
    assert_eq!(noisy, (19, StepView::NoisyLatents), "at rest that is the last step");
    answer(&mut window, noisy);
    assert!(state(&window).shown_of(StepView::NoisyLatents).is_some_and(|shown| shown.is_full));

    window.harness.get_by_label("Side by side").click();
    window.harness.run();
    window.harness.get_by_label("Show Guidance alone");
    window.harness.get_by_role_and_label(Role::CheckBox, "View Guidance").click();
    window.harness.run();
    assert!(window.harness.query_by_label("Show Guidance alone").is_none());
    window.harness.get_by_label("Show Noise alone").click();
    window.harness.run();
    assert_eq!(state(&window).shared.settings.views.shown(), [StepView::PredictedNoise]);
}

#[test]
fn a_run_without_guidance_says_why_there_is_no_such_view() {
    let mut window = test_window(Tab::Models);
    window.harness.get_by_label("Generate").click();
    let (id, recipe) = window.next_job();
    window.run_steps(id, &recipe, 3);
    let run = window.harness.state_mut().state.runs.current_mut().expect("a run");
    run.frames.iter_mut().for_each(|frame| frame.guidance.clear());
    window.harness.state_mut().state.handle(Command::View(ViewCommand::Choose(StepView::Guidance)));
    window.harness.run();
    assert!(state(&window).shown_of(StepView::Guidance).is_none());
    window.harness.get_by_role_and_label(Role::RadioButton, "View Predicted").click();
    window.harness.run();
    assert!(state(&window).shown_of(StepView::Predicted).is_some());
}

#[test]
fn two_steps_are_compared_with_a_divider_between_them() {
    let (mut window, _) = with_film(Tab::Models);
    window.harness.get_by_label_contains("Step 15, sigma").click();
    window.harness.run();
    assert_eq!(state(&window).film.pinned, Some(14), "a click is no drag");
    window.harness.get_by_label("Compare").click();
    window.harness.run();
    let film = &state(&window).film;
    assert_eq!((film.pinned, film.compared), (Some(14), Some(19)), "with the last one at first");
    window.harness.get_by_label_contains("Step 17, sigma").click();
    window.harness.run();
    let film = &state(&window).film;
    assert_eq!((film.pinned, film.compared), (Some(14), Some(16)), "a click chooses the other");

    let at = |window: &TestWindow| {
        window.harness.get_by_role_and_label(Role::Slider, "Divider").accesskit_node().numeric_value()
    };
    assert_eq!(at(&window), Some(50.0));
    let from = place_of(&window, Role::Slider, "Divider").center();
    drag(&mut window, from, from + egui::vec2(40.0, 0.0));
    assert!(at(&window).is_some_and(|at| at > 55.0), "{:?}", at(&window));
    window.harness.get_by_role_and_label(Role::Slider, "Divider").focus();
    window.harness.step();
    let before = at(&window).expect("a divider");
    window.harness.key_press(Key::ArrowLeft);
    window.harness.run();
    assert!(at(&window).is_some_and(|at| at < before));

    window.harness.key_press(Key::Escape);
    window.harness.run();
    let film = &state(&window).film;
    assert_eq!(
        (film.pinned, film.compared),
        (Some(14), None),
        "first the comparison ends, then the step is let go"
    );
}

#[test]
fn a_film_plays_as_it_is_set() {
    let (mut window, _) = with_film(Tab::Models);
    for (name, is_on) in [("Loop", false), ("Back and forth", true)] {
        window.harness.get_by_role_and_label(Role::CheckBox, name).click();
        window.harness.run();
        let how = state(&window).shared.settings.playing;
        assert_eq!(if name == "Loop" { how.loops } else { how.ping_pong }, is_on);
    }
    let state = &mut window.harness.state_mut().state;
    let how = PlaybackSettings { loops: false, ping_pong: false, fps: 10.0 };
    state.handle(Command::View(ViewCommand::Play { how, now: 0.0 }));
    state.handle(Command::Film(FilmCommand::TogglePlay { now: 0.0 }));
    state.handle(Command::Film(FilmCommand::Tick { now: 0.55 }));
    assert_eq!(state.film.looked_at(&state.runs), Some(5));
    state.handle(Command::Film(FilmCommand::Tick { now: 9.0 }));
    assert!(state.film.play.is_none() && state.film.pinned == Some(19), "it ends and stays where it ended");
}

#[test]
fn a_drag_over_the_film_runs_through_it() {
    let (mut window, _) = with_film(Tab::Models);
    let tile = |window: &TestWindow, number: usize| {
        window.harness.get_by_label_contains(&format!("Step {number}, sigma")).rect().center()
    };
    let (from, to) = (tile(&window, 14), tile(&window, 18));
    drag(&mut window, from, to);
    assert_eq!(state(&window).film.pinned, Some(17));
}

fn pending_inspection(window: &TestWindow) -> Option<(u64, InspectRequest)> {
    window.requests.try_iter().find_map(|request| match request {
        Request::Inspect { id, request: look } => Some((id, look)),
        _ => None,
    })
}

#[test]
fn the_inspect_tab_makes_one_request_after_the_other_and_the_latest_counts() {
    let (mut window, _) = with_film(Tab::Inspect);
    let grey = || Arc::new(Pixels::new(16, 16, vec![128; 768]));
    let (id, channels) = pending_inspection(&window).expect("the channels first");
    assert!(matches!(
        channels,
        InspectRequest::StepChannels { step: 19, view: StepView::Predicted, picture: 0, .. }
    ));
    let four = (0..4u8).map(|n| Channel { picture: grey(), min: -3.5, max: f32::from(n) }).collect();
    window.send(Event::Inspection { id, result: Ok(InspectResult::Channels(four)) });
    window.harness.get_by_label("−3.5…2.0");

    let (id, noised) = pending_inspection(&window).expect("then the noise");
    let InspectRequest::AddNoise { sigma, seed: 32, .. } = noised else { panic!("{noised:?}") };
    let schedule = state(&window).shared.recipe.schedule;
    let info = state(&window).shared.model_info().expect("a model");
    let noise = info.scheduler.noise_schedule();
    assert_eq!(sigma, schedule.sigmas(20, &noise)[13], "two thirds of the way");
    for step in [3, 5, 8] {
        window.harness.state_mut().press(Command::Inspect(InspectCommand::NoiseStep(step)));
    }
    assert!(pending_inspection(&window).is_none(), "one at a time");
    window.send(Event::Inspection { id, result: Ok(InspectResult::Noised(grey())) });
    let (id, noised) = pending_inspection(&window).expect("the latest wish");
    assert!(
        matches!(noised, InspectRequest::AddNoise { sigma, .. } if sigma == schedule.sigmas(20, &noise)[8])
    );
    window.send(Event::Inspection { id, result: Ok(InspectResult::Noised(grey())) });

    let (id, trip) = pending_inspection(&window).expect("then there and back");
    assert!(matches!(trip, InspectRequest::RoundTrip(_)));
    let trip = RoundTrip::new(grey(), Arc::new(Pixels::new(16, 16, vec![130; 768])));
    window.send(Event::Inspection { id, result: Ok(InspectResult::RoundTrip(trip)) });
    window.harness.get_by_label_contains("2.00 / 255");
    assert!(pending_inspection(&window).is_none(), "all is seen");
}

#[test]
fn what_cannot_be_looked_at_is_said_in_its_place() {
    let (mut window, _) = with_film(Tab::Inspect);
    let (id, _) = pending_inspection(&window).expect("a look");
    window.send(Event::Inspection { id, result: Err("The numbers of this step are no longer kept".into()) });
    window.harness.run();
    window.harness.get_by_label("The numbers of this step are no longer kept");
}

#[test]
fn a_closed_inspect_tab_requests_nothing() {
    let (window, _) = with_film(Tab::Models);
    assert!(pending_inspection(&window).is_none());
    assert!(Views::default().shown() == [StepView::Predicted]);
}
