//! Exporting an animation from the window: the card, the engine, and the thread that writes.

use app::features::command::Command;
use app::features::event::AppEvent;
use app::features::export::{ExportCommand, ExportPhase};
use app::features::settings::Settings;
use egui_kittest::kittest::Queryable;
use engine::images::{Animation, AnimationFormat, Panel, Pixels, Playback, Provenance, read_recipe};
use engine::pipeline::StopFlag;
use engine::pipeline::animation_export::{AnimationLayout, AnimationOptions};
use engine::session::{AnimationEvent, Event, JobId, Request, Session};

use crate::support::folders::names;
use crate::support::waiting::next;
use crate::support::window_harness::{TestWindow, until, window_builder, window_with_engine};

/// A window with a finished run and an open export card.
fn test_window() -> TestWindow {
    let mut window = TestWindow::opened(window_builder(), Settings::default());
    window.harness.get_by_label("Generate").click();
    let (id, recipe) = window.next_job();
    window.run_steps(id, &recipe, 20);
    window.finish(id, &recipe);
    window.harness.get_by_label("Export…").click();
    // One for the click, one to measure the card, one to show it.
    window.harness.run_steps(4);
    window
}

fn receive(window: &mut TestWindow, news: AppEvent) {
    window.harness.state_mut().receive(news);
    window.harness.step();
}

fn asked(window: &TestWindow) -> (JobId, AnimationOptions, StopFlag) {
    let cut = window.requests.try_iter().find_map(|request| match request {
        Request::ExportAnimation { job, options, stop, .. } => Some((job, options, stop)),
        _ => None,
    });
    cut.expect("a film was asked for")
}

fn animation() -> Animation {
    let pane = |grey: u8| Panel { picture: Pixels::new(16, 16, vec![grey; 768]).into(), caption: None };
    let frames = (0..4).map(|step| vec![pane(60 * step)]).collect();
    Animation { frames, size: (16, 16), fps: 12, playback: Playback::Loop, provenance: Provenance::default() }
}

#[test]
fn the_card_asks_the_engine_and_the_thread_that_writes_and_says_where_the_film_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut window = test_window();
    window.harness.get_by_label("Save as…");
    let cut = AnimationOptions {
        view: AnimationLayout::Both,
        has_captions: true,
        fps: 24,
        ..AnimationOptions::default()
    };
    window.press(Command::Export(ExportCommand::Choose(AnimationFormat::Apng, cut)));
    receive(&mut window, AppEvent::FilmPicked(folder.path().join("film")));
    let (_, wanted, _) = asked(&window);
    assert_eq!(wanted, cut);
    window.send(Event::Animation(AnimationEvent::Progress { fraction: 0.5 }));
    window.harness.get_by_label("50 %");
    window.send(Event::Animation(AnimationEvent::Done(Box::new(animation()))));
    window.until("the written film", |app| matches!(app.state.export.phase, ExportPhase::Done { .. }));
    window.harness.run_steps(4);
    window.harness.get_by_label_contains("film.png");
    // The status bar has one too.
    assert_eq!(window.harness.get_all_by_label("Open folder").count(), 2);
    assert_eq!(names(folder.path()), ["film.png"]);
    let found = read_recipe(&folder.path().join("film.png")).expect("a PNG").expect("a recipe");
    let run = window.harness.state().state.runs.current().expect("a run");
    assert_eq!((found.provenance.recipe, found.provenance.model.as_str()), (run.recipe.clone(), "Built-in"));
}

#[test]
fn a_film_can_be_cancelled_and_a_failure_stands_in_the_card() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut window = test_window();
    receive(&mut window, AppEvent::FilmPicked(folder.path().join("film.gif")));
    let (_, _, stop) = asked(&window);
    // The card now shows progress, and its buttons are elsewhere.
    window.harness.run_steps(4);
    window.harness.get_by_label("Cancel").click();
    window.harness.run_steps(4);
    assert!(stop.is_raised());
    window.send(Event::Animation(AnimationEvent::Stopped));
    window.harness.run_steps(4);
    window.harness.get_by_label("Save as…");

    receive(&mut window, AppEvent::FilmPicked(folder.path().join("film.gif")));
    window
        .send(Event::Animation(AnimationEvent::Failed { text: "The steps are gone. Make it again".into() }));
    window.harness.run_steps(4);
    window.harness.get_by_label_contains("The steps are gone");

    receive(&mut window, AppEvent::FilmPicked(folder.path().join("no/such/folder/film.gif")));
    window.send(Event::Animation(AnimationEvent::Done(Box::new(animation()))));
    window.until("the failure", |app| matches!(app.state.export.phase, ExportPhase::Failed { .. }));
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn a_film_is_of_a_run_that_is_over() {
    let mut window = TestWindow::opened(window_builder(), Settings::default());
    assert!(window.harness.query_by_label("Export…").is_none());
    window.harness.get_by_label("Generate").click();
    let (id, recipe) = window.next_job();
    window.run_steps(id, &recipe, 9);
    assert!(window.harness.query_by_label("Export…").is_none());
    window.send_job_event(id, engine::session::JobEvent::Stopped);
    window.harness.step();
    window.harness.get_by_label("Export…");
}

#[test]
fn the_engine_makes_the_film_that_was_asked_for() {
    let (mut harness, home) = window_with_engine(window_builder(), Settings::default());
    until(&mut harness, "the model", |app| app.state.shared.model_info().is_some());
    harness.state_mut().press(Command::Generate);
    until(&mut harness, "the picture, saved", |app| !app.state.shared.saved.is_empty());
    let cut = AnimationOptions {
        view: AnimationLayout::Both,
        is_full: true,
        has_captions: true,
        ..AnimationOptions::default()
    };
    harness.state_mut().press(Command::Export(ExportCommand::Choose(AnimationFormat::Sequence, cut)));
    harness.state_mut().receive(AppEvent::FilmPicked(home.path().join("frames")));
    until(&mut harness, "the film", |app| matches!(app.state.export.phase, ExportPhase::Done { .. }));
    let frames = names(&home.path().join("frames"));
    assert_eq!((frames.len(), frames[0].as_str()), (21, "0001.png"));
    let (width, height) = image::image_dimensions(home.path().join("frames/0021.png")).expect("a picture");
    assert!(width == 256 && height > 128, "{width} x {height}");
}

#[test]
fn exporting_steps_that_are_gone_fails() {
    let session = Session::start(|| ());
    let (cut, stop) = (AnimationOptions::default(), StopFlag::default());
    session.send(Request::ExportAnimation { job: JobId(5), picture: 0, finished: None, options: cut, stop });
    match next(session.events()) {
        Event::Animation(AnimationEvent::Failed { .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_name_that_is_too_long_is_refused_before_anything_is_rendered() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut window = test_window();
    receive(&mut window, AppEvent::FilmPicked(folder.path().join("x".repeat(252))));
    let phase = &window.harness.state().state.export.phase;
    assert!(matches!(phase, ExportPhase::Failed { text } if text.contains("255")), "{phase:?}");
    let asked = window.requests.try_iter().any(|request| matches!(request, Request::ExportAnimation { .. }));
    assert!(!asked, "nothing is rendered for it");
}
