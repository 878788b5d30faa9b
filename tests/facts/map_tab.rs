//! The Map tab: runs as paths.

use app::features::branches::BranchCommand;
use app::features::command::Command;
use app::features::effect::Effect;
use app::features::settings::{Settings, SettingsCommand, Tab, WindowLayout};
use app::features::state::AppState;
use app::features::trajectory_map::{MapSettings, TrajectoryMapCommand};
use egui::accesskit::Role;
use egui::{Key, Pos2, Vec2};
use egui_kittest::kittest::Queryable;
use engine::inspect::trajectory_map::{MapLayout, MapView};
use engine::recipe::{Guidance, Recipe};
use engine::session::{JobId, MapRequest, Request};

use crate::support::app_state::{finished, generate, opened, started, step};
use crate::support::trajectory_map::{map_event, trajectory_map};
use crate::support::window_harness::{TestWindow, window_builder};

const MAP: &str = "Step of the run, on the map";

fn show_tab(state: &mut AppState, tab: Option<Tab>) -> Vec<Effect> {
    state.handle(Command::Settings(SettingsCommand::ShowTab { tab, drawer: false }))
}

/// What the engine is told to map, if it is told anything.
fn watched(effects: &[Effect]) -> Option<Option<MapRequest>> {
    effects.iter().find_map(|effect| match effect {
        Effect::Send(Request::WatchMap(request)) => Some(request.clone()),
        _ => None,
    })
}

fn run(state: &mut AppState) -> JobId {
    let (id, _, _) = generate(state);
    started(state, id);
    (0..20).for_each(|at| drop(step(state, id, at)));
    finished(state, id);
    id
}

#[test]
fn a_map_is_watched_while_its_tab_is_open_and_there_is_a_run() {
    let mut state = opened();
    assert_eq!(watched(&show_tab(&mut state, Some(Tab::Map))), None, "there is nothing to map");
    let effects = state.handle(Command::Generate);
    let first = state.runs.current().expect("a run").job.id;
    let request = |jobs: &[JobId], current, view| MapRequest { jobs: jobs.to_vec(), current, view };
    assert_eq!(watched(&effects), Some(Some(request(&[first], first, MapView::Predicted))));
    started(&mut state, first);
    (0..20).for_each(|at| assert_eq!(watched(&step(&mut state, first, at)), None, "the engine knows"));
    finished(&mut state, first);

    let settings = MapSettings { view: MapView::Noisy, ..MapSettings::default() };
    let effects = state.handle(Command::TrajectoryMap(TrajectoryMapCommand::Change(settings)));
    assert_eq!(watched(&effects), Some(Some(request(&[first], first, MapView::Noisy))));
    let second = run(&mut state);
    let effects = state.handle(Command::Branch(BranchCommand::Show(first)));
    assert_eq!(watched(&effects), Some(Some(request(&[first, second], first, MapView::Noisy))));

    for hide in [Some(Tab::Words), None] {
        assert_eq!(watched(&show_tab(&mut state, hide)), Some(None));
        assert!(watched(&show_tab(&mut state, Some(Tab::Map))).is_some_and(|request| request.is_some()));
    }
    assert_eq!(watched(&state.handle(Command::Settings(SettingsCommand::FoldPanels))), Some(None));
}

#[test]
fn a_map_of_other_latents_or_without_the_current_run_is_not_shown() {
    let mut state = opened();
    let id = run(&mut state);
    show_tab(&mut state, Some(Tab::Map));
    for (view, runs, is_shown) in [
        (MapView::Predicted, vec![id.0], true),
        (MapView::Noisy, vec![id.0], false),
        (MapView::Predicted, vec![id.0 + 7], false),
        (MapView::Predicted, vec![], false),
    ] {
        state.receive(map_event(view, &runs));
        assert_eq!(state.map_shown().is_some(), is_shown, "{view:?} of {runs:?}");
    }
}

#[test]
fn selecting_a_step_of_another_run_shows_that_run_and_holds_the_step() {
    let mut state = opened();
    let first = run(&mut state);
    let second = run(&mut state);
    for (job, at) in [(first, 7), (second, 3), (second, 3)] {
        state.handle(Command::TrajectoryMap(TrajectoryMapCommand::Select { job, step: at }));
        assert_eq!(state.runs.current().map(|run| run.job.id), Some(job));
        assert_eq!(state.film.pinned, Some(at));
    }
}

fn opened_window() -> TestWindow {
    let window = WindowLayout { tab: Tab::Map, ..WindowLayout::default() };
    let last_recipe = Recipe { prompt: "a sun over the sea".into(), ..Recipe::default() };
    let settings = Settings { window, last_recipe, seed_locked: true, ..Settings::default() };
    TestWindow::opened(window_builder(), settings)
}

/// A finished run in the window.
fn finished_run(window: &mut TestWindow) -> JobId {
    window.harness.get_by_label("Generate").click();
    let (id, recipe) = window.next_job();
    window.run_steps(id, &recipe, 20);
    window.finish(id, &recipe);
    id
}

fn state(window: &TestWindow) -> &AppState {
    &window.harness.state().state
}

fn click_at(window: &mut TestWindow, at: Pos2) {
    window.harness.hover_at(at);
    window.harness.step();
    window.harness.drag_at(at);
    window.harness.drop_at(at);
    window.harness.run();
}

#[test]
fn pointing_at_a_dot_shows_its_step_a_click_holds_it_and_arrow_keys_move_on() {
    let mut window = opened_window();
    window.harness.get_by_label_contains("Each run becomes a path here");
    window.harness.get_by_label("Generate").click();
    let (id, recipe) = window.next_job();
    window.run_steps(id, &recipe, 20);
    window.harness.get_by_label_contains("The path appears with the first steps");
    window.finish(id, &recipe);
    window.send(map_event(MapView::Predicted, &[id.0]));
    window.harness.run();
    window.harness.get_by_label("62 % of the variance lies across, 21 % upwards.");

    window.harness.get_by_label("Step 12 on the map").hover();
    window.harness.run();
    assert_eq!((state(&window).film.hovered, state(&window).film.pinned), (Some(11), None));
    window.harness.get_by_label("Step 5 on the map").click();
    window.harness.run();
    assert_eq!(state(&window).film.pinned, Some(4));
    window.harness.get_by_role_and_label(Role::Slider, MAP).focus();
    window.harness.step();
    window.harness.key_press(Key::ArrowRight);
    window.harness.run();
    assert_eq!(state(&window).film.pinned, Some(5));
}

#[test]
fn a_click_on_another_path_shows_its_run_and_so_do_the_arrow_keys() {
    let mut window = opened_window();
    let first = finished_run(&mut window);
    window.press(Command::Branch(BranchCommand::Leave(Some(8))));
    let edited = Recipe { guidance: Guidance { cfg_scale: 3.0 }, ..state(&window).shared.recipe.clone() };
    window.press(Command::Edit(Box::new(edited)));
    window.harness.get_by_label("Branch").click();
    let (second, recipe) = window.next_job();
    window.run_steps(second, &recipe, 20);
    window.finish(second, &recipe);
    let map = trajectory_map(MapView::Predicted, &[first.0, second.0]);
    window.send(map_event(MapView::Predicted, &[first.0, second.0]));
    window.harness.run();

    let area = window.harness.get_by_role_and_label(Role::Slider, MAP).rect();
    let layout = MapLayout::new(&map, area.size().into(), 34.0);
    let at = area.min + Vec2::from(layout.place(map.paths[0].points[15].at));
    click_at(&mut window, at);
    let current = |window: &TestWindow| state(window).runs.current().map(|run| run.job.id);
    assert_eq!((current(&window), state(&window).film.pinned), (Some(first), Some(15)));

    window.harness.get_by_role_and_label(Role::Slider, MAP).focus();
    window.harness.step();
    window.harness.key_press(Key::ArrowDown);
    window.harness.run();
    assert_eq!(current(&window), Some(second));
}

#[test]
fn what_the_map_shows_can_be_chosen_and_is_kept() {
    let mut window = opened_window();
    window.harness.get_by_label("Map of Noisy x").click();
    window.harness.run();
    for name in ["Pictures", "Arrows"] {
        window.harness.get_by_role_and_label(Role::CheckBox, name).click();
        window.harness.run();
    }
    let settings = state(&window).shared.settings_to_save();
    let written = serde_json::to_string(&settings).expect("JSON");
    let read: Settings = serde_json::from_str(&written).expect("settings");
    let expected = MapSettings { view: MapView::Noisy, with_pictures: false, with_arrows: false };
    assert_eq!(read.trajectory_map, expected);
}
