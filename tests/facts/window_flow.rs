//! Flows through the whole window: what a person does, and what the window then shows.

use std::fs;

use app::features::generate::run::RunPhase;
use app::features::settings::{Settings, ThemeChoice};
use egui::accesskit::Role;
use egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable;
use engine::images::{Pixels, Provenance, write_png};
use engine::recipe::{Recipe, Start};
use engine::session::{JobEvent, Request};

use crate::support::window_harness::{TestWindow, drop_file, until, window_builder, window_with_engine};

#[test]
fn a_prompt_becomes_a_saved_picture_step_by_step() {
    let (mut harness, home) = window_with_engine(window_builder(), Settings::default());
    harness.get_by_role_and_label(Role::MultilineTextInput, "Prompt").focus();
    harness.step();
    harness.get_by_role_and_label(Role::MultilineTextInput, "Prompt").type_text("a large fox");
    harness.step();
    assert_eq!(harness.state().state.shared.recipe.prompt, "a large fox");
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Enter);
    harness.step();
    harness.get_by_label("Stop");
    until(&mut harness, "a preview", |app| app.state.runs.current().is_some_and(|run| run.frames.len() >= 3));
    until(&mut harness, "the picture, saved", |app| !app.state.shared.saved.is_empty());
    let run = harness.state().state.runs.current().expect("a run");
    assert_eq!((run.phase, run.frames.len()), (RunPhase::Finished, 20));
    let file = harness.state().state.shared.saved[0].clone();
    assert!(file.starts_with(home.path()) && file.is_file());
    harness.step();
    harness.get_by_label("Generate");

    // The filmstrip: every step is there, and a click selects it and decodes it in full.
    harness.get_by_label_contains("Step 20, sigma").click();
    harness.step();
    harness.key_press(Key::ArrowLeft);
    harness.step();
    assert_eq!(harness.state().state.film.pinned, Some(18));
    until(&mut harness, "step 19 in full", |app| {
        app.state.shown().is_some_and(|shown| shown.is_full && shown.step == Some(18))
    });

    // The same picture, dropped: it offers its settings.
    drop_file(&mut harness, &file);
    until(&mut harness, "the question", |app| app.state.dropped.is_some());
    harness.step();
    harness.get_by_label("Use as start image").click();
    harness.step();
    harness.step();
    assert!(matches!(&harness.state().state.shared.recipe.start, Start::Image { path, .. } if *path == file));
    harness.get_by_role_and_label(Role::Slider, "Strength");
}

#[test]
fn stop_ends_a_run_at_once_and_the_next_one_works() {
    let recipe = Recipe { prompt: "a tree".into(), steps: 500, ..Recipe::default() };
    let settings = Settings { last_recipe: recipe, ..Settings::default() };
    let (mut harness, _home) = window_with_engine(window_builder(), settings);
    until(&mut harness, "the model", |app| app.state.shared.model_info().is_some());
    harness.step();
    harness.get_by_label("Generate").click();
    harness.step();
    until(&mut harness, "a step", |app| app.state.runs.current().is_some_and(|run| !run.frames.is_empty()));
    harness.key_press(Key::Escape);
    harness.step();
    until(&mut harness, "the stop", |app| app.state.runs.live().is_none());
    assert_eq!(harness.state().state.runs.current().map(|run| run.phase), Some(RunPhase::Stopped));
    let steps = Recipe { steps: 2, ..harness.state().state.shared.recipe.clone() };
    harness.state_mut().state.handle(app::features::command::Command::Edit(Box::new(steps)));
    harness.step();
    harness.get_by_label("Generate").click();
    harness.step();
    until(&mut harness, "the next picture", |app| {
        app.state.runs.current().is_some_and(|run| run.phase == RunPhase::Finished)
    });
}

#[test]
fn a_window_closed_in_mid_run_remembers_and_does_not_hang() {
    let recipe = Recipe { prompt: "a boat".into(), steps: 1000, ..Recipe::default() };
    let settings = Settings { last_recipe: recipe, ..Settings::default() };
    let (mut harness, home) = window_with_engine(window_builder(), settings);
    until(&mut harness, "the model", |app| app.state.shared.model_info().is_some());
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Enter);
    until(&mut harness, "a step", |app| app.state.runs.current().is_some_and(|run| !run.frames.is_empty()));
    eframe::App::on_exit(harness.state_mut());
    drop(harness);
    let saved = fs::read_dir(home.path().join("pictures")).map_or(0, Iterator::count);
    assert_eq!(saved, 0, "the run was waited for");
    let (settings, note) = Settings::load(home.path());
    assert_eq!((settings.last_recipe.prompt.as_str(), note), ("a boat", None));
}

#[test]
fn sliders_answer_to_keys_and_to_typed_numbers() {
    let mut window = TestWindow::opened(window_builder(), Settings::default());
    let harness = &mut window.harness;
    harness.get_by_role_and_label(Role::Slider, "Steps").focus();
    harness.step();
    harness.key_press(Key::ArrowRight);
    harness.step();
    assert_eq!(harness.state().state.shared.recipe.steps, 21);
    harness.get_by_label("Guidance, number").click();
    harness.step();
    harness.step();
    harness.get_by_label("Guidance, number").type_text("4.5");
    harness.step();
    assert_eq!(harness.state().state.shared.recipe.guidance.cfg_scale, 4.5);
    harness.get_by_label("Steps, number").click();
    harness.step();
    harness.step();
    harness.get_by_label("Steps, number").type_text("999999");
    harness.step();
    assert_eq!(harness.state().state.shared.recipe.steps, 21, "too many are not taken");
    harness.key_press(Key::Enter);
    harness.step();
    harness.step();
    assert_eq!(harness.state().state.shared.recipe.steps, 1000, "but pulled into the limits on leaving");
}

#[test]
fn a_sampler_is_chosen_from_its_list() {
    let mut window = TestWindow::opened(window_builder(), Settings::default());
    window.harness.get_by_role_and_label(Role::ComboBox, "Sampler").click();
    window.harness.run();
    window.harness.get_by_label("Heun").click();
    window.harness.run();
    assert_eq!(window.harness.state().state.shared.recipe.sampler, engine::diffusion::Sampler::Heun);
    assert!(window.harness.query_by_label("DPM2").is_none(), "the list has closed");
}

#[test]
fn generate_during_a_run_queues_one_and_the_bar_says_so() {
    let mut window = TestWindow::opened(window_builder(), Settings::default());
    window.harness.get_by_label("Generate").click();
    let (id, recipe) = window.next_job();
    window.run_steps(id, &recipe, 3);
    window.harness.get_by_label("Queue another").click();
    window.harness.run();
    window.harness.get_by_label("1 queued");
    window.finish(id, &recipe);
    let (second, _) = window.next_job();
    assert!(second != id);
}

#[test]
fn a_batch_is_a_grid_and_each_picture_is_a_click_away() {
    let last_recipe = Recipe { batch: 4, ..Recipe::default() };
    let mut window = TestWindow::opened(window_builder(), Settings { last_recipe, ..Settings::default() });
    window.harness.get_by_label("Generate").click();
    let (id, recipe) = window.next_job();
    window.run_steps(id, &recipe, 20);
    window.finish(id, &recipe);
    window.harness.run();
    window.harness.get_by_role_and_label(Role::Button, "Picture 3").click();
    window.harness.run();
    assert_eq!(window.harness.state().state.film.picture, Some(2));
}

#[test]
fn a_failure_is_shown_and_can_be_dismissed() {
    let mut window = TestWindow::opened(window_builder(), Settings::default());
    window.harness.get_by_label("Generate").click();
    let (id, _) = window.next_job();
    window.send_job_event(id, JobEvent::Failed { text: "There is not enough memory".into() });
    window.harness.run();
    window.harness.get_by_label("There is not enough memory");
    window.harness.get_by_label("Dismiss").click();
    window.harness.run();
    assert!(window.harness.query_by_label("There is not enough memory").is_none());
}

#[test]
fn space_and_f_are_letters_while_typing_and_keys_elsewhere() {
    let mut window = TestWindow::opened(window_builder(), Settings::default());
    window.harness.get_by_role_and_label(Role::MultilineTextInput, "Prompt").focus();
    window.harness.step();
    window.harness.key_press(Key::F);
    window.harness.step();
    assert!(!window.harness.state().state.shared.settings.window.left_folded);
    window.harness.ctx.memory_mut(|memory| {
        if let Some(id) = memory.focused() {
            memory.surrender_focus(id);
        }
    });
    window.harness.key_press(Key::F);
    window.harness.run();
    assert!(window.harness.state().state.shared.settings.window.left_folded);
    assert!(window.harness.query_by_label("Generate").is_none(), "all for the picture");
    window.harness.key_press(Key::F);
    window.harness.run();
    window.harness.get_by_label("Generate");
}

#[test]
fn the_theme_is_switched_and_remembered() {
    let mut window = TestWindow::opened(window_builder(), Settings::default());
    window.harness.get_by_label("Light theme").click();
    window.harness.run();
    assert_eq!(window.harness.state().state.shared.settings_to_save().theme, ThemeChoice::Light);
    window.harness.get_by_label("Dark theme");
}

#[test]
fn a_picture_without_a_recipe_is_a_start_image_and_a_text_is_refused() {
    let mut window = TestWindow::opened(window_builder(), Settings::default());
    let folder = tempfile::tempdir().expect("a folder");
    let bare = folder.path().join("bare.png");
    let notes = folder.path().join("notes.txt");
    fs::write(&notes, "no picture").expect("writes");
    let grey = image::RgbImage::from_pixel(96, 64, image::Rgb([90, 120, 130]));
    grey.save(&bare).expect("writes");
    drop_file(&mut window.harness, &notes);
    until(&mut window.harness, "the refusal", |app| {
        app.state.shared.error_at(app::features::errors::ErrorSlot::StartImage).is_some()
    });
    drop_file(&mut window.harness, &bare);
    until(&mut window.harness, "the start image", |app| app.state.start_picture.is_some());
    window.harness.step();
    window.harness.get_by_label("96 × 64, cropped to 64 × 64");
    window.harness.get_by_label("Remove").click();
    window.harness.run();
    assert_eq!(window.harness.state().state.shared.recipe.start, Start::Noise);
}

#[test]
fn the_settings_of_a_dropped_picture_can_be_used() {
    let mut window = TestWindow::opened(window_builder(), Settings::default());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("owl.png");
    let recipe = Recipe { prompt: "an owl".into(), seed: 77, steps: 9, ..Recipe::default() };
    let pixels = Pixels::new(8, 8, vec![7; 192]);
    write_png(&file, &pixels, &Provenance::new("Built-in", recipe.clone())).expect("writes");
    drop_file(&mut window.harness, &file);
    until(&mut window.harness, "the question", |app| app.state.dropped.is_some());
    window.harness.run();
    window.harness.get_by_label("Use its settings").click();
    window.harness.run();
    assert_eq!(window.harness.state().state.shared.recipe, recipe);
    window.harness.get_by_label("Generate").click();
    assert_eq!(window.next_job().1.seed, 77, "the seed of the picture, not a fresh one");
}

#[test]
fn at_rest_the_window_asks_for_no_repaint() {
    let mut window = TestWindow::opened(window_builder(), Settings::default());
    window.harness.run();
    for _ in 0..3 {
        window.harness.step();
    }
    assert!(!window.harness.ctx.has_requested_repaint(), "something repaints for ever");
}

#[test]
fn a_start_asks_for_the_model_that_was_open() {
    let window = TestWindow::new(window_builder(), Settings::default());
    let first = window.requests.try_recv().expect("a request");
    assert!(matches!(first, Request::OpenModel { .. }));
}
