//! How the map of trajectories looks.

use app::features::branches::BranchCommand;
use app::features::command::Command;
use app::features::film::FilmCommand;
use app::features::settings::{Settings, Tab, ThemeChoice, WindowLayout};
use egui_kittest::kittest::Queryable;
use engine::diffusion::Sampler;
use engine::inspect::trajectory_map::MapView;
use engine::recipe::{Guidance, Recipe};

use crate::support::painted_window::{painted_window, settings, snapshot};
use crate::support::trajectory_map::map_event;
use crate::support::window_harness::TestWindow;

#[test]
fn the_map_of_three_runs() {
    map(egui::Theme::Dark, ThemeChoice::Dark, [1440.0, 900.0], "map");
}

#[test]
fn the_map_of_three_runs_in_the_light() {
    map(egui::Theme::Light, ThemeChoice::Light, [1280.0, 720.0], "map_light");
}

/// A run, a branch of it, and a run by another sampler.
fn map(theme: egui::Theme, choice: ThemeChoice, size: [f32; 2], name: &str) {
    let builder = painted_window(size, theme);
    let window = WindowLayout { tab: Tab::Map, ..WindowLayout::default() };
    let recipe = Recipe { prompt: "a sun over the sea".into(), ..Recipe::default() };
    let mut window = TestWindow::opened(builder, Settings { window, ..settings(choice, recipe) });
    let mut runs = Vec::new();
    for (button, sampler, cfg_scale) in
        [("Generate", Sampler::Heun, 7.5), ("Generate", Sampler::Euler, 7.5), ("Branch", Sampler::Euler, 3.0)]
    {
        if button == "Branch" {
            window.press(Command::Branch(BranchCommand::Leave(Some(9))));
        }
        let recipe = window.harness.state().state.shared.recipe.clone();
        let edited = Recipe { sampler, guidance: Guidance { cfg_scale }, ..recipe };
        window.press(Command::Edit(Box::new(edited)));
        window.harness.get_by_label(button).click();
        let (job, recipe) = window.next_job();
        window.run_steps(job, &recipe, 20);
        window.finish(job, &recipe);
        runs.push(job.0);
    }
    window.send(map_event(MapView::Predicted, &runs));
    window.press(Command::Film(FilmCommand::Pin(Some(13))));
    snapshot(&mut window, name);
}
