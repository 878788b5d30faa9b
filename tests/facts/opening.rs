//! Opening models: progress, stopping, going back.

use std::fs;
use std::path::Path;

use app::features::command::Command;
use app::features::effect::Effect;
use app::features::models::ModelCommand;
use app::features::settings::Settings;
use app::features::state::{AppState, Model};
use engine::checkpoint::ModelSource;
use engine::device::{DeviceChoice, DeviceSelector};
use engine::memory::estimate::free_bytes;
use engine::pipeline::StopFlag;
use engine::session::{Event, ModelEvent, Request, Session};

use crate::support::folders::folder;
use crate::support::models::model_info;
use crate::support::waiting::next;
use crate::support::weight_files::{Small, save_safetensors};

fn ask(session: &Session, source: &ModelSource, vae: Option<&Path>) -> StopFlag {
    let stop = StopFlag::default();
    let device = DeviceChoice { device: DeviceSelector::Cpu, ..DeviceChoice::default() };
    let vae = vae.map(Path::to_owned);
    session.send(Request::OpenModel { source: source.clone(), vae, device, stop: stop.clone() });
    stop
}

/// The fractions that an opening reported, and its end.
fn outcome(session: &Session) -> (Vec<f32>, ModelEvent) {
    let mut fractions = Vec::new();
    loop {
        match next(session.events()) {
            Event::Model(ModelEvent::Opening { fraction, .. }) => fractions.push(fraction),
            Event::Model(end) => return (fractions, end),
            _ => {}
        }
    }
}

fn open(session: &Session, source: &ModelSource) -> Vec<f32> {
    open_with_vae(session, source, None)
}

fn open_with_vae(session: &Session, source: &ModelSource, vae: Option<&Path>) -> Vec<f32> {
    ask(session, source, vae);
    let (fractions, end) = outcome(session);
    assert!(matches!(end, ModelEvent::Opened(_)), "{end:?}");
    fractions
}

#[test]
fn progress_never_goes_back_and_ends_at_the_whole() {
    let session = Session::start(|| ());
    let fractions = open(&session, &ModelSource::BuiltIn);
    assert!(fractions.is_sorted() && fractions.len() > 3, "{fractions:?}");
    assert_eq!(fractions.last(), Some(&1.0));
}

#[test]
fn a_stopped_opening_says_so_and_the_next_one_works() {
    let session = Session::start(|| ());
    let stop = StopFlag::default();
    stop.raise();
    let device = DeviceChoice { device: DeviceSelector::Cpu, ..DeviceChoice::default() };
    session.send(Request::OpenModel { source: ModelSource::BuiltIn, vae: None, device, stop });
    assert!(matches!(outcome(&session), (fractions, ModelEvent::Stopped) if fractions.is_empty()));
    open(&session, &ModelSource::BuiltIn);
}

#[test]
fn a_newer_opening_stops_the_previous_one() {
    let session = Session::start(|| ());
    let first = ask(&session, &ModelSource::BuiltIn, None);
    let second = ask(&session, &ModelSource::BuiltIn, None);
    assert!(first.is_raised() && !second.is_raised());
    // The first may have ended before it was stopped.
    let (_, end) = outcome(&session);
    assert!(matches!(end, ModelEvent::Stopped | ModelEvent::Opened(_)));
    assert!(matches!(outcome(&session), (_, ModelEvent::Opened(_))));
}

#[test]
fn a_model_that_was_open_is_back_at_once_unless_its_files_have_changed() {
    let place = folder();
    let save = |stem: &str| {
        Small::new().save_folder(place.path(), &|folder, name, tensors| {
            save_safetensors(&folder.join(format!("{name}{stem}.safetensors")), tensors);
        })
    };
    let small = ModelSource::Folder(save(""));
    let session = Session::start(|| ());
    assert!(!open(&session, &small).is_empty());
    assert!(open(&session, &small).is_empty(), "it was open already");
    assert!(!open(&session, &ModelSource::BuiltIn).is_empty());
    for before in [&small, &ModelSource::BuiltIn] {
        // Where memory is short, the previous model is not kept.
        let is_short = free_bytes().is_none_or(|free| free < 4 << 30);
        assert!(open(&session, before).is_empty() || is_short, "{before:?} was open before");
    }
    open(&session, &small);
    let weights = place.path().join("unet/diffusion_pytorch_model.safetensors");
    let longer = [fs::read(&weights).expect("reads"), vec![0]].concat();
    fs::write(&weights, longer).expect("writes");
    ask(&session, &small, None);
    let (_, end) = outcome(&session);
    assert!(matches!(&end, ModelEvent::Failed { text } if text.contains("damaged")), "{end:?}");
}

#[test]
fn a_configuration_that_is_added_changed_or_removed_reopens_the_model() {
    let place = folder();
    let small = Small::new();
    let path = place.path().join("model.safetensors");
    save_safetensors(&path, &small.original);
    let vae = small
        .save_folder(&place.path().join("folder"), &|folder, stem, tensors| {
            save_safetensors(&folder.join(format!("{stem}.safetensors")), tensors);
        })
        .join("vae");
    let (yaml, config) = (path.with_extension("yaml"), vae.join("config.json"));
    let json = fs::read_to_string(&config).expect("reads");
    let source = ModelSource::File(path);
    let session = Session::start(|| ());
    for (vae, file, contents) in [
        (None, &yaml, Some("model:\n  params:\n    linear_start: 0.001\n".to_owned())),
        (None, &yaml, Some("model:\n  params:\n    linear_start: 0.0012\n".to_owned())),
        (None, &yaml, None),
        (Some(vae.as_path()), &config, Some(json + "\n")),
    ] {
        open_with_vae(&session, &source, vae);
        assert!(open_with_vae(&session, &source, vae).is_empty(), "it was open already");
        match &contents {
            Some(contents) => fs::write(file, contents).expect("writes"),
            None => fs::remove_file(file).expect("removes"),
        }
        assert!(!open_with_vae(&session, &source, vae).is_empty(), "{} {contents:?}", file.display());
    }
}

fn opening_of(effects: &[Effect]) -> (ModelSource, StopFlag) {
    let opening = effects.iter().find_map(|effect| match effect {
        Effect::Send(Request::OpenModel { source, stop, .. }) => Some((source.clone(), stop.clone())),
        _ => None,
    });
    opening.expect("a model is asked for")
}

#[test]
fn a_stopped_opening_goes_back_to_the_previous_model() {
    let mut state = AppState::new(Settings::default());
    state.begin();
    state.receive(Event::Model(ModelEvent::Opened(Box::new(model_info()))));
    let large = ModelSource::File("/models/large.safetensors".into());
    let (_, stop) = opening_of(&state.handle(Command::Model(ModelCommand::Open(large))));
    state.receive(Event::Model(ModelEvent::Opening { name: "large".into(), fraction: 0.2 }));
    let (source, next) = opening_of(&state.handle(Command::Model(ModelCommand::StopOpening)));
    assert!(stop.is_raised() && !next.is_raised());
    assert_eq!((source, &state.shared.settings.model), (ModelSource::BuiltIn, &ModelSource::BuiltIn));
    // The stopped opening ends late, and that does not end this one.
    state.receive(Event::Model(ModelEvent::Stopped));
    assert!(matches!(state.shared.model, Model::Opening { .. }));
    state.receive(Event::Model(ModelEvent::Opened(Box::new(model_info()))));
    assert!(
        state.shared.model_info().is_some()
            && state.handle(Command::Model(ModelCommand::StopOpening)).is_empty()
    );
}

#[test]
fn the_first_opening_can_be_stopped_too_and_leaves_no_model() {
    let mut state = AppState::new(Settings::default());
    let effects = state.begin();
    let (_, stop) = opening_of(&effects);
    assert!(state.handle(Command::Model(ModelCommand::StopOpening)).is_empty() && stop.is_raised());
    // Its last events come late.
    state.receive(Event::Model(ModelEvent::Opening { name: "Built-in".into(), fraction: 0.5 }));
    state.receive(Event::Model(ModelEvent::Stopped));
    assert!(matches!(state.shared.model, Model::Missing));
}
