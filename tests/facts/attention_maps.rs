//! Attention maps: from the real engine, and in the state of the window.

use std::sync::Arc;
use std::time::Duration;

use app::features::attention::AttentionCommand;
use app::features::brush::BrushCommand;
use app::features::command::Command;
use app::features::concepts::ConceptCommand;
use app::features::concepts::watch::ConceptsRead;
use app::features::effect::Effect;
use app::features::event::AppEvent;
use app::features::models::ModelCommand;
use app::features::state::AppState;
use app::features::words::WordsCommand;
use engine::checkpoint::ModelSource;
use engine::concepts::ConceptSet;
use engine::device::{DeviceChoice, DeviceSelector};
use engine::images::Pixels;
use engine::inspect::attention_maps::{AttentionMaps, mask_by_map};
use engine::pipeline::StopFlag;
use engine::prompt::EmbeddingEdit;
use engine::recipe::Recipe;
use engine::session::{AttentionEvent, Event, Job, JobEvent, JobId, ModelEvent, Request, Session};

use crate::support::app_state::{generate, opened};
use crate::support::models::{concept, model_info};
use crate::support::waiting::next;

/// A session with the built-in model and a finished run of a small picture.
fn after_a_run(recipe: Recipe) -> Session {
    let session = Session::start(|| ());
    let device = DeviceChoice { device: DeviceSelector::Cpu, ..DeviceChoice::default() };
    let stop = StopFlag::default();
    session.send(Request::OpenModel { source: ModelSource::BuiltIn, vae: None, device, stop });
    let job = Job { id: JobId(1), stop: StopFlag::default() };
    let (recipe, concepts) = (Box::new(recipe), ConceptSet::default());
    session.send(Request::Generate { job, recipe, concepts, recorded_by: None, keeps_run: true });
    session
}

/// The fractions that were reported, and the last event.
fn attend(session: &Session, job: u64, stop: StopFlag) -> (Vec<f32>, AttentionEvent) {
    session.send(Request::ComputeAttentionMaps { job: JobId(job), picture: 0, part: 0, stop });
    let mut fractions = Vec::new();
    loop {
        let event = next(session.events());
        match event {
            Event::AttentionMaps { event: AttentionEvent::Progress { fraction }, .. } => {
                fractions.push(fraction);
            }
            Event::AttentionMaps { job: id, event } => {
                assert_eq!(id, JobId(job));
                return (fractions, event);
            }
            _ => {}
        }
    }
}

#[test]
fn at_every_place_the_tokens_of_a_run_share_all_of_the_attention() {
    let recipe = Recipe { prompt: "a fox".into(), width: 64, height: 96, steps: 4, ..Recipe::default() };
    let session = after_a_run(recipe);
    let (fractions, last) = attend(&session, 1, StopFlag::default());
    let AttentionEvent::Done(maps) = last else { panic!("{last:?}") };
    assert_eq!(fractions, [0.0, 0.25, 0.5, 0.75]);
    assert_eq!((maps.width, maps.height, maps.weights.len()), (8, 12, 77 * 96));
    for place in 0..96 {
        let sum: f32 = maps.weights.iter().skip(place).step_by(96).sum();
        assert!((sum - 1.0).abs() < 1e-4, "{sum} at {place}");
    }
}

#[test]
fn a_late_or_stopped_request_for_attention_maps_says_so() {
    let recipe = Recipe { prompt: "a fox".into(), width: 64, height: 64, steps: 2, ..Recipe::default() };
    let session = after_a_run(recipe);
    let (_, last) = attend(&session, 9, StopFlag::default());
    assert!(matches!(&last, AttentionEvent::Failed { .. }), "{last:?}");
    let stop = StopFlag::default();
    stop.raise();
    let (_, last) = attend(&session, 1, stop);
    assert!(matches!(last, AttentionEvent::Stopped), "{last:?}");
}

fn grey() -> Arc<Pixels> {
    Arc::new(Pixels::new(128, 128, vec![200; 128 * 128 * 3]))
}

/// Token 1 looks at the left half, token 2 at the right one.
fn halves() -> Arc<AttentionMaps> {
    let (width, height) = (16, 16);
    let map = |token: usize| (0..256).map(move |at| f32::from((at % 16 < 8) == (token == 1)));
    Arc::new(AttentionMaps { width, height, weights: (0..77).flat_map(map).collect() })
}

fn choose(state: &mut AppState, word: &str) {
    let edit: EmbeddingEdit = format!("{word}=").parse().expect("an edit");
    state.handle(Command::Words(WordsCommand::Choose(Some(edit.selector))));
}

fn with_picture() -> (AppState, JobId) {
    with_picture_of(opened(), "puppy cat")
}

fn with_picture_of(mut state: AppState, prompt: &str) -> (AppState, JobId) {
    let recipe = Recipe { prompt: prompt.into(), ..state.shared.recipe.clone() };
    state.handle(Command::Edit(Box::new(recipe)));
    let (job, ..) = generate(&mut state);
    finish(&mut state, job);
    (state, job)
}

fn finish(state: &mut AppState, job: JobId) {
    let finished =
        JobEvent::Finished { pictures: vec![grey()], concepts: Vec::new(), elapsed: Duration::from_secs(1) };
    state.receive(Event::Job { id: job, event: JobEvent::Started { sigmas: vec![1.0, 0.0], start_step: 0 } });
    state.receive(Event::Job { id: job, event: finished });
}

#[test]
fn the_attention_overlay_shows_the_selected_word_and_ends_with_the_next_run() {
    let (mut state, job) = with_picture();
    choose(&mut state, "puppy");
    let effects = state.handle(Command::Attention(AttentionCommand::Ask));
    assert!(
        matches!(&effects[..], [Effect::Send(Request::ComputeAttentionMaps { job: id, picture: 0, part: 0, .. }), ..] if *id == job)
    );
    state.receive(Event::AttentionMaps { job, event: AttentionEvent::Progress { fraction: 0.5 } });
    assert!(state.attention.on_canvas().is_none());
    state.receive(Event::AttentionMaps { job, event: AttentionEvent::Done(halves()) });
    let of_token = |token: usize| mask_by_map(&grey(), &halves().of(token..token + 1), [16, 16]);
    assert_eq!(state.attention.on_canvas().map(|lit| (**lit).clone()), Some(of_token(1)));
    assert_eq!(of_token(1).rgb[0], 200, "where it looks most, nothing is dimmed");
    choose(&mut state, "cat");
    assert_eq!(state.attention.on_canvas().map(|lit| (**lit).clone()), Some(of_token(2)));

    state.handle(Command::Attention(AttentionCommand::Overlay(false)));
    assert!(state.attention.on_canvas().is_none());
    state.handle(Command::Attention(AttentionCommand::Overlay(true)));
    generate(&mut state);
    assert!(state.attention.on_canvas().is_none(), "the next run shows itself");
}

#[test]
fn a_word_that_the_picture_was_made_without_has_no_overlay() {
    let (mut state, _) = with_picture();
    choose(&mut state, "fox");
    assert!(state.reader().is_none());
    assert!(state.handle(Command::Attention(AttentionCommand::Ask)).is_empty());
    assert!(state.attention_bytes().is_some());
}

#[test]
fn the_overlay_shows_the_words_that_the_picture_was_made_of_whatever_they_mean_now() {
    let mut state = opened();
    let frost = || concept("frost.bin", "<frost>", 1);
    state.receive(AppEvent::Concepts(ConceptsRead { read: vec![frost()], ..ConceptsRead::default() }));
    let (mut state, job) = with_picture_of(state, "<frost> cat");
    choose(&mut state, "cat");
    state.handle(Command::Attention(AttentionCommand::Ask));
    state.receive(Event::AttentionMaps { job, event: AttentionEvent::Done(halves()) });
    let lit = state.attention.on_canvas().cloned().expect("the second token's light");
    state.handle(Command::Concept(ConceptCommand::Forget(frost().source)));
    assert!(state.prompts.prompt.as_ref().is_some_and(|read| read.used() > 2), "its letters are words now");
    choose(&mut state, "puppy");
    assert!(state.attention.on_canvas().is_none());
    choose(&mut state, "cat");
    assert_eq!(state.attention.on_canvas(), Some(&lit));
}

#[test]
fn a_guide_acts_where_a_word_looks() {
    let (mut state, job) = with_picture();
    let guides = vec!["tile".parse().expect("a guide")];
    let recipe = Recipe { guides, ..state.shared.recipe.clone() };
    state.handle(Command::Edit(Box::new(recipe)));
    choose(&mut state, "cat");
    let command = Command::Brush(BrushCommand::MaskFromWord(0));
    state.handle(command.clone());
    assert_eq!(state.shared.recipe.guides[0].mask, None, "its maps are not made yet");
    state.handle(Command::Attention(AttentionCommand::Ask));
    state.receive(Event::AttentionMaps { job, event: AttentionEvent::Done(halves()) });
    state.handle(command);
    let mask = state.shared.recipe.guides[0].mask.clone().expect("a mask");
    assert_eq!((mask.width(), mask.height()), (16, 16));
    assert_eq!(mask.coverage()[..16], [[0; 8], [255; 8]].concat(), "the second word looks at the right half");
}

#[test]
fn the_overlay_ends_with_its_model() {
    let (mut state, job) = with_picture();
    choose(&mut state, "puppy");
    let done = |state: &mut AppState| {
        state.handle(Command::Attention(AttentionCommand::Ask));
        state.receive(Event::AttentionMaps { job, event: AttentionEvent::Done(halves()) });
        state.attention.on_canvas().is_some()
    };
    assert!(done(&mut state));
    state.receive(Event::Model(ModelEvent::Opened(Box::new(model_info()))));
    let window = &state.attention;
    assert!(window.on_canvas().is_none() && window.maps.is_none() && !window.is_highlighted);
    assert!(state.run_that_looks().is_none(), "the engine has forgotten the run");
    assert!(!done(&mut state));
}

#[test]
fn a_run_that_waits_for_its_model_is_read_by_it() {
    let mut state = opened();
    state.handle(Command::Model(ModelCommand::Open(ModelSource::BuiltIn)));
    let recipe = Recipe { prompt: "puppy cat".into(), ..state.shared.recipe.clone() };
    state.handle(Command::Edit(Box::new(recipe)));
    let (job, ..) = generate(&mut state);
    state.receive(Event::Model(ModelEvent::Opened(Box::new(model_info()))));
    finish(&mut state, job);
    choose(&mut state, "puppy");
    assert_eq!(state.reader().map(|reader| reader.job), Some(job));
}

#[test]
fn without_maps_there_is_no_overlay() {
    let (mut state, job) = with_picture();
    choose(&mut state, "puppy");
    state.handle(Command::Attention(AttentionCommand::Ask));
    assert!(!state.attention.is_highlighted);
    state.receive(Event::AttentionMaps { job, event: AttentionEvent::Failed { text: "No room".into() } });
    assert!(!state.attention.is_highlighted);
}
