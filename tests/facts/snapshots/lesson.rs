//! How the pages of the lesson look.

use std::sync::Arc;

use app::features::command::Command;
use app::features::lesson::{LessonPage, SavedWorkspace};
use app::features::settings::{Settings, SettingsCommand, Tab, ThemeChoice, WindowLayout};
use engine::images::Pixels;
use engine::inspect::latents::{Channel, RoundTrip};
use engine::prompt::EmbeddingEdit;
use engine::recipe::Recipe;
use engine::session::{Event, InspectRequest, InspectResult, Request};

use crate::support::fake_answers::gradient_image;
use crate::support::painted_window::{painted_window, settings, snapshot};
use crate::support::window_harness::TestWindow;

/// A page beside a finished run.
fn page(stop: LessonPage, is_dark: bool, size: [f32; 2], recipe: Recipe) -> TestWindow {
    let (theme, choice) = match is_dark {
        true => (egui::Theme::Dark, ThemeChoice::Dark),
        false => (egui::Theme::Light, ThemeChoice::Light),
    };
    let window = WindowLayout { tab: Tab::Lesson, ..WindowLayout::default() };
    let mut settings = Settings { window, ..settings(choice, recipe) };
    settings.lesson.page = stop;
    let mut window = TestWindow::opened(painted_window(size, theme), settings);
    window.press(Command::Generate);
    window
}

fn finished(window: &mut TestWindow) {
    let (job, recipe) = window.next_job();
    window.run_steps(job, &recipe, recipe.steps as usize);
    window.finish(job, &recipe);
    for _ in 0..6 {
        answer_looks(window);
    }
}

/// As an engine would, with pictures that are the same everywhere.
fn answer_looks(window: &mut TestWindow) {
    window.harness.step();
    let asked: Vec<_> = window.requests.try_iter().collect();
    for request in asked {
        let Request::Inspect { id, request: look } = request else { continue };
        let seen = if matches!(look, InspectRequest::Channels(_) | InspectRequest::StepChannels { .. }) {
            InspectResult::Channels((0..4).map(channel).collect())
        } else if matches!(look, InspectRequest::AddNoise { .. }) {
            InspectResult::Noised(gradient_image(128, 0.4, 0))
        } else {
            InspectResult::RoundTrip(RoundTrip::new(gradient_image(128, 1.0, 0), gradient_image(128, 0.9, 0)))
        };
        window.send(Event::Inspection { id, result: Ok(seen) });
    }
}

fn channel(number: u32) -> Channel {
    let rgb = (0..16 * 16).flat_map(|at: u32| [((at * (7 + 5 * number)) % 256) as u8; 3]).collect();
    Channel { picture: Arc::new(Pixels::new(16, 16, rgb)), min: -1.5 - number as f32, max: 2.25 }
}

fn sea(steps: u32) -> Recipe {
    Recipe { prompt: "a sun over the sea".into(), steps, ..Recipe::default() }
}

#[test]
fn the_loop_is_lit_in_mid_run() {
    let mut window = page(LessonPage::Loop, true, [1280.0, 720.0], sea(30));
    let (job, recipe) = window.next_job();
    window.run_steps(job, &recipe, 9);
    snapshot(&mut window, "lesson_loop");
}

#[test]
fn the_autoencoder_has_its_channels() {
    let mut window = page(LessonPage::Autoencoder, false, [1280.0, 900.0], sea(20));
    finished(&mut window);
    snapshot(&mut window, "lesson_autoencoder_light");
}

#[test]
fn noise_lies_over_the_picture() {
    let mut window = page(LessonPage::Noise, true, [1280.0, 900.0], sea(15));
    finished(&mut window);
    snapshot(&mut window, "lesson_noise");
}

#[test]
fn an_edited_prompt_is_shown_in_chips_and_can_be_put_back() {
    let edits: Vec<EmbeddingEdit> =
        ["puppy=0.5*puppy+0.5*skunk"].map(|edit| edit.parse().expect("an edit")).into();
    let recipe = Recipe { prompt: "a picture of a puppy in the snow".into(), edits, ..sea(20) };
    let mut window = page(LessonPage::Text, false, [1280.0, 1000.0], recipe);
    finished(&mut window);
    window.harness.state_mut().state.shared.settings.lesson.previous = Some(SavedWorkspace::default());
    snapshot(&mut window, "lesson_text_light");
}

#[test]
fn the_arrows_of_guidance_fit_into_the_drawer_of_a_narrow_window() {
    let mut window = page(LessonPage::Guidance, true, [960.0, 600.0], sea(20));
    finished(&mut window);
    window.press(Command::Settings(SettingsCommand::ShowTab { tab: Some(Tab::Lesson), drawer: true }));
    snapshot(&mut window, "lesson_guidance_narrow");
}

#[test]
fn every_sampler_has_its_row() {
    let mut window = page(LessonPage::Samplers, true, [1280.0, 1000.0], sea(20));
    finished(&mut window);
    snapshot(&mut window, "lesson_samplers");
}

#[test]
fn a_loss_is_measured_at_every_step() {
    let guides = vec!["channel:blue=0.9".parse().expect("a guide")];
    let mut window = page(LessonPage::Losses, false, [1280.0, 800.0], Recipe { guides, ..sea(20) });
    finished(&mut window);
    snapshot(&mut window, "lesson_losses_light");
}
