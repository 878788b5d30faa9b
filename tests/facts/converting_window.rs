//! The window offers to convert a model that lies in a pickle.

use std::path::{Path, PathBuf};

use app::features::command::Command;
use app::features::convert::{Conversion, ConversionReport, ConvertCommand};
use app::features::effect::{Effect, Task};
use app::features::errors::ErrorSlot;
use app::features::event::AppEvent;
use app::features::settings::Settings;
use app::features::state::AppState;
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use engine::checkpoint::ModelSource;
use engine::session::{Event, ModelEvent, Request};

use crate::support::folders::folder;
use crate::support::models::model_info;
use crate::support::weight_files::{Small, save_torch_zip};
use crate::support::window_harness::TestWindow;

fn opened(model: &Path) -> AppState {
    let mut state =
        AppState::new(Settings { model: ModelSource::File(model.to_owned()), ..Settings::default() });
    state.begin();
    state.receive(Event::Model(ModelEvent::Opened(Box::new(model_info()))));
    state
}

fn command(state: &mut AppState, command: ConvertCommand) -> Vec<Effect> {
    state.handle(Command::Convert(command))
}

#[test]
fn a_pickle_in_use_is_offered_to_be_converted_and_declining_is_remembered() {
    let pickle = PathBuf::from("/models/old.ckpt");
    let mut state = opened(&pickle);
    assert_eq!(state.conversion.offered_conversion(&state.shared), Some(pickle.clone()));
    command(&mut state, ConvertCommand::Decline);
    assert_eq!(state.conversion.offered_conversion(&state.shared), None);
    assert_eq!(state.shared.settings_to_save().kept_pickles, [pickle]);
    let state = opened(Path::new("/models/new.safetensors"));
    assert_eq!(state.conversion.offered_conversion(&state.shared), None);
}

#[test]
fn what_was_converted_can_be_used_at_once() {
    let mut state = opened(Path::new("/models/old.ckpt"));
    let effects = command(&mut state, ConvertCommand::Start);
    assert!(matches!(&effects[..], [Effect::Task(Task::Convert { file, .. })] if file.ends_with("old.ckpt")));
    state.receive(AppEvent::Conversion(ConversionReport::Progress(0.4)));
    assert!(matches!(state.conversion, Conversion::Running { fraction, .. } if fraction == 0.4));
    let file = PathBuf::from("/models/old.safetensors");
    let effects = state.receive(AppEvent::Conversion(ConversionReport::Ended(Ok(file.clone()))));
    assert!(matches!(&effects[..], [Effect::Library(_)]), "the list is made anew");
    assert_eq!(state.conversion.offered_conversion(&state.shared), None);
    let effects = command(&mut state, ConvertCommand::UseIt);
    let asked = effects.iter().any(|effect| {
        matches!(effect, Effect::Send(Request::OpenModel { source: ModelSource::File(to_open), .. }) if *to_open == file)
    });
    assert!(asked);
}

#[test]
fn a_conversion_that_fails_says_why_and_one_that_is_cancelled_says_nothing() {
    let mut state = opened(Path::new("/models/old.ckpt"));
    command(&mut state, ConvertCommand::Start);
    state.receive(AppEvent::Conversion(ConversionReport::Ended(Err("No room".into()))));
    assert_eq!(state.shared.error_at(ErrorSlot::Model).as_deref(), Some("No room"));

    let effects = command(&mut state, ConvertCommand::Start);
    assert_eq!(state.shared.error_at(ErrorSlot::Model), None);
    command(&mut state, ConvertCommand::Cancel);
    assert!(matches!(&effects[..], [Effect::Task(Task::Convert { stop, .. })] if stop.is_raised()));
    state.receive(AppEvent::Conversion(ConversionReport::Ended(Err("Stopped".into()))));
    assert_eq!(state.shared.error_at(ErrorSlot::Model), None);
    assert!(state.conversion.offered_conversion(&state.shared).is_some(), "it can be asked for again");
}

#[test]
fn a_click_writes_the_file_beside_the_pickle() {
    let place = folder();
    let pickle = place.path().join("small.ckpt");
    save_torch_zip(&pickle, &Small::new().original);
    let settings = Settings { model: ModelSource::File(pickle), ..Settings::default() };
    let mut window = TestWindow::opened(Harness::builder().with_size([1440.0, 900.0]), settings);
    window.harness.get_by_label("Convert").click();
    window.until_label("Use it");
    assert!(window.harness.query_all_by_label_contains("small.safetensors").next().is_some());
    assert!(place.path().join("small.safetensors").is_file());
}
