//! How the window looks. Pictures are compared only where a graphics adapter exists.

use std::time::Duration;

use app::app::TidepoolApp;
use app::command::{BranchWish, Command, ExportWish, News, SheetWish, WordsWish};
use app::concept_watch::ConceptNews;
use app::settings::{Settings, Tab, ThemeChoice, WindowLayout};
use app::sheet::Side;
use app::views::Views;
use egui_kittest::HarnessBuilder;
use egui_kittest::kittest::Queryable;
use engine::checkpoint::ModelSource;
use engine::recipe::{Guidance, Recipe, Start};
use engine::session::{Event, JobEvent, Look, Seen};
use engine::text::{Mix, Mixed};

use crate::support::fake_answers::{stages, tide};
use crate::support::models::concept;
use crate::support::painted_window::{easel, settings, snapshot};
use crate::support::prompts::edit;
use crate::support::window_harness::{Desk, look_asked};

#[test]
fn the_first_start() {
    let Some(easel) = easel([1280.0, 720.0], 1.0, egui::Theme::Dark) else { return };
    let mut desk = Desk::opened(easel, settings(ThemeChoice::Dark, Recipe::default()));
    snapshot(&mut desk, "first_start");
}

#[test]
fn in_mid_run() {
    let Some(easel) = easel([1280.0, 720.0], 1.0, egui::Theme::Dark) else { return };
    let recipe = Recipe { prompt: "a sun over the sea".into(), ..Recipe::default() };
    let mut desk = Desk::opened(easel, settings(ThemeChoice::Dark, recipe));
    desk.harness.get_by_label("Generate").click();
    let (id, recipe) = desk.job();
    desk.run_steps(id, &recipe, 9);
    snapshot(&mut desk, "mid_run");
}

#[test]
fn a_finished_batch_in_the_light() {
    let Some(easel) = easel([1280.0, 720.0], 1.0, egui::Theme::Light) else { return };
    let prompt = "a sun over the sea".into();
    let recipe = Recipe { prompt, batch: 4, ..Recipe::default() };
    let mut desk = Desk::opened(easel, settings(ThemeChoice::Light, recipe));
    desk.harness.get_by_label("Generate").click();
    let (id, recipe) = desk.job();
    desk.run_steps(id, &recipe, 20);
    desk.finish(id, &recipe);
    snapshot(&mut desk, "finished_batch_light");
}

#[test]
fn concepts_in_the_light() {
    let Some(easel) = easel([1280.0, 720.0], 1.0, egui::Theme::Light) else { return };
    let prompt = "a fox in the style of <birb-style>, <forst> and embedding:mist".into();
    let window = WindowLayout { tab: Tab::Concepts, ..WindowLayout::default() };
    let recipe = Recipe { prompt, ..Recipe::default() };
    let concept_folders = Some(vec!["/home/kim/stable-diffusion-webui/embeddings".into()]);
    let settings = Settings { window, concept_folders, ..settings(ThemeChoice::Light, recipe) };
    let mut desk = Desk::opened(easel, settings);
    let mut other = concept("brush.safetensors", "brush", 4);
    (other.width, other.vectors) = (1024, vec![0.0; 4096]);
    let refused = "This is no concept: it is a Git LFS pointer, not the file itself. Download the concept's file itself: /concepts/owl.bin";
    let news = ConceptNews {
        read: vec![
            concept("learned_embeds.bin", "<birb-style>", 1),
            concept("frost.bin", "<frost>", 2),
            concept("a-name-as-long-as-a-cold-night-in-the-far-north.pt", "mist", 8),
            concept("mist.pt", "mist", 3),
            other,
        ],
        refused: vec![("/concepts/owl.bin".into(), refused.into())],
        ..ConceptNews::default()
    };
    desk.harness.state_mut().state.receive(News::Concepts(news));
    snapshot(&mut desk, "concepts_light");
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
    let Some(easel) = easel(size, 1.0, theme) else { return };
    let window = WindowLayout { tab: Tab::Branches, ..WindowLayout::default() };
    let recipe = Recipe { prompt: "a sun over the sea".into(), ..Recipe::default() };
    let mut desk = Desk::opened(easel, Settings { window, ..settings(choice, recipe) });
    desk.harness.get_by_label("Generate").click();
    let (first, recipe) = desk.job();
    desk.run_steps(first, &recipe, 20);
    desk.finish(first, &recipe);
    let changes: [(usize, Option<&str>, f32); 3] = [
        (4, Some("a moon over the sea, in the manner of a very long title"), 7.5),
        (9, None, 12.0),
        (2, None, 3.0),
    ];
    for (step, prompt, cfg_scale) in changes {
        desk.press(Command::Branch(BranchWish::Leave(Some(step))));
        let state = &desk.harness.state().state;
        let mut edited = Recipe { guidance: Guidance { cfg_scale }, ..state.recipe.clone() };
        edited.prompt = prompt.map_or(edited.prompt, str::to_owned);
        desk.press(Command::Edit(Box::new(edited)));
        desk.harness.get_by_label("Branch").click();
        let (job, recipe) = desk.job();
        desk.run_steps(job, &recipe, if cfg_scale == 3.0 { 9 } else { 20 });
        if cfg_scale == 3.0 {
            desk.tell_job(job, JobEvent::Stopped);
        } else {
            desk.finish(job, &recipe);
            desk.press(Command::Branch(BranchWish::Show(first)));
        }
    }
    snapshot(&mut desk, name);
}

#[test]
fn a_model_in_a_pickle() {
    let Some(easel) = easel([1280.0, 720.0], 1.0, egui::Theme::Light) else { return };
    let model = ModelSource::File("/models/dreams.ckpt".into());
    let settings = Settings { model, ..settings(ThemeChoice::Light, Recipe::default()) };
    let mut desk = Desk::opened(easel, settings);
    snapshot(&mut desk, "pickle_light");
}

#[test]
fn the_schedule_beside_a_run() {
    let Some(easel) = easel([1280.0, 720.0], 1.0, egui::Theme::Dark) else { return };
    let recipe = Recipe { prompt: "a sun over the sea".into(), ..Recipe::default() };
    let window = WindowLayout { tab: Tab::Schedule, ..WindowLayout::default() };
    let mut desk = Desk::opened(easel, Settings { window, ..settings(ThemeChoice::Dark, recipe) });
    let state = &mut desk.harness.state_mut().state;
    let start = Start::Image { path: "sea.png".into(), strength: 0.7 };
    state.handle(Command::Edit(Box::new(Recipe { start, ..state.recipe.clone() })));
    desk.harness.step();
    desk.harness.get_by_label("Generate").click();
    let (id, recipe) = desk.job();
    desk.run_steps(id, &recipe, 8);
    snapshot(&mut desk, "schedule");
}

#[test]
fn four_views_of_a_step_in_the_light() {
    let Some(easel) = easel([1280.0, 720.0], 1.0, egui::Theme::Light) else { return };
    let recipe = Recipe { prompt: "a sun over the sea".into(), ..Recipe::default() };
    let window = WindowLayout { tab: Tab::Look, ..WindowLayout::default() };
    let views = Views { side_by_side: true, ..Views::default() };
    let settings = Settings { window, views, ..settings(ThemeChoice::Light, recipe) };
    let mut desk = Desk::opened(easel, settings);
    desk.harness.get_by_label("Generate").click();
    let (id, recipe) = desk.job();
    desk.run_steps(id, &recipe, 20);
    desk.finish(id, &recipe);
    desk.harness.state_mut().state.handle(Command::PinStep(Some(12)));
    snapshot(&mut desk, "four_views_light");
}

#[test]
fn a_sheet_that_is_being_made() {
    let Some(easel) = easel([1440.0, 900.0], 1.0, egui::Theme::Dark) else { return };
    let window = WindowLayout { tab: Tab::Sheet, ..WindowLayout::default() };
    let recipe = Recipe { prompt: "a sun over the sea".into(), ..Recipe::default() };
    let mut desk = Desk::opened(easel, Settings { window, ..settings(ThemeChoice::Dark, recipe) });
    let down = Side { name: "sampler", values: "euler, heun".into() };
    desk.press(Command::Sheet(SheetWish::Down(Some(down))));
    desk.harness.get_by_label("Make the sheet").click();
    for at in 0..5 {
        let (id, _) = desk.job();
        let (pictures, elapsed) = (vec![tide(128, 1.0, at)], Duration::from_secs(1));
        desk.tell_job(id, JobEvent::Finished { pictures, concepts: Vec::new(), elapsed });
    }
    snapshot(&mut desk, "sheet");
}

/// A finished run with a step held.
fn held(easel: HarnessBuilder<TidepoolApp>, choice: ThemeChoice) -> Desk {
    let recipe = Recipe { prompt: "a sun over the sea".into(), ..Recipe::default() };
    let mut desk = Desk::opened(easel, settings(choice, recipe));
    desk.harness.get_by_label("Generate").click();
    let (id, recipe) = desk.job();
    desk.run_steps(id, &recipe, 20);
    desk.finish(id, &recipe);
    desk.press(Command::PinStep(Some(12)));
    desk
}

#[test]
fn a_step_to_branch_from_in_a_narrow_window() {
    let Some(easel) = easel([960.0, 600.0], 1.0, egui::Theme::Dark) else { return };
    let mut desk = held(easel, ThemeChoice::Dark);
    desk.press(Command::Branch(BranchWish::Leave(None)));
    snapshot(&mut desk, "branching_narrow");
}

#[test]
fn the_film_to_be_exported() {
    let Some(easel) = easel([1280.0, 720.0], 1.0, egui::Theme::Light) else { return };
    let mut desk = held(easel, ThemeChoice::Light);
    desk.press(Command::Export(ExportWish::Show(true)));
    snapshot(&mut desk, "export_light");
}

#[test]
fn a_sheet_as_a_film() {
    let Some(easel) = easel([1280.0, 720.0], 1.0, egui::Theme::Light) else { return };
    let window = WindowLayout { tab: Tab::Sheet, ..WindowLayout::default() };
    let recipe = Recipe { prompt: "a sun over the sea".into(), ..Recipe::default() };
    let mut desk = Desk::opened(easel, Settings { window, ..settings(ThemeChoice::Light, recipe) });
    desk.harness.get_by_label("Make the sheet").click();
    for at in 0..4 {
        let (id, _) = desk.job();
        let (pictures, elapsed) = (vec![tide(128, 1.0, at)], Duration::from_secs(1));
        desk.tell_job(id, JobEvent::Finished { pictures, concepts: Vec::new(), elapsed });
    }
    desk.harness.get_by_label("As a film…").click();
    snapshot(&mut desk, "sheet_film_light");
}

#[test]
fn two_runs_beside_one_another() {
    let Some(easel) = easel([1440.0, 900.0], 1.0, egui::Theme::Dark) else { return };
    let mut desk = held(easel, ThemeChoice::Dark);
    let first = desk.harness.state().state.run.as_ref().map(|run| run.job.id).expect("a run");
    desk.press(Command::Branch(BranchWish::Leave(None)));
    desk.harness.get_by_label("Branch").click();
    let (second, recipe) = desk.job();
    desk.run_steps(second, &recipe, 16);
    desk.tell_job(second, JobEvent::Stopped);
    desk.press(Command::Branch(BranchWish::Compare(first)));
    desk.press(Command::ShowTab { tab: Some(Tab::Branches), drawer: false });
    snapshot(&mut desk, "comparing_runs");
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
    let Some(easel) = easel(size, 1.0, theme) else { return };
    let prompt =
        "a puppy in the style of <frost>, (golden:1.2) light BREAK a skunk in the snow AND an owl :0.5";
    let edits = ["puppy=0.5*puppy+0.5*skunk, scale 1.2", "owl=cat", "whale=fox"];
    let edits: Vec<_> = edits.iter().map(|written| edit(written)).collect();
    let mix = Mix { with: vec![Mixed { prompt: "a leopard".into(), weight: 0.4 }], ..Mix::default() };
    let chosen = edits[0].at.clone();
    let recipe =
        Recipe { prompt: prompt.into(), negative_prompt: "blurry".into(), edits, mix, ..Recipe::default() };
    let window = WindowLayout { tab: Tab::Words, ..WindowLayout::default() };
    let mut desk = Desk::opened(easel, Settings { window, ..settings(choice, recipe) });
    let news = ConceptNews { read: vec![concept("frost.bin", "<frost>", 2)], ..ConceptNews::default() };
    desk.harness.state_mut().state.receive(News::Concepts(news));
    desk.press(Command::Words(WordsWish::Choose(Some(chosen))));
    desk.press(Command::ShowTab { tab: Some(Tab::Words), drawer: size[0] < 1100.0 });
    let id = look_asked(&desk, |look| matches!(look, Look::Word { .. }));
    desk.tell(Event::Looked { id, seen: Ok(Seen::Word(Box::new(stages()))) });
    snapshot(&mut desk, name);
}

#[test]
fn words_before_one_is_chosen() {
    let Some(easel) = easel([1280.0, 720.0], 1.0, egui::Theme::Light) else { return };
    let recipe = Recipe { prompt: "a large fox in the snow, ".repeat(20), ..Recipe::default() };
    let window = WindowLayout { tab: Tab::Words, ..WindowLayout::default() };
    let mut desk = Desk::opened(easel, Settings { window, ..settings(ThemeChoice::Light, recipe) });
    snapshot(&mut desk, "words_help_light");
}
