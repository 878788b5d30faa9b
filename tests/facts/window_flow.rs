//! Flows through the whole window: what a person does, and what then is on the desk.

use std::time::{Duration, Instant};

use app::run::Phase;
use app::settings::{Settings, ThemeChoice};
use egui::accesskit::Role;
use egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable;
use engine::images::{Pixels, Provenance, write_png};
use engine::recipe::{Recipe, Start};
use engine::session::{JobEvent, Request};

use crate::support::window_harness::{Desk, drop_file, until, window, with_engine};

#[test]
fn a_prompt_becomes_a_saved_picture_step_by_step() {
    let (mut harness, home) = with_engine(window(), Settings::default());
    harness.get_by_role_and_label(Role::MultilineTextInput, "Prompt").focus();
    harness.step();
    harness.get_by_role_and_label(Role::MultilineTextInput, "Prompt").type_text("a large fox");
    harness.step();
    assert_eq!(harness.state().state.recipe.prompt, "a large fox");
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Enter);
    harness.step();
    harness.get_by_label("Stop");
    until(&mut harness, "a preview", |app| app.state.run.as_ref().is_some_and(|run| run.frames.len() >= 3));
    until(&mut harness, "the picture, saved", |app| !app.state.saved.is_empty());
    let run = harness.state().state.run.as_ref().expect("a run");
    assert_eq!((run.phase, run.frames.len()), (Phase::Finished, 20));
    let file = harness.state().state.saved[0].clone();
    assert!(file.starts_with(home.path()) && file.is_file());
    harness.step();
    harness.get_by_label("Generate");

    // The film: every step is there, and a click holds it and fetches it in full.
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
    harness.get_by_label("Use as the start image").click();
    harness.step();
    harness.step();
    assert!(matches!(&harness.state().state.recipe.start, Start::Image { path, .. } if *path == file));
    harness.get_by_role_and_label(Role::Slider, "Strength");
}

#[test]
fn stop_ends_a_run_at_once_and_the_next_one_works() {
    let recipe = Recipe { prompt: "a tree".into(), steps: 500, ..Recipe::default() };
    let settings = Settings { last_recipe: recipe, ..Settings::default() };
    let (mut harness, _home) = with_engine(window(), settings);
    until(&mut harness, "the model", |app| app.state.card().is_some());
    harness.step();
    harness.get_by_label("Generate").click();
    harness.step();
    until(&mut harness, "a step", |app| app.state.run.as_ref().is_some_and(|run| !run.frames.is_empty()));
    harness.key_press(Key::Escape);
    harness.step();
    until(&mut harness, "the stop", |app| app.state.live_run().is_none());
    assert_eq!(harness.state().state.run.as_ref().map(|run| run.phase), Some(Phase::Stopped));
    let steps = Recipe { steps: 2, ..harness.state().state.recipe.clone() };
    harness.state_mut().state.handle(app::command::Command::Edit(Box::new(steps)));
    harness.step();
    harness.get_by_label("Generate").click();
    harness.step();
    until(&mut harness, "the next picture", |app| {
        app.state.run.as_ref().is_some_and(|run| run.phase == Phase::Finished)
    });
}

#[test]
fn a_window_closed_in_mid_run_remembers_and_does_not_hang() {
    let recipe = Recipe { prompt: "a boat".into(), steps: 1000, ..Recipe::default() };
    let settings = Settings { last_recipe: recipe, ..Settings::default() };
    let (mut harness, home) = with_engine(window(), settings);
    until(&mut harness, "the model", |app| app.state.card().is_some());
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Enter);
    until(&mut harness, "a step", |app| app.state.run.as_ref().is_some_and(|run| !run.frames.is_empty()));
    let begun = Instant::now();
    eframe::App::on_exit(harness.state_mut());
    drop(harness);
    assert!(begun.elapsed() < Duration::from_secs(5));
    let (settings, note) = Settings::load(home.path());
    assert_eq!((settings.last_recipe.prompt.as_str(), note), ("a boat", None));
}

#[test]
fn sliders_answer_to_keys_and_to_typed_numbers() {
    let mut desk = Desk::opened(window(), Settings::default());
    let harness = &mut desk.harness;
    harness.get_by_role_and_label(Role::Slider, "Steps").focus();
    harness.step();
    harness.key_press(Key::ArrowRight);
    harness.step();
    assert_eq!(harness.state().state.recipe.steps, 21);
    harness.get_by_label("Guidance, number").click();
    harness.step();
    harness.step();
    harness.get_by_label("Guidance, number").type_text("4.5");
    harness.step();
    assert_eq!(harness.state().state.recipe.guidance.cfg_scale, 4.5);
    harness.get_by_label("Steps, number").click();
    harness.step();
    harness.step();
    harness.get_by_label("Steps, number").type_text("999999");
    harness.step();
    assert_eq!(harness.state().state.recipe.steps, 21, "too many are not taken");
    harness.key_press(Key::Enter);
    harness.step();
    harness.step();
    assert_eq!(harness.state().state.recipe.steps, 1000, "but pulled into the limits on leaving");
}

#[test]
fn a_sampler_is_chosen_from_its_list() {
    let mut desk = Desk::opened(window(), Settings::default());
    desk.harness.get_by_role_and_label(Role::ComboBox, "Sampler").click();
    desk.harness.run();
    desk.harness.get_by_label("Heun").click();
    desk.harness.run();
    assert_eq!(desk.harness.state().state.recipe.sampler, engine::diffusion::Sampler::Heun);
    assert!(desk.harness.query_by_label("DPM2").is_none(), "the list has closed");
}

#[test]
fn generate_during_a_run_queues_one_and_the_bar_says_so() {
    let mut desk = Desk::opened(window(), Settings::default());
    desk.harness.get_by_label("Generate").click();
    let (id, recipe) = desk.job();
    desk.run_steps(id, &recipe, 3);
    desk.harness.get_by_label("Queue another").click();
    desk.harness.run();
    desk.harness.get_by_label("1 queued");
    desk.finish(id, &recipe);
    let (second, _) = desk.job();
    assert!(second != id);
}

#[test]
fn a_batch_is_a_grid_and_each_picture_is_a_click_away() {
    let last_recipe = Recipe { batch: 4, ..Recipe::default() };
    let mut desk = Desk::opened(window(), Settings { last_recipe, ..Settings::default() });
    desk.harness.get_by_label("Generate").click();
    let (id, recipe) = desk.job();
    desk.run_steps(id, &recipe, 20);
    desk.finish(id, &recipe);
    desk.harness.run();
    desk.harness.get_by_role_and_label(Role::Button, "Picture 3").click();
    desk.harness.run();
    assert_eq!(desk.harness.state().state.film.picture, Some(2));
}

#[test]
fn a_failure_is_shown_and_can_be_dismissed() {
    let mut desk = Desk::opened(window(), Settings::default());
    desk.harness.get_by_label("Generate").click();
    let (id, _) = desk.job();
    desk.tell_job(id, JobEvent::Failed { text: "There is not enough memory".into() });
    desk.harness.run();
    desk.harness.get_by_label("There is not enough memory");
    desk.harness.get_by_label("Dismiss").click();
    desk.harness.run();
    assert!(desk.harness.query_by_label("There is not enough memory").is_none());
}

#[test]
fn space_and_f_are_letters_while_typing_and_keys_elsewhere() {
    let mut desk = Desk::opened(window(), Settings::default());
    desk.harness.get_by_role_and_label(Role::MultilineTextInput, "Prompt").focus();
    desk.harness.step();
    desk.harness.key_press(Key::F);
    desk.harness.step();
    assert!(!desk.harness.state().state.settings.window.left_folded);
    desk.harness.ctx.memory_mut(|memory| {
        if let Some(id) = memory.focused() {
            memory.surrender_focus(id);
        }
    });
    desk.harness.key_press(Key::F);
    desk.harness.run();
    assert!(desk.harness.state().state.settings.window.left_folded);
    assert!(desk.harness.query_by_label("Generate").is_none(), "all for the picture");
    desk.harness.key_press(Key::F);
    desk.harness.run();
    desk.harness.get_by_label("Generate");
}

#[test]
fn the_theme_is_switched_and_remembered() {
    let mut desk = Desk::opened(window(), Settings::default());
    desk.harness.get_by_label("Light theme").click();
    desk.harness.run();
    assert_eq!(desk.harness.state().state.to_remember().theme, ThemeChoice::Light);
    desk.harness.get_by_label("Dark theme");
}

#[test]
fn a_picture_without_a_recipe_is_a_start_image_and_a_text_is_refused() {
    let mut desk = Desk::opened(window(), Settings::default());
    let folder = tempfile::tempdir().expect("a folder");
    let bare = folder.path().join("bare.png");
    let notes = folder.path().join("notes.txt");
    std::fs::write(&notes, "no picture").expect("writes");
    let grey = image::RgbImage::from_pixel(96, 64, image::Rgb([90, 120, 130]));
    grey.save(&bare).expect("writes");
    drop_file(&mut desk.harness, &notes);
    until(&mut desk.harness, "the refusal", |app| {
        app.state.problem_at(app::problems::Place::StartImage).is_some()
    });
    drop_file(&mut desk.harness, &bare);
    until(&mut desk.harness, "the start image", |app| app.state.start_picture.is_some());
    desk.harness.step();
    desk.harness.get_by_label("96 × 64, the middle 64 × 64");
    desk.harness.get_by_label("Remove").click();
    desk.harness.run();
    assert_eq!(desk.harness.state().state.recipe.start, Start::Noise);
}

#[test]
fn the_settings_of_a_dropped_picture_can_be_used() {
    let mut desk = Desk::opened(window(), Settings::default());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("owl.png");
    let recipe = Recipe { prompt: "an owl".into(), seed: 77, steps: 9, ..Recipe::default() };
    let pixels = Pixels::new(8, 8, vec![7; 192]);
    write_png(&file, &pixels, &Provenance::new("Built-in", recipe.clone())).expect("writes");
    drop_file(&mut desk.harness, &file);
    until(&mut desk.harness, "the question", |app| app.state.dropped.is_some());
    desk.harness.run();
    desk.harness.get_by_label("Use its settings").click();
    desk.harness.run();
    assert_eq!(desk.harness.state().state.recipe, recipe);
    desk.harness.get_by_label("Generate").click();
    assert_eq!(desk.job().1.seed, 77, "the seed of the picture, not a fresh one");
}

#[test]
fn at_rest_the_window_asks_for_no_repaint() {
    let mut desk = Desk::opened(window(), Settings::default());
    desk.harness.run();
    for _ in 0..3 {
        desk.harness.step();
    }
    assert!(!desk.harness.ctx.has_requested_repaint(), "something repaints for ever");
}

#[test]
fn a_start_asks_for_the_model_that_was_open() {
    let desk = Desk::new(window(), Settings::default());
    let first = desk.requests.try_recv().expect("a request");
    assert!(matches!(first, Request::OpenModel { .. }));
}
