//! How drawing on the canvas looks.

use app::features::brush::{BrushCommand, Tool};
use app::features::command::Command;
use app::features::film::FilmCommand;
use app::features::settings::{Settings, Tab, ThemeChoice, WindowLayout};
use egui_kittest::kittest::Queryable;
use engine::recipe::Recipe;

use crate::support::painted_window::{painted_window, settings, snapshot};
use crate::support::window_harness::TestWindow;

/// A finished run.
fn window(theme: egui::Theme, choice: ThemeChoice, tab: Tab, size: [f32; 2]) -> TestWindow {
    let guides = vec!["channel:blue=0.9".parse().expect("a guide")];
    let recipe = Recipe { prompt: "a sun over the sea".into(), guides, ..Recipe::default() };
    let layout = WindowLayout { tab, ..WindowLayout::default() };
    let builder = painted_window(size, theme);
    let mut window = TestWindow::opened(builder, Settings { window: layout, ..settings(choice, recipe) });
    window.harness.get_by_label("Generate").click();
    let (id, recipe) = window.next_job();
    window.run_steps(id, &recipe, 20);
    window.finish(id, &recipe);
    window.press(Command::Film(FilmCommand::Pin(Some(12))));
    window
}

fn stroke(window: &mut TestWindow, tool: Tool, points: &[[f32; 2]]) {
    // Between two frames: no pointer is pressed, which would lift the brush.
    let mut press = |command| window.harness.state_mut().press(Command::Brush(command));
    press(BrushCommand::Choose(tool));
    press(BrushCommand::Touch(points[0]));
    points[1..].iter().for_each(|point| press(BrushCommand::Move(*point)));
    press(BrushCommand::Lift);
}

fn paint(theme: egui::Theme, choice: ThemeChoice, size: [f32; 2], name: &str) {
    let mut window = window(theme, choice, Tab::Branches, size);
    window.press(Command::Brush(BrushCommand::Paint));
    let wave: Vec<[f32; 2]> = (0..=20)
        .map(|at| at as f32 / 20.0)
        .map(|part| [0.1 + 0.5 * part, 0.75 + 0.05 * (12.0 * part).sin()])
        .collect();
    stroke(&mut window, Tool::Color, &wave);
    stroke(&mut window, Tool::Smudge, &[[0.3, 0.3], [0.6, 0.3]]);
    stroke(&mut window, Tool::Mask, &[[0.75, 0.25], [0.8, 0.5]]);
    stroke(&mut window, Tool::Erase, &[[0.35, 0.6], [0.35, 0.9]]);
    window.press(Command::Brush(BrushCommand::Choose(Tool::Color)));
    snapshot(&mut window, name);
}

fn mask(theme: egui::Theme, choice: ThemeChoice, size: [f32; 2], name: &str) {
    let mut window = window(theme, choice, Tab::Guides, size);
    window.press(Command::Brush(BrushCommand::DrawMask(0)));
    window.press(Command::Brush(BrushCommand::Size(0.3)));
    stroke(&mut window, Tool::Mask, &[[0.2, 0.7], [0.5, 0.75], [0.85, 0.7]]);
    stroke(&mut window, Tool::Erase, &[[0.5, 0.9]]);
    snapshot(&mut window, name);
}

#[test]
fn painting_on_a_step() {
    paint(egui::Theme::Dark, ThemeChoice::Dark, [1280.0, 720.0], "painting");
}

#[test]
fn painting_on_a_step_in_the_light() {
    paint(egui::Theme::Light, ThemeChoice::Light, [1440.0, 900.0], "painting_light");
}

#[test]
fn a_mask_that_is_drawn() {
    mask(egui::Theme::Dark, ThemeChoice::Dark, [1440.0, 900.0], "mask");
}

#[test]
fn a_mask_that_is_drawn_in_the_light() {
    mask(egui::Theme::Light, ThemeChoice::Light, [1280.0, 720.0], "mask_light");
}
