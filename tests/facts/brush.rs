//! Drawing by hand in the window: paint on a step, and masks of guides.

use std::sync::Arc;

use app::features::branches::{BranchCommand, BranchRow};
use app::features::brush::{BrushCommand, BrushEvent, Drawing, DrawingOf, Tool};
use app::features::command::Command;
use app::features::event::AppEvent;
use app::features::film::FilmCommand;
use app::features::settings::{Settings, Tab, WindowLayout};
use app::features::state::AppState;
use egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable;
use engine::diffusion::NoiseStreams;
use engine::losses::{LossGuide, Mask};
use engine::recipe::Recipe;
use engine::session::JobId;

use crate::support::app_state::{finished, generate, opened, sent, started, step};
use crate::support::window_harness::{TestWindow, drop_file, window_builder};

/// A finished run of 20 steps.
fn run(state: &mut AppState) -> JobId {
    let (id, _, _) = generate(state);
    started(state, id);
    (0..20).for_each(|at| drop(step(state, id, at)));
    finished(state, id);
    id
}

fn brush(state: &mut AppState, commands: impl IntoIterator<Item = BrushCommand>) {
    for command in commands {
        state.handle(Command::Brush(command));
    }
}

/// A stroke across the middle.
fn stroke() -> [BrushCommand; 3] {
    [BrushCommand::Touch([0.3, 0.5]), BrushCommand::Move([0.7, 0.5]), BrushCommand::Lift]
}

fn guided(guides: &[&str]) -> Recipe {
    let guides = guides.iter().map(|guide| guide.parse().expect("a guide")).collect();
    Recipe { prompt: "a fox".into(), guides, ..Recipe::default() }
}

#[test]
fn paint_goes_with_the_branch_and_the_tree_says_so() {
    let mut state = opened();
    let first = run(&mut state);
    state.handle(Command::Film(FilmCommand::Pin(Some(7))));
    brush(&mut state, [BrushCommand::Paint]);
    assert_eq!(state.runs.branch_from, Some(7));
    assert_eq!(state.brush.open().map(|drawing| drawing.of), Some(DrawingOf::Paint { job: first, step: 7 }));
    brush(&mut state, [BrushCommand::Color([255, 0, 0])]);
    brush(&mut state, stroke());
    brush(&mut state, [BrushCommand::Close]);
    let (branched, _, recipe) = generate(&mut state);
    let branch = recipe.branch.expect("a branch");
    let layer = branch.paint.and_then(|paint| paint.layer).expect("paint");
    assert_eq!((layer.width(), layer.height(), branch.step), (recipe.width, recipe.height, 7));
    let middle = (layer.height() / 2 * layer.width() + layer.width() / 2) as usize;
    assert_eq!(layer.rgba()[4 * middle..][..4], [255, 0, 0, 255]);
    let title = |state: &AppState, job| {
        state.runs.tree().iter().find(|row| row.run.job.id == job).map(BranchRow::title)
    };
    assert_eq!(title(&state, branched).as_deref(), Some("painted"));
    assert!(state.brush.drawing.is_none(), "the run has it now");

    started(&mut state, branched);
    finished(&mut state, branched);
    assert_eq!(generate(&mut state).2.branch, None);
}

#[test]
fn fresh_noise_is_drawn_with_the_brush_too() {
    let mut state = opened();
    run(&mut state);
    brush(&mut state, [BrushCommand::Paint, BrushCommand::Choose(Tool::Mask)]);
    brush(&mut state, stroke());
    let paint = generate(&mut state).2.branch.and_then(|branch| branch.paint).expect("paint");
    assert!(paint.layer.is_none());
    assert_eq!(paint.noise.map(|noise| noise.mask.width()), Some(128));
}

#[test]
fn a_brush_that_drew_nothing_makes_an_ordinary_run() {
    let mut state = opened();
    run(&mut state);
    brush(&mut state, [BrushCommand::Paint]);
    brush(&mut state, stroke());
    brush(&mut state, [BrushCommand::Undo]);
    assert_eq!(generate(&mut state).2.branch, None);
}

#[test]
fn paint_waits_for_its_step_and_is_not_lost_by_looking_elsewhere() {
    let mut state = opened();
    let first = run(&mut state);
    state.handle(Command::Film(FilmCommand::Pin(Some(7))));
    brush(&mut state, [BrushCommand::Paint]);
    brush(&mut state, stroke());
    state.handle(Command::Branch(BranchCommand::Stay));
    assert!(state.brush.open().is_none(), "without a branch there is nothing to paint on");
    state.handle(Command::Film(FilmCommand::Pin(None)));
    state.handle(Command::Film(FilmCommand::Pin(Some(7))));
    brush(&mut state, [BrushCommand::Paint]);
    assert!(state.brush.open().is_some_and(Drawing::can_undo), "it is still there");
    state.handle(Command::Branch(BranchCommand::Forget(first)));
    assert!(state.brush.drawing.is_none(), "its run is gone");
}

#[test]
fn more_paint_than_a_picture_can_hold_is_said_and_kept() {
    let mut state = opened();
    let mut recipe = state.shared.recipe.clone();
    (recipe.width, recipe.height) = (1024, 1024);
    state.handle(Command::Edit(Box::new(recipe)));
    run(&mut state);
    brush(&mut state, [BrushCommand::Paint]);
    // Noise cannot be compressed.
    let noise = NoiseStreams::new(0, 1).draw([1, 3, 1024, 1024]);
    let rgb = noise.data.iter().map(|value| (value * 1000.0) as i32 as u8).collect();
    let photo = Arc::new(engine::images::Pixels::new(1024, 1024, rgb));
    state.receive(AppEvent::Brush(BrushEvent::Pasted(Ok(photo))));
    assert!(sent(&state.handle(Command::Generate)).is_none());
    assert!(state.brush.open().is_some_and(Drawing::can_undo));
    brush(&mut state, [BrushCommand::Undo]);
    brush(&mut state, stroke());
    assert!(generate(&mut state).2.branch.is_some());
}

#[test]
fn a_mask_is_in_the_recipe_after_each_stroke_and_undone_with_it() {
    let mut state = opened();
    state.handle(Command::Edit(Box::new(guided(&["tile", "smoothness"]))));
    brush(&mut state, [BrushCommand::DrawMask(1)]);
    brush(&mut state, stroke());
    let mask = |state: &AppState| state.shared.recipe.guides[1].mask.clone();
    let drawn = mask(&state).expect("a mask");
    assert_eq!(drawn.coverage()[64 * 128 + 64], 255);
    assert_eq!(state.shared.recipe.guides[0].mask, None);
    brush(&mut state, [BrushCommand::Undo]);
    assert_eq!(mask(&state), None, "a mask that is black everywhere guides nothing");
    brush(&mut state, [BrushCommand::Redo, BrushCommand::Invert]);
    assert_eq!(mask(&state), Some(drawn.inverted()));
    assert!(generate(&mut state).2.guides[1].mask.is_some());

    brush(&mut state, [BrushCommand::DrawMask(1)]);
    let mut recipe = state.shared.recipe.clone();
    recipe.guides.remove(0);
    state.handle(Command::Edit(Box::new(recipe)));
    assert!(state.brush.open().is_none(), "its guide has moved");
}

#[test]
fn a_mask_that_was_loaded_is_drawn_on_at_the_size_of_the_picture() {
    let mut state = opened();
    state.handle(Command::Edit(Box::new(guided(&["tile"]))));
    let loaded = |mask| AppEvent::Brush(BrushEvent::MaskLoaded { guide: 0, mask });
    state.receive(loaded(Ok(Mask::new(2, 1, vec![255, 0]))));
    assert_eq!(state.shared.recipe.guides[0].mask, Some(Mask::new(2, 1, vec![255, 0])));
    brush(&mut state, [BrushCommand::DrawMask(0), BrushCommand::Invert]);
    let mask = state.shared.recipe.guides[0].mask.clone().expect("a mask");
    assert_eq!((mask.width(), mask.coverage()[0], mask.coverage()[127]), (128, 0, 255));
    state.receive(loaded(Err("This is not a picture: /x.txt".into())));
    assert_eq!(state.shared.recipe.guides[0].mask, Some(mask), "what cannot be read replaces nothing");
    assert!(state.shared.errors.first().is_some_and(|text| text.contains("/x.txt")));
}

/// Drags the pointer; the places are parts of the canvas.
fn drag(window: &mut TestWindow, from: [f32; 2], to: [f32; 2]) {
    let canvas = window.harness.get_by_label_contains("of: a fox").rect();
    let at = |[x, y]: [f32; 2]| canvas.min + egui::vec2(x * canvas.width(), y * canvas.height());
    window.harness.hover_at(at(from));
    window.harness.step();
    window.harness.drag_at(at(from));
    window.harness.step();
    for part in [0.25, 0.5, 0.75, 1.0] {
        window.harness.hover_at(at(from).lerp(at(to), part));
        window.harness.step();
    }
    window.harness.drop_at(at(to));
    window.harness.run();
}

fn window_with_run(tab: Tab, recipe: Recipe) -> TestWindow {
    let layout = WindowLayout { tab, ..WindowLayout::default() };
    let settings = Settings { window: layout, last_recipe: recipe, ..Settings::default() };
    let mut window = TestWindow::opened(window_builder(), settings);
    window.harness.get_by_label("Generate").click();
    let (id, recipe) = window.next_job();
    window.run_steps(id, &recipe, 20);
    window.finish(id, &recipe);
    window
}

#[test]
fn painting_undoing_and_branching_in_the_window() {
    let mut window = window_with_run(Tab::Branches, guided(&[]));
    window.press(Command::Film(FilmCommand::Pin(Some(6))));
    window.harness.get_by_label("Paint").click();
    window.harness.run();
    drag(&mut window, [0.4, 0.5], [0.6, 0.5]);
    let can_undo = |window: &TestWindow| {
        window.harness.state().state.brush.open().map(|drawing| (drawing.can_undo(), drawing.is_painted()))
    };
    assert_eq!(can_undo(&window), Some((true, true)));
    window.harness.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    window.harness.run();
    assert_eq!(can_undo(&window), Some((false, false)));
    window.harness.get_by_label("Redo").click();
    window.harness.run();
    assert_eq!(can_undo(&window), Some((true, true)));
    window.harness.get_by_label("Brush Noise").click();
    window.harness.run();
    drag(&mut window, [0.45, 0.65], [0.55, 0.65]);
    window.harness.get_by_label("Done").click();
    window.harness.run();
    window.harness.get_by_label_contains("step 7, painted");
    window.harness.get_by_label("Branch").click();
    let (_, recipe) = window.next_job();
    let paint = recipe.branch.and_then(|branch| branch.paint).expect("paint");
    assert!(paint.layer.is_some() && paint.noise.is_some());
    window.harness.run();
    window.harness.get_by_label_contains("Show run: painted, fresh noise");
}

#[test]
fn a_guide_gets_a_mask_by_the_brush_in_the_window() {
    let mut window = window_with_run(Tab::Guides, guided(&["tile"]));
    let guide =
        |window: &TestWindow| -> LossGuide { window.harness.state().state.shared.recipe.guides[0].clone() };
    window.harness.get_by_label("Draw a mask").click();
    window.harness.run();
    drag(&mut window, [0.4, 0.5], [0.6, 0.5]);
    let drawn = guide(&window).mask.expect("a mask");
    let size = window.harness.state().state.brush.size;
    for _ in 0..3 {
        window.harness.key_press(Key::CloseBracket);
        window.harness.run();
    }
    assert!(window.harness.state().state.brush.size > size);
    window.harness.key_press(Key::X);
    window.harness.run();
    assert_eq!(window.harness.state().state.brush.tool, Tool::Erase);
    drag(&mut window, [0.38, 0.5], [0.62, 0.5]);
    assert_eq!(guide(&window).mask, None, "a larger brush erased it all");
    window.harness.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    window.harness.run();
    assert_eq!(guide(&window).mask.as_ref(), Some(&drawn));
    window.harness.get_by_label("Invert").click();
    window.harness.run();
    assert_eq!(guide(&window).mask, Some(drawn.inverted()));
    window.harness.key_press(Key::Escape);
    window.harness.run();
    assert!(window.harness.state().state.brush.open().is_none());
    window.harness.get_by_label("Generate").click();
    let (_, recipe) = window.next_job();
    assert_eq!(recipe.guides[0].mask, Some(drawn.inverted()));
    window.harness.get_by_label("Remove").click();
    window.harness.run();
    assert_eq!(guide(&window).mask, None);
}

#[test]
fn a_picture_that_is_dropped_while_painting_is_painted() {
    let mut window = window_with_run(Tab::Models, guided(&[]));
    window.harness.get_by_label("Paint").click();
    window.harness.run();
    let folder = tempfile::tempdir().expect("a folder for the test");
    let file = folder.path().join("red.png");
    image::RgbImage::from_pixel(8, 8, image::Rgb([255, 0, 0])).save(&file).expect("saves");
    drop_file(&mut window.harness, &file);
    window.until("the dropped picture", |app| app.state.brush.open().is_some_and(Drawing::is_painted));
    assert_eq!(window.harness.state().state.shared.recipe.start, Recipe::default().start);
}

#[test]
fn the_canvas_shows_what_is_drawn_on_at_every_shape() {
    let mut state = opened();
    for (width, height) in [(128, 128), (256, 64), (64, 192)] {
        let mut recipe = guided(&["tile"]);
        (recipe.width, recipe.height) = (width, height);
        state.handle(Command::Edit(Box::new(recipe)));
        brush(&mut state, [BrushCommand::DrawMask(0)]);
        let shown = state.shown().expect("a picture to draw on");
        assert_eq!((shown.pictures[0].width, shown.pictures[0].height), (width, height));
    }
}
