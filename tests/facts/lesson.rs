//! The lesson: every experiment can be run, is what its page says, and can be undone.

use std::path::PathBuf;

use app::features::canvas::views::Views;
use app::features::command::Command;
use app::features::effect::{Effect, Task};
use app::features::event::AppEvent;
use app::features::generate::run::RunPhase;
use app::features::lesson::{Experiment, LessonCommand, LessonPage};
use app::features::settings::{Settings, SettingsCommand, Tab, WindowLayout};
use app::features::start_image::StartImageCommand;
use app::features::state::AppState;
use app::features::xy_plot::{AxisField, XyPlotCommand};
use egui::Key;
use egui::accesskit::Role;
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use engine::diffusion::{Sampler, SamplerOptions, Schedule, StepView};
use engine::pipeline::ModelInfo;
use engine::prompt::{PromptTokenizer, Source, token_selection};
use engine::recipe::{Recipe, Start};
use engine::session::{Event, InspectRequest, ModelEvent, Request};

use crate::support::app_state::{finished, generate, opened, receive, started, step};
use crate::support::models::model_info;
use crate::support::window_harness::{TestWindow, until, window_builder, window_with_engine};

fn command(state: &mut AppState, command: LessonCommand) -> Vec<Effect> {
    state.handle(Command::Lesson(command))
}

fn set_up(state: &mut AppState, experiment: Experiment) -> Vec<Effect> {
    command(state, LessonCommand::SetUp { experiment, now: 0.0 })
}

/// With a finished and saved picture.
fn used_window_state() -> AppState {
    let mut state = opened();
    let recipe =
        Recipe { prompt: "my own picture".into(), seed: 77, steps: 20, ..state.shared.recipe.clone() };
    state.handle(Command::Edit(Box::new(recipe)));
    let (job, ..) = generate(&mut state);
    started(&mut state, job);
    (0..20).for_each(|at| drop(step(&mut state, job, at)));
    finished(&mut state, job);
    state.receive(AppEvent::Saved(vec![PathBuf::from("/out/00001-77.png")]));
    state
}

fn made(effects: &[Effect]) -> Vec<&Recipe> {
    let recipe = |effect| match effect {
        &Effect::Send(Request::Generate { ref recipe, .. }) => Some(&**recipe),
        _ => None,
    };
    effects.iter().filter_map(recipe).collect()
}

#[test]
fn every_experiment_gives_a_recipe_that_can_be_run_at_the_models_size() {
    for experiment in Experiment::ALL {
        for mut state in [opened(), used_window_state()] {
            set_up(&mut state, experiment);
            assert_eq!(state.shared.recipe_error(), None, "{experiment:?}");
            assert_eq!((state.shared.recipe.width, state.shared.recipe.height), (128, 128), "{experiment:?}");
            assert_eq!(state.xy_plot.sheet_problem(&state.shared), None, "{experiment:?}");
            assert!(state.shared.settings.seed_locked, "what is compared has one seed");
        }
    }
}

#[test]
fn edited_words_are_single_tokens_of_the_built_in_model() {
    let words = model_info().prompt_tokenizer(&Default::default());
    let is_one = |words: &PromptTokenizer, word: &str| words.tokenize(word).used() == 1;
    let mut edited = 0;
    for experiment in Experiment::ALL {
        let Some(recipe) = experiment.recipe(&opened()) else { continue };
        for edit in &recipe.edits {
            edited += 1;
            let text = words.tokenize(&recipe.prompt);
            assert!(
                token_selection::find(&recipe.prompt, &text, &edit.selector).is_some(),
                "{experiment:?}: {edit}"
            );
            for term in &edit.replacement {
                let Source::Word(word) = &term.word else { panic!("{experiment:?} names an id") };
                assert!(is_one(&words, word), "{experiment:?}: {word}");
            }
        }
        let mixed = recipe.mix.prompts.iter().map(|mixed| mixed.prompt.as_str());
        for word in mixed.chain([recipe.prompt.as_str()]).flat_map(str::split_whitespace) {
            assert!(is_one(&words, word), "{experiment:?}: the model knows no {word}");
        }
    }
    assert!(edited >= 2);
}

#[test]
fn the_first_experiment_is_the_lessons_recipe() {
    let mut state = opened();
    let effects = set_up(&mut state, Experiment::Loop);
    let [recipe] = made(&effects)[..] else { panic!("{effects:?}") };
    let Recipe { prompt, seed, steps, sampler, schedule, guidance, .. } = recipe;
    assert_eq!(prompt, "a watercolor painting of an otter");
    assert_eq!((*seed, *steps, guidance.cfg_scale), (32, 30, 7.5));
    assert_eq!((*sampler, *schedule), (Sampler::Lms, Schedule::Linspace));
    // A second time it is the same picture, not one of a fresh seed.
    let job = state.runs.current().map(|run| run.job.id).expect("a run");
    started(&mut state, job);
    finished(&mut state, job);
    let effects = set_up(&mut state, Experiment::Loop);
    assert_eq!(made(&effects)[0].seed, 32);
}

#[test]
fn on_a_model_like_the_lessons_its_numbers_are_the_lessons() {
    let mut state = opened();
    let large = ModelInfo { native_side: 512, ..model_info() };
    state.receive(Event::Model(ModelEvent::Opened(Box::new(large))));
    let numbers = |experiment: Experiment| {
        let recipe = experiment.recipe(&state).expect("a recipe");
        (recipe.width, recipe.height, recipe.guidance.cfg_scale, recipe.sampler_options)
    };
    assert_eq!(numbers(Experiment::Loop), (512, 512, 7.5, SamplerOptions::default()));
    assert_eq!(numbers(Experiment::Film), (512, 512, 8.0, SamplerOptions::default()));
}

#[test]
fn noise_is_that_of_the_lessons_step_ten_of_fifteen() {
    let mut state = used_window_state();
    let effects = set_up(&mut state, Experiment::AddNoise);
    let (step, sigma) = state.noise_step();
    assert_eq!(step, 10);
    assert!((sigma - 0.7913).abs() < 1e-4, "{sigma}");
    assert_eq!(state.shared.settings.window.tab, Tab::Inspect);
    let asked = effects.iter().any(|effect| matches!(effect, Effect::Send(Request::Inspect { .. })));
    assert!(asked && made(&effects).is_empty(), "the picture that is there is looked into");
}

#[test]
fn the_start_image_is_the_picture_that_was_made_and_strength_is_the_start_step() {
    let mut state = used_window_state();
    let effects = set_up(&mut state, Experiment::StartImage);
    let [recipe] = made(&effects)[..] else { panic!("{effects:?}") };
    let Start::Image { path, strength } = &recipe.start else { panic!("it begins with noise") };
    assert_eq!((path.as_path(), *strength), (PathBuf::from("/out/00001-77.png").as_path(), 0.6));
    assert_eq!((recipe.start_step(), recipe.steps), (12, 30), "as in the lesson's notebook");
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Task(Task::ReadStartImage(_)))));
    let mut state = used_window_state();
    state.receive(AppEvent::Saved(vec![PathBuf::from("/out/00002-sheet.png")]));
    assert_eq!(state.picture_to_start_from(), None, "a sheet is nothing to begin with");
}

#[test]
fn the_film_shows_noisy_and_predicted_and_plays_whatever_was_hidden_before() {
    for hidden in [
        vec![],
        vec![StepView::NoisyLatents],
        vec![StepView::Predicted, StepView::NoisyLatents, StepView::PredictedNoise],
    ] {
        let mut state = used_window_state();
        state.shared.settings.views = Views { hidden: hidden.into_iter().collect(), ..Views::default() };
        set_up(&mut state, Experiment::Film);
        assert_eq!(state.shared.settings.views.shown(), [StepView::NoisyLatents, StepView::Predicted]);
        assert!(state.film.play.is_some());
    }
}

#[test]
fn the_sheets_are_made_at_once_and_waited_for_when_something_runs() {
    for (experiment, count) in
        [(Experiment::Scales, 4), (Experiment::Samplers, 6), (Experiment::Optimisers, 4)]
    {
        let mut state = opened();
        let effects = set_up(&mut state, experiment);
        assert_eq!(made(&effects).len(), 1, "{experiment:?}: the first cell");
        assert_eq!(state.xy_plot.making().map(|made| made.cells.len()), Some(count), "{experiment:?}");
        assert_eq!(state.shared.settings.window.tab, Tab::XyPlot);
        let mut state = opened();
        generate(&mut state);
        assert!(made(&set_up(&mut state, experiment)).is_empty(), "one thing at a time");
        assert_eq!(state.xy_plot.plot(&state.shared.recipe).map(|plot| plot.cells().count()), Ok(count));
    }
}

#[test]
fn the_workspace_is_restored_to_what_it_was_before_the_first_experiment() {
    for experiment in Experiment::ALL {
        let mut state = used_window_state();
        let side = AxisField { name: "seed", values: "7, 8".into() };
        state.handle(Command::XyPlot(XyPlotCommand::Across(side.clone())));
        let (recipe, views) = (state.shared.recipe.clone(), state.shared.settings.views.clone());
        set_up(&mut state, experiment);
        set_up(&mut state, Experiment::Film);
        command(&mut state, LessonCommand::PutBack);
        assert_eq!((&state.shared.recipe, &state.shared.settings.views), (&recipe, &views), "{experiment:?}");
        assert_eq!((&state.xy_plot.across, &state.xy_plot.down), (&side, &None), "{experiment:?}");
        assert!(!state.shared.settings.seed_locked && state.shared.settings.lesson.previous.is_none());
        assert!(command(&mut state, LessonCommand::PutBack).is_empty(), "there is nothing more to put back");
        state.handle(Command::Stop);
        let job = state.runs.current().map(|run| run.job.id).expect("a run");
        receive(&mut state, job, engine::session::JobEvent::Stopped);
        if !state.is_making() {
            assert_ne!(generate(&mut state).2.seed, 77, "a used seed stays used");
        }
    }
}

#[test]
fn a_start_image_is_restored_with_the_workspace() {
    let mut state = opened();
    let path = PathBuf::from("/pictures/beach.png");
    state.handle(Command::StartImage(StartImageCommand::Use(path.clone())));
    set_up(&mut state, Experiment::Loop);
    assert_eq!(state.shared.recipe.start, Start::Noise);
    let effects = command(&mut state, LessonCommand::PutBack);
    assert!(matches!(&effects[..], [Effect::Task(Task::ReadStartImage(read)), ..] if *read == path));
    assert!(matches!(&state.shared.recipe.start, Start::Image { path: start, .. } if *start == path));
}

#[test]
fn the_lesson_continues_where_it_was_left_and_can_still_be_undone() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut state = used_window_state();
    let recipe = state.shared.recipe.clone();
    command(&mut state, LessonCommand::GoTo(LessonPage::Text));
    set_up(&mut state, Experiment::Blend);
    state.shared.settings_to_save().save(folder.path()).expect("saves");
    let (settings, note) = Settings::load(folder.path());
    assert_eq!(note, None);
    let mut state = AppState::new(settings);
    assert_eq!(state.shared.settings.lesson.page, LessonPage::Text);
    assert_eq!(state.shared.recipe.edits.len(), 1);
    command(&mut state, LessonCommand::PutBack);
    assert_eq!(state.shared.recipe, recipe);
}

#[test]
fn pages_about_latents_look_into_the_picture_and_the_others_do_not() {
    for (stop, looks) in
        LessonPage::ALL.map(|stop| (stop, matches!(stop, LessonPage::Autoencoder | LessonPage::Noise)))
    {
        let mut state = used_window_state();
        state.handle(Command::Settings(SettingsCommand::ShowTab { tab: Some(Tab::Lesson), drawer: false }));
        let effects = command(&mut state, LessonCommand::GoTo(stop));
        let asked = effects.iter().any(|effect| {
            matches!(
                effect,
                Effect::Send(Request::Inspect { request: InspectRequest::StepChannels { .. }, .. })
            )
        });
        assert_eq!(asked, looks, "{stop:?}");
    }
}

fn at(stop: LessonPage) -> Settings {
    let window = WindowLayout { tab: Tab::Lesson, ..WindowLayout::default() };
    let mut settings = Settings { window, ..Settings::default() };
    settings.lesson.page = stop;
    settings
}

#[test]
fn the_button_of_the_first_page_makes_the_otter_and_the_workspace_can_be_restored() {
    let recipe = Recipe { prompt: "a boat".into(), seed: 5, ..Recipe::default() };
    let settings = Settings { last_recipe: recipe.clone(), ..at(LessonPage::Loop) };
    let (mut harness, _home) = window_with_engine(window_builder(), settings);
    until(&mut harness, "the model", |app| app.state.shared.model_info().is_some());
    harness.step();
    harness.get_by_label(Experiment::Loop.label()).click();
    harness.step();
    until(&mut harness, "the picture, saved", |app| !app.state.shared.saved.is_empty());
    let run = harness.state().state.runs.current().expect("a run");
    assert_eq!((run.phase, run.frames.len(), run.recipe.seed), (RunPhase::Finished, 30, 32));
    assert_eq!(run.recipe.prompt, "a watercolor painting of an otter");
    harness.run();
    harness.get_by_label("30 of 30");
    harness.get_by_label("Restore settings").click();
    harness.run();
    assert_eq!(harness.state().state.shared.recipe, recipe);
    assert!(harness.query_by_label("Restore settings").is_none());
}

#[test]
fn the_pages_are_turned_by_buttons_by_dots_and_by_arrow_keys() {
    let mut window = TestWindow::opened(Harness::builder().with_size([1280.0, 720.0]), at(LessonPage::Loop));
    let stop = |window: &TestWindow| window.harness.state().state.shared.settings.lesson.page;
    window.harness.get_by_role_and_label(Role::Button, "Next").click();
    window.harness.run();
    assert_eq!(stop(&window), LessonPage::Autoencoder);
    window.harness.get_by_label_contains("Page 7,").click();
    window.harness.run();
    assert_eq!(stop(&window), LessonPage::Guidance);
    window.harness.get_by_label_contains("Page 7,").focus();
    window.harness.step();
    for (key, expected) in [(Key::ArrowRight, LessonPage::Samplers), (Key::ArrowLeft, LessonPage::Guidance)] {
        window.harness.key_press(key);
        window.harness.run();
        assert_eq!(stop(&window), expected);
    }
    window.harness.get_by_role_and_label(Role::Button, "Back").click();
    window.harness.run();
    assert_eq!(stop(&window), LessonPage::Prediction);
    for stop in LessonPage::ALL {
        window.press(Command::Lesson(LessonCommand::GoTo(stop)));
        window.harness.run();
        window.harness.get_by_label(stop.title());
    }
}

#[test]
fn the_sliders_of_the_pages_are_those_of_the_window() {
    let mut window =
        TestWindow::opened(Harness::builder().with_size([1440.0, 1400.0]), at(LessonPage::StartImage));
    let key = |window: &mut TestWindow, slider: &str, key: Key| {
        window.harness.get_by_role_and_label(Role::Slider, slider).focus();
        window.harness.step();
        window.harness.key_press(key);
        window.harness.run();
    };
    key(&mut window, "Start step", Key::ArrowRight);
    let lesson = window.harness.state().state.shared.settings.lesson.clone();
    assert_eq!(lesson.strength, 0.55, "step 9 of 20, where 0.6 was step 8");
    let folder = tempfile::tempdir().expect("a folder");
    let beach = folder.path().join("beach.png");
    image::RgbImage::new(64, 64).save(&beach).expect("writes");
    window.press(Command::StartImage(StartImageCommand::Use(beach)));
    window.harness.run();
    key(&mut window, "Start step", Key::ArrowLeft);
    let start = window.harness.state().state.shared.recipe.start.clone();
    assert!(matches!(start, Start::Image { strength, .. } if (strength - 0.8).abs() < 1e-6), "{start:?}");

    window.press(Command::Lesson(LessonCommand::SetUp { experiment: Experiment::Blend, now: 0.0 }));
    window.press(Command::Lesson(LessonCommand::GoTo(LessonPage::Text)));
    window.harness.run();
    key(&mut window, "Share", Key::ArrowRight);
    let edits: Vec<String> =
        window.harness.state().state.shared.recipe.edits.iter().map(ToString::to_string).collect();
    assert_eq!(edits, ["puppy=0.45*puppy+0.55*skunk"]);
    window.press(Command::Lesson(LessonCommand::GoTo(LessonPage::Samplers)));
    window.harness.run();
    window.harness.get_by_label_contains("Heun, order 2").click();
    window.harness.run();
    assert_eq!(window.harness.state().state.shared.recipe.sampler, Sampler::Heun);
}
