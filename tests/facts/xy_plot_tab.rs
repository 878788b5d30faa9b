//! The X/Y plot in the window: set up, made picture by picture, saved.

use std::sync::Arc;
use std::time::Duration;

use app::features::command::Command;
use app::features::effect::{Effect, Task};
use app::features::errors::ErrorSlot;
use app::features::event::AppEvent;
use app::features::export::ExportCommand;
use app::features::film::FilmCommand;
use app::features::settings::{Settings, Tab, WindowLayout};
use app::features::state::AppState;
use app::features::xy_plot::{AxisField, XyPlotCommand, XyPlotPhase};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use engine::images::{AnimationFormat, Pixels, read_recipe};
use engine::pipeline::animation_export::AnimationOptions;
use engine::recipe::Recipe;
use engine::session::{JobEvent, JobId, Request};

use crate::support::app_state::{finished, generate, opened, receive, started, step};
use crate::support::fake_answers::gradient_image;
use crate::support::window_harness::TestWindow;

fn ask(state: &mut AppState, command: XyPlotCommand) -> Vec<Effect> {
    state.handle(Command::XyPlot(command))
}

fn across(state: &mut AppState, name: &'static str, values: &str) {
    ask(state, XyPlotCommand::Across(AxisField { name, values: values.into() }));
}

fn asked(effects: &[Effect]) -> Option<(JobId, Recipe)> {
    effects.iter().find_map(|effect| match effect {
        Effect::Send(Request::Generate { job, recipe, .. }) => Some((job.id, Recipe::clone(recipe))),
        _ => None,
    })
}

fn finish(state: &mut AppState, id: JobId, grey: u8) -> Vec<Effect> {
    let picture = Arc::new(Pixels::new(128, 128, vec![grey; 3 * 128 * 128]));
    let elapsed = Duration::from_secs(1);
    receive(state, id, JobEvent::Finished { pictures: vec![picture], concepts: Vec::new(), elapsed })
}

#[test]
fn a_sheet_is_made_cell_by_cell_and_kept_whole() {
    let mut state = opened();
    across(&mut state, "cfg", "1, 9");
    ask(&mut state, XyPlotCommand::Down(Some(AxisField { name: "steps", values: "3, 5".into() })));
    let mut effects = ask(&mut state, XyPlotCommand::Make);
    let mut made = Vec::new();
    while let Some((id, recipe)) = asked(&effects) {
        made.push((recipe.guidance.cfg_scale, recipe.steps));
        effects = finish(&mut state, id, 40 * made.len() as u8);
    }
    assert_eq!(made, [(1.0, 3), (9.0, 3), (1.0, 5), (9.0, 5)]);
    let [Effect::SavePlot(sheet)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(sheet.made.phase, XyPlotPhase::Finished);
    let whole = sheet.made.whole();
    assert!(whole.width > 256 && whole.height > 256, "two pictures each way, and their labels");
    let shown = state.shown().expect("the sheet");
    assert_eq!(shown.pictures[0].width, whole.width, "small enough for the canvas as it is");
    let colours = &shown.pictures[0].rgb;
    assert!([40, 80, 120, 160].iter().all(|grey| colours.contains(grey)), "each picture is on it");
}

#[test]
fn what_cannot_be_made_is_said_and_nothing_is_sent() {
    let mut state = opened();
    for (name, values, words) in [
        ("cfg", "1, much", "much"),
        ("cfg", "", "cfg"),
        ("strength", "0.5", "start image"),
        ("steps", "0, 3", "0 steps"),
        ("sampler", "best", "euler"),
    ] {
        across(&mut state, name, values);
        let problem = state
            .xy_plot
            .sheet_problem(&state.shared)
            .unwrap_or_else(|| panic!("{name}={values} can be made"));
        assert!(problem.contains(words), "{problem}");
        assert!(ask(&mut state, XyPlotCommand::Make).is_empty());
    }
    across(&mut state, "cfg", "1, 2");
    ask(&mut state, XyPlotCommand::Down(Some(AxisField { name: "cfg", values: "3".into() })));
    assert!(state.xy_plot.sheet_problem(&state.shared).is_some_and(|text| text.contains("both axes")));
}

#[test]
fn a_run_waits_for_the_sheet_and_a_sheet_for_the_run() {
    let mut state = opened();
    across(&mut state, "seed", "1, 2");
    let (cell, _) = asked(&ask(&mut state, XyPlotCommand::Make)).expect("a cell");
    assert!(asked(&state.handle(Command::Generate)).is_none(), "it is queued");
    let (second, _) = asked(&finish(&mut state, cell, 9)).expect("the second cell");
    let effects = finish(&mut state, second, 9);
    let (run, recipe) = asked(&effects).expect("the queued run");
    assert_eq!(recipe.batch, 1);
    assert!(state.xy_plot.on_canvas().is_none(), "the run has the canvas");
    started(&mut state, run);
    assert!(ask(&mut state, XyPlotCommand::Make).is_empty(), "one thing at a time");
}

#[test]
fn a_cancelled_sheet_keeps_what_came_and_a_failure_is_told() {
    let mut state = opened();
    across(&mut state, "seed", "1, 2, 3");
    let (first, _) = asked(&ask(&mut state, XyPlotCommand::Make)).expect("a cell");
    let (second, _) = asked(&finish(&mut state, first, 9)).expect("the second cell");
    ask(&mut state, XyPlotCommand::Cancel);
    assert!(state.xy_plot.making().is_some_and(|made| made.job.stop.is_raised()));
    let effects = receive(&mut state, second, JobEvent::Stopped);
    assert!(matches!(&effects[..], [Effect::SavePlot(sheet)] if sheet.made.pictures.len() == 1));
    assert_eq!(state.xy_plot.made.as_ref().map(|made| made.phase), Some(XyPlotPhase::Stopped));

    let (first, _) = asked(&ask(&mut state, XyPlotCommand::Make)).expect("a cell");
    assert!(receive(&mut state, first, JobEvent::Failed { text: "Too large".into() }).is_empty());
    assert_eq!(state.shared.error_at(ErrorSlot::Run).as_deref(), Some("Too large"));
}

#[test]
fn a_sheet_on_the_canvas_is_exported_as_a_film_of_its_pictures() {
    let mut state = opened();
    across(&mut state, "cfg", "1, 4, 9");
    let mut effects = ask(&mut state, XyPlotCommand::Make);
    while let Some((id, _)) = asked(&effects) {
        assert!(state.xy_plot.plot_to_export().is_none(), "it is not over");
        effects = finish(&mut state, id, 90);
    }
    let export = |state: &mut AppState, command| state.handle(Command::Export(command));
    export(&mut state, ExportCommand::ShowOfSheet(true));
    let cut = AnimationOptions { has_captions: true, fps: 3, ..AnimationOptions::default() };
    export(&mut state, ExportCommand::Choose(AnimationFormat::Gif, cut));
    let effects = export(&mut state, ExportCommand::Start);
    assert!(
        matches!(&effects[..], [Effect::Task(Task::PickFilm { name, .. })] if name.ends_with("-xy-plot")),
        "{effects:?}"
    );
    export(&mut state, ExportCommand::Show(false));
    let effects = state.receive(AppEvent::FilmPicked("/films/strip".into()));
    let [Effect::WriteFilm(order)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(
        (order.path.to_str(), order.animation.fps, order.animation.frames.len()),
        (Some("/films/strip.gif"), 3, 3)
    );
    let said = order.animation.frames[1][0].caption.as_ref().map(|caption| caption[0].as_str());
    assert_eq!(said, Some("Guidance 4"));
    assert_eq!(
        (order.animation.provenance.model.as_str(), order.animation.provenance.vary.len()),
        ("Built-in", 1)
    );
    export(&mut state, ExportCommand::Show(true));
    assert!(export(&mut state, ExportCommand::Start).is_empty(), "there is no run");
}

#[test]
fn the_run_and_its_film_come_back_with_a_click() {
    let mut state = opened();
    let (run, _, _) = generate(&mut state);
    started(&mut state, run);
    step(&mut state, run, 0);
    finished(&mut state, run);
    across(&mut state, "seed", "1");
    let (cell, _) = asked(&ask(&mut state, XyPlotCommand::Make)).expect("a cell");
    finish(&mut state, cell, 9);
    assert!(state.xy_plot.on_canvas().is_some());
    state.handle(Command::Film(FilmCommand::Hover(Some(0))));
    assert_eq!(state.shown().and_then(|shown| shown.step), Some(0), "a step that is pointed at is seen");
    state.handle(Command::Film(FilmCommand::Hover(None)));
    state.handle(Command::Film(FilmCommand::Pin(Some(0))));
    assert!(state.xy_plot.on_canvas().is_none());
    ask(&mut state, XyPlotCommand::Show(true));
    assert!(state.xy_plot.on_canvas().is_some());
}

#[test]
fn the_tab_makes_a_sheet_that_says_how_it_was_made() {
    let window = WindowLayout { tab: Tab::XyPlot, ..WindowLayout::default() };
    let mut window = TestWindow::opened(
        Harness::builder().with_size([1440.0, 900.0]),
        Settings { window, ..Settings::default() },
    );
    window.press(Command::XyPlot(XyPlotCommand::Across(AxisField { name: "cfg", values: "1,9".into() })));
    window.harness.get_by_label("2 pictures");
    window.harness.get_by_label("Make the plot").click();
    for at in 0..2 {
        let (id, _) = window.next_job();
        let (pictures, elapsed) = (vec![gradient_image(128, 1.0, at)], Duration::from_secs(1));
        window.send_job_event(id, JobEvent::Finished { pictures, concepts: Vec::new(), elapsed });
    }
    window.until("the saved sheet", |app| !app.state.shared.saved.is_empty());
    let file = window.harness.state().state.shared.saved[0].clone();
    let found = read_recipe(&file).expect("a PNG").expect("with a recipe");
    let vary: Vec<String> = found.provenance.vary.iter().map(ToString::to_string).collect();
    assert_eq!(vary, ["cfg=1,9"]);
    window.harness.run();
    window.harness.get_by_label("Back to the picture");
}
