//! How the window looks.

use std::time::Duration;

use app::features::branches::BranchCommand;
use app::features::canvas::views::Views;
use app::features::command::Command;
use app::features::concepts::watch::ConceptsRead;
use app::features::event::AppEvent;
use app::features::export::ExportCommand;
use app::features::film::FilmCommand;
use app::features::settings::{Settings, SettingsCommand, Tab, ThemeChoice, WindowLayout};
use app::features::words::WordsCommand;
use app::features::xy_plot::{AxisField, XyPlotCommand};
use app::window::app::TidepoolApp;
use egui_kittest::HarnessBuilder;
use egui_kittest::kittest::Queryable;
use engine::checkpoint::ModelSource;
use engine::device::{DeviceChoice, DeviceSelector};
use engine::prompt::{Mix, Mixed};
use engine::recipe::{Guidance, Recipe, Start};
use engine::session::{Event, InspectRequest, InspectResult, JobEvent};

use crate::support::fake_answers::{gradient_image, token_trace};
use crate::support::models::concept;
use crate::support::painted_window::{painted_window, settings, snapshot};
use crate::support::prompts::edit;
use crate::support::waiting::wait_until;
use crate::support::window_harness::{TestWindow, last_look, until, window_with_engine};

#[test]
fn the_first_start() {
    let builder = painted_window([1280.0, 720.0], egui::Theme::Dark);
    let mut window = TestWindow::opened(builder, settings(ThemeChoice::Dark, Recipe::default()));
    snapshot(&mut window, "first_start");
}

/// Not compared with anything: its times and its memory differ from run to run.
#[test]
#[ignore = "makes assets/window.png, with the built-in model at work"]
fn the_window_of_the_readme() {
    let window = WindowLayout { tab: Tab::Words, ..WindowLayout::default() };
    let recipe = Recipe { prompt: "a puppy on the beach".into(), ..Recipe::default() };
    let device = DeviceChoice { device: DeviceSelector::Cpu, ..DeviceChoice::default() };
    let settings = Settings { window, device, ..settings(ThemeChoice::Dark, recipe) };
    let (mut harness, _home) =
        window_with_engine(painted_window([1440.0, 900.0], egui::Theme::Dark), settings);
    until(&mut harness, "the model", |app| app.state.shared.model_info().is_some());
    harness.step();
    harness.get_by_label("Generate").click();
    until(&mut harness, "the picture, saved", |app| !app.state.shared.saved.is_empty());
    harness.get_by_label("puppy, token 2").click();
    wait_until("the stages of the word", || {
        harness.step();
        harness.query_by_label("Output embedding").is_some()
    });
    harness.run();
    harness.render().expect("an adapter paints it").save("assets/window.png").expect("writes");
}

#[test]
fn in_mid_run() {
    let builder = painted_window([1280.0, 720.0], egui::Theme::Dark);
    let recipe = Recipe { prompt: "a sun over the sea".into(), ..Recipe::default() };
    let mut window = TestWindow::opened(builder, settings(ThemeChoice::Dark, recipe));
    window.harness.get_by_label("Generate").click();
    let (id, recipe) = window.next_job();
    window.run_steps(id, &recipe, 9);
    snapshot(&mut window, "mid_run");
}

#[test]
fn a_finished_batch_in_the_light() {
    let builder = painted_window([1280.0, 720.0], egui::Theme::Light);
    let prompt = "a sun over the sea".into();
    let recipe = Recipe { prompt, batch: 4, ..Recipe::default() };
    let mut window = TestWindow::opened(builder, settings(ThemeChoice::Light, recipe));
    window.harness.get_by_label("Generate").click();
    let (id, recipe) = window.next_job();
    window.run_steps(id, &recipe, 20);
    window.finish(id, &recipe);
    snapshot(&mut window, "finished_batch_light");
}

#[test]
fn concepts_in_the_light() {
    let builder = painted_window([1280.0, 720.0], egui::Theme::Light);
    let prompt = "a fox in the style of <birb-style>, <forst> and embedding:mist".into();
    let window = WindowLayout { tab: Tab::Concepts, ..WindowLayout::default() };
    let recipe = Recipe { prompt, ..Recipe::default() };
    let concept_folders = Some(vec!["/home/kim/stable-diffusion-webui/embeddings".into()]);
    let settings = Settings { window, concept_folders, ..settings(ThemeChoice::Light, recipe) };
    let mut window = TestWindow::opened(builder, settings);
    let mut other = concept("brush.safetensors", "brush", 4);
    (other.width, other.vectors) = (1024, vec![0.0; 4096]);
    let refused = "This is no concept: it is a Git LFS pointer, not the file itself. Download the concept's file itself: /concepts/owl.bin";
    let news = ConceptsRead {
        read: vec![
            concept("learned_embeds.bin", "<birb-style>", 1),
            concept("frost.bin", "<frost>", 2),
            concept("a-name-as-long-as-a-cold-night-in-the-far-north.pt", "mist", 8),
            concept("mist.pt", "mist", 3),
            other,
        ],
        refused: vec![("/concepts/owl.bin".into(), refused.into())],
        ..ConceptsRead::default()
    };
    window.harness.state_mut().state.receive(AppEvent::Concepts(news));
    snapshot(&mut window, "concepts_light");
}

#[test]
fn branches_of_a_run() {
    branches(egui::Theme::Dark, ThemeChoice::Dark, [1440.0, 900.0], "branches");
}

#[test]
fn branches_of_a_run_in_the_light() {
    branches(egui::Theme::Light, ThemeChoice::Light, [1280.0, 720.0], "branches_light");
}

fn branches(theme: egui::Theme, choice: ThemeChoice, size: [f32; 2], name: &str) {
    let builder = painted_window(size, theme);
    let window = WindowLayout { tab: Tab::Branches, ..WindowLayout::default() };
    let recipe = Recipe { prompt: "a sun over the sea".into(), ..Recipe::default() };
    let mut window = TestWindow::opened(builder, Settings { window, ..settings(choice, recipe) });
    window.harness.get_by_label("Generate").click();
    let (first, recipe) = window.next_job();
    window.run_steps(first, &recipe, 20);
    window.finish(first, &recipe);
    let changes: [(usize, Option<&str>, f32); 3] = [
        (4, Some("a moon over the sea, in the manner of a very long title"), 7.5),
        (9, None, 12.0),
        (2, None, 3.0),
    ];
    for (step, prompt, cfg_scale) in changes {
        window.press(Command::Branch(BranchCommand::Leave(Some(step))));
        let state = &window.harness.state().state;
        let mut edited = Recipe { guidance: Guidance { cfg_scale }, ..state.shared.recipe.clone() };
        edited.prompt = prompt.map_or(edited.prompt, str::to_owned);
        window.press(Command::Edit(Box::new(edited)));
        window.harness.get_by_label("Branch").click();
        let (job, recipe) = window.next_job();
        window.run_steps(job, &recipe, if cfg_scale == 3.0 { 9 } else { 20 });
        if cfg_scale == 3.0 {
            window.send_job_event(job, JobEvent::Stopped);
        } else {
            window.finish(job, &recipe);
            window.press(Command::Branch(BranchCommand::Show(first)));
        }
    }
    snapshot(&mut window, name);
}

#[test]
fn a_model_in_a_pickle() {
    let builder = painted_window([1280.0, 720.0], egui::Theme::Light);
    let model = ModelSource::File("/models/dreams.ckpt".into());
    let settings = Settings { model, ..settings(ThemeChoice::Light, Recipe::default()) };
    let mut window = TestWindow::opened(builder, settings);
    snapshot(&mut window, "pickle_light");
}

#[test]
fn the_schedule_beside_a_run() {
    let builder = painted_window([1280.0, 720.0], egui::Theme::Dark);
    let recipe = Recipe { prompt: "a sun over the sea".into(), ..Recipe::default() };
    let window = WindowLayout { tab: Tab::Schedule, ..WindowLayout::default() };
    let mut window = TestWindow::opened(builder, Settings { window, ..settings(ThemeChoice::Dark, recipe) });
    let state = &mut window.harness.state_mut().state;
    let start = Start::Image { path: "sea.png".into(), strength: 0.7 };
    state.handle(Command::Edit(Box::new(Recipe { start, ..state.shared.recipe.clone() })));
    window.harness.step();
    window.harness.get_by_label("Generate").click();
    let (id, recipe) = window.next_job();
    window.run_steps(id, &recipe, 8);
    snapshot(&mut window, "schedule");
}

#[test]
fn four_views_of_a_step_in_the_light() {
    let builder = painted_window([1280.0, 720.0], egui::Theme::Light);
    let recipe = Recipe { prompt: "a sun over the sea".into(), ..Recipe::default() };
    let window = WindowLayout { tab: Tab::Inspect, ..WindowLayout::default() };
    let views = Views { side_by_side: true, ..Views::default() };
    let settings = Settings { window, views, ..settings(ThemeChoice::Light, recipe) };
    let mut window = TestWindow::opened(builder, settings);
    window.harness.get_by_label("Generate").click();
    let (id, recipe) = window.next_job();
    window.run_steps(id, &recipe, 20);
    window.finish(id, &recipe);
    window.harness.state_mut().state.handle(Command::Film(FilmCommand::Pin(Some(12))));
    snapshot(&mut window, "four_views_light");
}

#[test]
fn guides_in_the_light() {
    let builder = painted_window([1280.0, 720.0], egui::Theme::Light);
    let window = WindowLayout { tab: Tab::Guides, ..WindowLayout::default() };
    let guides = ["palette:#1d3557+#e63946+#f1faee", "channel:blue=0.9,every=2,through=preview"];
    let guides = guides.map(|guide| guide.parse().expect("a guide")).to_vec();
    let recipe = Recipe { prompt: "a sun over the sea".into(), guides, ..Recipe::default() };
    let mut window = TestWindow::opened(builder, Settings { window, ..settings(ThemeChoice::Light, recipe) });
    snapshot(&mut window, "guides_light");
}

/// A guided run beside the same one without guides.
fn compared_guides(theme: egui::Theme, choice: ThemeChoice, name: &str) {
    let builder = painted_window([1280.0, 720.0], theme);
    let window = WindowLayout { tab: Tab::Guides, ..WindowLayout::default() };
    let recipe = Recipe { prompt: "a sun over the sea".into(), ..Recipe::default() };
    let settings = Settings { window, seed_locked: true, ..settings(choice, recipe) };
    let mut window = TestWindow::opened(builder, settings);
    for guides in [Vec::new(), vec!["palette:#1d3557+#e63946+#f1faee".parse().expect("a guide")]] {
        window.harness.state_mut().state.shared.recipe.guides = guides;
        window.harness.get_by_label("Generate").click();
        let (id, recipe) = window.next_job();
        window.run_steps(id, &recipe, 20);
        window.finish(id, &recipe);
        window.harness.run();
    }
    window.harness.get_by_label("Compare without guides").click();
    window.harness.run();
    snapshot(&mut window, name);
}

#[test]
fn guides_compared() {
    compared_guides(egui::Theme::Dark, ThemeChoice::Dark, "guides_compared");
}

#[test]
fn guides_compared_in_the_light() {
    compared_guides(egui::Theme::Light, ThemeChoice::Light, "guides_compared_light");
}

#[test]
fn a_plot_that_is_being_made() {
    let builder = painted_window([1440.0, 900.0], egui::Theme::Dark);
    let window = WindowLayout { tab: Tab::XyPlot, ..WindowLayout::default() };
    let recipe = Recipe { prompt: "a sun over the sea".into(), ..Recipe::default() };
    let mut window = TestWindow::opened(builder, Settings { window, ..settings(ThemeChoice::Dark, recipe) });
    let down = AxisField { name: "sampler", values: "euler, heun".into() };
    window.press(Command::XyPlot(XyPlotCommand::Down(Some(down))));
    window.harness.get_by_label("Make the plot").click();
    for at in 0..5 {
        let (id, _) = window.next_job();
        let (pictures, elapsed) = (vec![gradient_image(128, 1.0, at)], Duration::from_secs(1));
        window.send_job_event(id, JobEvent::Finished { pictures, concepts: Vec::new(), elapsed });
    }
    snapshot(&mut window, "xy_plot");
}

/// A finished run with a selected step.
fn held(builder: HarnessBuilder<TidepoolApp>, choice: ThemeChoice) -> TestWindow {
    let recipe = Recipe { prompt: "a sun over the sea".into(), ..Recipe::default() };
    let mut window = TestWindow::opened(builder, settings(choice, recipe));
    window.harness.get_by_label("Generate").click();
    let (id, recipe) = window.next_job();
    window.run_steps(id, &recipe, 20);
    window.finish(id, &recipe);
    window.press(Command::Film(FilmCommand::Pin(Some(12))));
    window
}

#[test]
fn a_step_to_branch_from_in_a_narrow_window() {
    let builder = painted_window([960.0, 600.0], egui::Theme::Dark);
    let mut window = held(builder, ThemeChoice::Dark);
    window.press(Command::Branch(BranchCommand::Leave(None)));
    snapshot(&mut window, "branching_narrow");
}

#[test]
fn the_film_to_be_exported() {
    let builder = painted_window([1280.0, 720.0], egui::Theme::Light);
    let mut window = held(builder, ThemeChoice::Light);
    window.press(Command::Export(ExportCommand::Show(true)));
    snapshot(&mut window, "export_light");
}

#[test]
fn a_plot_as_an_animation() {
    let builder = painted_window([1280.0, 720.0], egui::Theme::Light);
    let window = WindowLayout { tab: Tab::XyPlot, ..WindowLayout::default() };
    let recipe = Recipe { prompt: "a sun over the sea".into(), ..Recipe::default() };
    let mut window = TestWindow::opened(builder, Settings { window, ..settings(ThemeChoice::Light, recipe) });
    window.harness.get_by_label("Make the plot").click();
    for at in 0..4 {
        let (id, _) = window.next_job();
        let (pictures, elapsed) = (vec![gradient_image(128, 1.0, at)], Duration::from_secs(1));
        window.send_job_event(id, JobEvent::Finished { pictures, concepts: Vec::new(), elapsed });
    }
    window.until_saved(&[]);
    window.harness.get_by_label("Export animation…").click();
    snapshot(&mut window, "xy_plot_export_light");
}

#[test]
fn two_runs_beside_one_another() {
    let builder = painted_window([1440.0, 900.0], egui::Theme::Dark);
    let mut window = held(builder, ThemeChoice::Dark);
    let first = window.harness.state().state.runs.current().map(|run| run.job.id).expect("a run");
    window.press(Command::Branch(BranchCommand::Leave(None)));
    window.harness.get_by_label("Branch").click();
    let (second, recipe) = window.next_job();
    window.run_steps(second, &recipe, 16);
    window.send_job_event(second, JobEvent::Stopped);
    window.press(Command::Branch(BranchCommand::Compare(first)));
    window.press(Command::Settings(SettingsCommand::ShowTab { tab: Some(Tab::Branches), drawer: false }));
    snapshot(&mut window, "comparing_runs");
}

#[test]
fn a_word_that_becomes_a_blend() {
    words(egui::Theme::Dark, ThemeChoice::Dark, [1440.0, 1400.0], "words");
}

#[test]
fn a_word_that_becomes_a_blend_in_the_light() {
    words(egui::Theme::Light, ThemeChoice::Light, [1280.0, 720.0], "words_light");
}

#[test]
fn a_word_that_becomes_a_blend_in_a_narrow_window() {
    words(egui::Theme::Dark, ThemeChoice::Dark, [960.0, 600.0], "words_narrow");
}

fn words(theme: egui::Theme, choice: ThemeChoice, size: [f32; 2], name: &str) {
    let builder = painted_window(size, theme);
    let prompt =
        "a puppy in the style of <frost>, (golden:1.2) light BREAK a skunk in the snow AND an owl :0.5";
    let edits = ["puppy=0.5*puppy+0.5*skunk, scale 1.2", "owl=cat", "whale=fox"];
    let edits: Vec<_> = edits.iter().map(|written| edit(written)).collect();
    let mix = Mix { prompts: vec![Mixed { prompt: "a leopard".into(), weight: 0.4 }], ..Mix::default() };
    let chosen = edits[0].selector.clone();
    let recipe =
        Recipe { prompt: prompt.into(), negative_prompt: "blurry".into(), edits, mix, ..Recipe::default() };
    let window = WindowLayout { tab: Tab::Words, ..WindowLayout::default() };
    let mut window = TestWindow::opened(builder, Settings { window, ..settings(choice, recipe) });
    let news = ConceptsRead { read: vec![concept("frost.bin", "<frost>", 2)], ..ConceptsRead::default() };
    window.harness.state_mut().state.receive(AppEvent::Concepts(news));
    window.press(Command::Words(WordsCommand::Choose(Some(chosen))));
    window.press(Command::Settings(SettingsCommand::ShowTab {
        tab: Some(Tab::Words),
        drawer: size[0] < 1100.0,
    }));
    let id = last_look(&window, |look| matches!(look, InspectRequest::Token { .. }));
    window.send(Event::Inspection { id, result: Ok(InspectResult::Token(Box::new(token_trace()))) });
    snapshot(&mut window, name);
}

#[test]
fn words_before_one_is_chosen() {
    let builder = painted_window([1280.0, 720.0], egui::Theme::Light);
    let recipe = Recipe { prompt: "a large fox in the snow, ".repeat(20), ..Recipe::default() };
    let window = WindowLayout { tab: Tab::Words, ..WindowLayout::default() };
    let mut window = TestWindow::opened(builder, Settings { window, ..settings(ThemeChoice::Light, recipe) });
    snapshot(&mut window, "words_help_light");
}
