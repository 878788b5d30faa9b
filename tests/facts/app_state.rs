//! The window's state, without a window.

use std::path::PathBuf;

use app::features::command::Command;
use app::features::drop::{DropCommand, Dropped, DroppedFiles, FileContents};
use app::features::effect::{Effect, Task};
use app::features::errors::ErrorSlot;
use app::features::event::AppEvent;
use app::features::film::FilmCommand;
use app::features::generate::run::RunPhase;
use app::features::settings::{Settings, SettingsCommand};
use app::features::start_image::StartImageCommand;
use app::features::state::AppState;
use engine::checkpoint::ModelSource;
use engine::diffusion::StepView;
use engine::images::{FoundRecipe, Provenance, RecipeOrigin};
use engine::prompt::TextOptions;
use engine::recipe::{Recipe, Start};
use engine::session::{Event, JobEvent, JobId, ModelEvent, Request};

use crate::support::app_state::{finished, generate, grey, opened, receive, sent, started, step};

#[test]
fn generate_sends_what_the_panels_show_and_a_finished_picture_is_saved() {
    let mut state = opened();
    let recipe = Recipe { prompt: "a fox".into(), ..state.shared.recipe.clone() };
    state.handle(Command::Edit(Box::new(recipe.clone())));
    let (id, _, asked) = generate(&mut state);
    assert_eq!(asked, recipe);
    started(&mut state, id);
    (0..20).for_each(|at| drop(step(&mut state, id, at)));
    let effects = finished(&mut state, id);
    let saved = effects.iter().find_map(|effect| match effect {
        Effect::Save(batch) => Some(batch),
        _ => None,
    });
    let batch = saved.expect("a batch to save");
    assert_eq!((batch.recipe.prompt.as_str(), batch.model.as_str()), ("a fox", "Built-in"));
    assert_eq!(batch.folder, PathBuf::from("/out"));
    state.receive(AppEvent::Saved(vec![PathBuf::from("/out/00001-32.png")]));
    assert_eq!(state.shared.saved, [PathBuf::from("/out/00001-32.png")]);
}

#[test]
fn edits_during_a_run_are_for_the_next_one() {
    let mut state = opened();
    let (id, _, _) = generate(&mut state);
    started(&mut state, id);
    let edited = Recipe { steps: 7, ..state.shared.recipe.clone() };
    state.handle(Command::Edit(Box::new(edited)));
    assert_eq!(state.runs.current().map(|run| run.recipe.steps), Some(20));
}

#[test]
fn generate_during_a_run_queues_one_and_only_one() {
    let mut state = opened();
    let (first, _, _) = generate(&mut state);
    started(&mut state, first);
    for steps in [5, 6] {
        let edited = Recipe { steps, ..state.shared.recipe.clone() };
        state.handle(Command::Edit(Box::new(edited)));
        assert!(sent(&state.handle(Command::Generate)).is_none(), "not yet");
    }
    let (second, _, recipe) = sent(&finished(&mut state, first)).expect("the queued one starts");
    assert_eq!((recipe.steps, second != first), (6, true));
    assert!(sent(&finished(&mut state, second)).is_none(), "nothing is queued any more");
}

#[test]
fn stop_raises_the_flag_and_forgets_the_queue() {
    let mut state = opened();
    let (id, flag, _) = generate(&mut state);
    started(&mut state, id);
    state.handle(Command::Generate);
    state.handle(Command::Stop);
    assert!(flag.is_raised());
    assert_eq!(state.runs.current().map(|run| run.phase), Some(RunPhase::Stopping));
    assert!(sent(&receive(&mut state, id, JobEvent::Stopped)).is_none());
    assert!(state.runs.live().is_none());
    let (next, flag, _) = generate(&mut state);
    assert!(next != id && !flag.is_raised(), "the next job has a flag of its own");
}

#[test]
fn events_of_another_job_change_nothing() {
    let mut state = opened();
    let (id, _, _) = generate(&mut state);
    started(&mut state, id);
    let stranger = JobId(id.0 + 7);
    step(&mut state, stranger, 0);
    assert!(finished(&mut state, stranger).is_empty());
    let run = state.runs.current().expect("a run");
    assert_eq!((run.frames.len(), run.phase), (0, RunPhase::Running));
}

#[test]
fn the_last_picture_stays_until_the_new_run_has_one() {
    let mut state = opened();
    let (first, _, _) = generate(&mut state);
    started(&mut state, first);
    step(&mut state, first, 0);
    finished(&mut state, first);
    let (second, _, _) = generate(&mut state);
    assert_eq!(state.shown().map(|shown| shown.pictures[0].width), Some(128), "no flash");
    started(&mut state, second);
    step(&mut state, second, 0);
    assert_eq!(state.shown().map(|shown| shown.pictures[0].width), Some(16));
}

fn asked(effects: &[Effect]) -> Option<usize> {
    effects.iter().find_map(|effect| match effect {
        Effect::Send(Request::Decode { step, .. }) => Some(*step),
        _ => None,
    })
}

fn decoded(state: &mut AppState, id: JobId, step: usize) -> Option<usize> {
    let view = StepView::Predicted;
    asked(&receive(state, id, JobEvent::Decoded { step, view, pictures: vec![grey(128)] }))
}

#[test]
fn a_finished_film_is_decoded_step_by_step_and_the_selected_step_comes_first() {
    let mut state = opened();
    let (id, _, _) = generate(&mut state);
    started(&mut state, id);
    (0..20).for_each(|at| drop(step(&mut state, id, at)));
    assert_eq!(asked(&finished(&mut state, id)), Some(0));
    assert_eq!(asked(&state.handle(Command::Film(FilmCommand::Pin(Some(7))))), None, "one is on its way");
    assert_eq!(decoded(&mut state, id, 0), Some(7), "then the one that is held");
    let shown = state.shown().expect("step 7");
    assert_eq!((shown.step, shown.is_full), (Some(7), false));
    assert_eq!(decoded(&mut state, id, 7), Some(1));
    assert!(state.shown().is_some_and(|shown| shown.is_full));
    let last = (1..19).filter(|&at| at != 7).find(|&at| decoded(&mut state, id, at).is_none());
    assert_eq!(last, Some(18), "the last step has the finished picture");
    state.handle(Command::Film(FilmCommand::Pin(Some(7))));
    assert_eq!(state.shown().and_then(|shown| shown.step), None, "a second click lets go");
}

#[test]
fn a_queued_run_goes_before_the_film_of_the_last_one() {
    let mut state = opened();
    let (id, _, _) = generate(&mut state);
    started(&mut state, id);
    step(&mut state, id, 0);
    state.handle(Command::Generate);
    let effects = finished(&mut state, id);
    assert!(sent(&effects).is_some() && asked(&effects).is_none());
}

#[test]
fn a_job_asked_to_decode_after_its_end_stays_ended() {
    let mut state = opened();
    let (id, _, _) = generate(&mut state);
    started(&mut state, id);
    step(&mut state, id, 0);
    receive(&mut state, id, JobEvent::Stopped);
    state.handle(Command::Film(FilmCommand::Pin(Some(0))));
    assert_eq!(decoded(&mut state, id, 0), None);
    assert_eq!(state.runs.current().map(|run| run.phase), Some(RunPhase::Stopped));
}

#[test]
fn the_film_plays_from_the_pinned_step_and_pauses_where_it_is() {
    let mut state = opened();
    let (id, _, _) = generate(&mut state);
    started(&mut state, id);
    (0..20).for_each(|at| drop(step(&mut state, id, at)));
    state.handle(Command::Film(FilmCommand::Pin(Some(4))));
    state.handle(Command::Film(FilmCommand::TogglePlay { now: 10.0 }));
    state.handle(Command::Film(FilmCommand::Tick { now: 10.5 }));
    assert_eq!(state.film.looked_at(&state.runs), Some(10));
    state.handle(Command::Film(FilmCommand::TogglePlay { now: 10.5 }));
    assert_eq!((state.film.looked_at(&state.runs), state.film.pinned), (Some(10), Some(10)));
}

#[test]
fn a_fresh_seed_is_drawn_unless_the_seed_is_new_or_locked() {
    let mut state = opened();
    let seed = |state: &mut AppState| {
        let (id, _, recipe) = generate(state);
        finished(state, id);
        recipe.seed
    };
    assert_eq!(seed(&mut state), 32, "as it stands");
    let second = seed(&mut state);
    assert!(second != 32 && second < 1 << 32);
    let typed = Recipe { seed: u64::MAX, ..state.shared.recipe.clone() };
    state.handle(Command::Edit(Box::new(typed)));
    assert_eq!(seed(&mut state), u64::MAX);
    state.handle(Command::ToggleSeedLock);
    assert_eq!(seed(&mut state), u64::MAX);
}

#[test]
fn a_value_that_cannot_run_is_named_at_its_field_and_nothing_is_sent() {
    let mut state = opened();
    let start = Start::Image { path: "a.png".into(), strength: 0.01 };
    let with = |edit: fn(&mut Recipe)| {
        let mut recipe = Recipe::default();
        edit(&mut recipe);
        recipe
    };
    let cases = [
        (ErrorSlot::Steps, with(|recipe| recipe.steps = 0)),
        (ErrorSlot::Pictures, with(|recipe| recipe.batch = 9)),
        (ErrorSlot::Size, with(|recipe| recipe.width = 130)),
        (ErrorSlot::Guidance, with(|recipe| recipe.guidance.cfg_scale = f32::NAN)),
        (ErrorSlot::Sampler, with(|recipe| recipe.sampler_options.eta = Some(-1.0))),
        (ErrorSlot::Schedule, with(|recipe| recipe.schedule_options.rho = Some(0.0))),
        // Above the model's last one.
        (ErrorSlot::Schedule, with(|recipe| recipe.schedule_options.beta_start = Some(0.5))),
        (ErrorSlot::Strength, Recipe { start, ..Recipe::default() }),
    ];
    for (place, recipe) in cases {
        state.handle(Command::Edit(Box::new(recipe)));
        assert!(state.shared.error_at(place).is_some(), "{place:?}");
        assert!(state.handle(Command::Generate).is_empty(), "{place:?}");
    }
    state.handle(Command::Edit(Box::default()));
    assert!(sent(&state.handle(Command::Generate)).is_some());
}

#[test]
fn a_failed_job_says_so_under_the_button_and_the_next_one_clears_it() {
    let mut state = opened();
    let (id, _, _) = generate(&mut state);
    receive(&mut state, id, JobEvent::Failed { text: "Too large".into() });
    assert_eq!(state.shared.error_at(ErrorSlot::Run).as_deref(), Some("Too large"));
    generate(&mut state);
    assert_eq!(state.shared.error_at(ErrorSlot::Run), None);
}

#[test]
fn a_model_that_fails_to_open_leaves_none_and_generate_says_what_to_do() {
    let mut state = opened();
    let effects = state.handle(Command::Drop(DropCommand::Files(vec!["/models/broken".into()])));
    assert!(matches!(&effects[..], [Effect::Task(Task::Inspect(_))]));
    let folder = Dropped {
        path: "/models/broken".into(),
        contents: FileContents::Model(ModelSource::Folder("/models/broken".into())),
    };
    let effects =
        state.receive(AppEvent::Inspected(DroppedFiles { others: vec![folder], ..DroppedFiles::default() }));
    assert!(matches!(
        &effects[..],
        [Effect::Send(Request::OpenModel { source: ModelSource::Folder(_), .. })]
    ));
    state.receive(Event::Model(ModelEvent::Failed { text: "unet is missing".into() }));
    assert_eq!(state.shared.error_at(ErrorSlot::Model).as_deref(), Some("unet is missing"));
    assert!(sent(&state.handle(Command::Generate)).is_none());
    assert!(state.shared.error_at(ErrorSlot::Run).is_some());
}

#[test]
fn tokens_are_counted_as_they_are_typed_and_the_cut_is_told() {
    let mut state = opened();
    let prompt = "a large fox in the snow ".repeat(20);
    let recipe = Recipe { prompt, text: TextOptions::PLAIN, ..Recipe::default() };
    state.handle(Command::Edit(Box::new(recipe.clone())));
    let read = state.prompts.prompt.as_ref().expect("read");
    assert_eq!((read.used(), read.capacity()), (75, 75));
    assert!(read.cut().contains("snow"));
    state.handle(Command::Edit(Box::new(Recipe { text: TextOptions::default(), ..recipe })));
    let read = state.prompts.prompt.as_ref().expect("read");
    assert_eq!((read.used(), read.capacity(), read.cut()), (120, 150, ""), "in chunks there is room for all");
}

fn picture(found: Option<Recipe>) -> AppEvent {
    let found = found.map(|recipe| {
        Box::new(FoundRecipe {
            provenance: Provenance::new("Built-in", recipe),
            origin: RecipeOrigin::Tidepool,
            notes: Vec::new(),
        })
    });
    let contents = FileContents::Picture { pixels: grey(64), notes: Vec::new(), found };
    AppEvent::Inspected(DroppedFiles {
        others: vec![Dropped { path: "fox.png".into(), contents }],
        ..DroppedFiles::default()
    })
}

#[test]
fn a_dropped_picture_becomes_the_start_image_and_can_be_removed() {
    let mut state = opened();
    state.receive(picture(None));
    assert!(matches!(state.shared.recipe.start, Start::Image { strength: 0.75, .. }));
    assert!(state.start_picture.is_some() && state.dropped.is_none());
    state.handle(Command::StartImage(StartImageCommand::Remove));
    assert_eq!(state.shared.recipe.start, Start::Noise);
}

#[test]
fn a_dropped_picture_with_a_recipe_is_asked_about() {
    let recipe = Recipe { prompt: "an owl".into(), seed: 5, ..Recipe::default() };
    for (command, is_settings) in
        [(Command::Drop(DropCommand::UseSettings), true), (Command::Drop(DropCommand::UseAsStart), false)]
    {
        let mut state = opened();
        state.receive(picture(Some(recipe.clone())));
        assert!(state.dropped.is_some());
        assert_eq!(state.shared.recipe, Recipe::default(), "nothing happens unasked");
        state.handle(command);
        assert!(state.dropped.is_none());
        assert_eq!(state.shared.recipe == recipe, is_settings);
        assert_eq!(matches!(state.shared.recipe.start, Start::Image { .. }), !is_settings);
    }
}

#[test]
fn a_file_that_is_not_a_picture_is_refused_where_pictures_are_dropped() {
    let mut state = opened();
    let contents = FileContents::Unusable("This is no picture: notes.txt".into());
    state.receive(AppEvent::Inspected(DroppedFiles {
        others: vec![Dropped { path: "notes.txt".into(), contents }],
        ..DroppedFiles::default()
    }));
    assert!(state.shared.error_at(ErrorSlot::StartImage).is_some());
    assert_eq!(state.shared.recipe.start, Start::Noise);
}

#[test]
fn a_start_image_that_is_gone_at_the_next_start_is_dropped_and_reported() {
    let start = Start::Image { path: "gone.png".into(), strength: 0.5 };
    let last_recipe = Recipe { start, ..Recipe::default() };
    let mut state = AppState::new(Settings { last_recipe, ..Settings::default() });
    let effects = state.begin();
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Task(Task::ReadStartImage(_)))));
    state.receive(AppEvent::StartImageRead {
        path: "gone.png".into(),
        picture: Err("There is no such file: gone.png".into()),
        notes: Vec::new(),
    });
    assert_eq!(state.shared.recipe.start, Start::Noise);
    assert!(state.shared.error_at(ErrorSlot::StartImage).is_some());
}

#[test]
fn a_folder_that_cannot_be_written_is_told_and_another_can_be_chosen() {
    let mut state = opened();
    state.receive(AppEvent::SaveFailed("The folder cannot be used: /out".into()));
    assert!(state.shared.error_at(ErrorSlot::Output).is_some());
    state.receive(AppEvent::OutputFolderPicked("/other".into()));
    assert_eq!(state.shared.error_at(ErrorSlot::Output), None);
    assert_eq!(state.shared.settings_to_save().output_folder(), PathBuf::from("/other"));
}

#[test]
fn the_workspace_is_remembered() {
    let mut state = opened();
    let recipe = Recipe { prompt: "a whale".into(), ..Recipe::default() };
    state.handle(Command::Edit(Box::new(recipe)));
    state.handle(Command::Settings(SettingsCommand::FoldPanels));
    let settings = state.shared.settings_to_save();
    assert_eq!(settings.last_recipe.prompt, "a whale");
    assert!(settings.window.left_folded);
}
