//! The library in the window: its state and its tab.

use std::path::PathBuf;
use std::sync::Arc;

use app::features::command::Command;
use app::features::drop::DropCommand;
use app::features::effect::{Effect, Task};
use app::features::event::AppEvent;
use app::features::models::{LibraryCommand, ModelCommand};
use app::features::settings::Settings;
use app::features::state::AppState;
use app::library::{Entry, Folder, Format, Layout, Library, LibraryRoots, ScanCommand};
use egui::accesskit::{Role, Toggled};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use engine::checkpoint::{ModelSource, TensorDtype, WeightKind};
use engine::pipeline::ModelInfo;
use engine::session::{Event, JobEvent, ModelEvent, Request};

use crate::support::folders::folder;
use crate::support::library::{SD1, put};
use crate::support::models::model_info;
use crate::support::waiting::next;
use crate::support::window_harness::TestWindow;

/// `count` models of SD 1.x, and one that Tidepool cannot open.
pub fn library(count: usize) -> Library {
    let model = |at: usize| Entry {
        name: format!("anime/night-{at:04}"),
        source: ModelSource::File(format!("/models/anime/night-{at:04}.safetensors").into()),
        kind: WeightKind::StableDiffusion1,
        format: Format::Safetensors,
        bytes: 2_132_625_894,
        precision: Some(TensorDtype::F16),
        sha256: Some(format!("{at:04x}{}", "c".repeat(60))),
        root: "/models".into(),
        refusal: None,
        remark: None,
        hashed_files: Vec::new(),
    };
    let mut entries: Vec<_> = (0..count).map(model).collect();
    entries.push(Entry {
        name: "juggernaut".into(),
        source: ModelSource::File("/models/juggernaut.safetensors".into()),
        kind: WeightKind::Sdxl,
        sha256: None,
        refusal: Some("This is an SDXL model; Tidepool reads SD 1.x and 2.x".into()),
        ..model(0)
    });
    let folder =
        Folder { path: "/models".into(), layout: Layout::Plain, count: entries.len(), problem: None };
    Library { entries, folders: vec![folder], ..Library::default() }
}

fn scanned(effects: &[Effect]) -> Option<&LibraryRoots> {
    effects.iter().find_map(|effect| match effect {
        Effect::Library(ScanCommand::Scan(shelves)) => Some(shelves),
        _ => None,
    })
}

#[test]
fn folders_are_added_once_looked_through_and_remembered_until_removed() {
    let mut state = AppState::new(Settings { hub_cache_hidden: true, ..Settings::default() });
    assert_eq!(scanned(&state.begin()), Some(&LibraryRoots::default()), "as soon as the window opens");
    let asked = state.handle(Command::Library(LibraryCommand::AddFolder));
    assert!(matches!(asked[..], [Effect::Task(Task::PickLibraryFolder)]));
    for _ in 0..2 {
        let effects = state.receive(AppEvent::LibraryFolderPicked("/models".into()));
        assert_eq!(scanned(&effects).expect("a scan").folders, [PathBuf::from("/models")]);
    }
    assert_eq!(state.shared.settings_to_save().model_folders, [PathBuf::from("/models")]);
    assert!(scanned(&state.handle(Command::Library(LibraryCommand::Rescan))).is_some());
    let effects = state.handle(Command::Library(LibraryCommand::RemoveFolder("/models".into())));
    assert_eq!(scanned(&effects), Some(&LibraryRoots::default()));
    assert!(state.shared.settings_to_save().model_folders.is_empty());
}

#[test]
fn the_hugging_face_cache_can_be_left_out() {
    let mut state = AppState::new(Settings::default());
    let hub = scanned(&state.begin()).expect("a scan").hub.clone().expect("where it would be");
    let effects = state.handle(Command::Library(LibraryCommand::RemoveFolder(hub.clone())));
    assert_eq!(scanned(&effects).expect("a scan").hub, None);
    assert!(state.shared.settings_to_save().hub_cache_hidden);
    let effects = state.receive(AppEvent::LibraryFolderPicked(hub.clone()));
    assert_eq!(scanned(&effects).expect("a scan").hub, Some(hub), "added again it is itself");
}

#[test]
fn the_models_opened_last_are_remembered_the_latest_first() {
    let mut state = AppState::new(Settings::default());
    let file = |at: usize| ModelSource::File(format!("/models/{at}.ckpt").into());
    for at in [1, 2, 3, 1] {
        state.handle(Command::Model(ModelCommand::Open(file(at))));
    }
    let settings = state.shared.settings_to_save();
    assert_eq!(settings.model, file(1));
    assert_eq!(settings.recent_models[..3], [file(1), file(3), file(2)]);
    (0..100).for_each(|at| drop(state.handle(Command::Model(ModelCommand::Open(file(at))))));
    assert!(state.shared.settings_to_save().recent_models.len() < 20);
}

#[test]
fn nothing_is_hashed_while_a_model_opens_or_a_picture_is_made() {
    let mut state = AppState::new(Settings::default());
    state.begin();
    assert!(state.is_busy(), "the model is opening");
    state.receive(Event::Model(ModelEvent::Opened(Box::new(model_info()))));
    assert!(!state.is_busy());
    state.handle(Command::Generate);
    assert!(state.is_busy());
    let id = state.runs.current().expect("a run").job.id;
    state.receive(Event::Job { id, event: JobEvent::Stopped });
    assert!(!state.is_busy());
    for paused in [true, false] {
        state.handle(Command::Library(LibraryCommand::PauseHashing(paused)));
        assert_eq!(state.is_busy(), paused);
    }
}

#[test]
fn a_folder_with_models_in_it_is_added_when_it_is_dropped() {
    let place = folder();
    put(place.path().join("sd/models/Stable-diffusion/dreams.safetensors"), SD1);
    put(place.path().join("half/unet/diffusion_pytorch_model.safetensors"), SD1);
    for (name, is_shelf) in [("sd", true), ("sd/models/Stable-diffusion", true), ("half", false)] {
        let path = place.path().join(name);
        let mut state = AppState::new(Settings::default());
        let (tell, told) = crossbeam_channel::unbounded();
        let effects = state.handle(Command::Drop(DropCommand::Files(vec![path.clone()])));
        let [Effect::Task(task)] = &effects[..] else { panic!("{effects:?}") };
        app::window::tasks::run(task.clone(), move |news| drop(tell.send(news)));
        let news = next(&told);
        let effects = state.receive(news);
        assert_eq!(scanned(&effects).is_some_and(|shelves| shelves.folders == [path]), is_shelf, "{name}");
    }
}

fn test_window(library: Library) -> TestWindow {
    let builder = Harness::builder().with_size([1440.0, 900.0]);
    let mut window = TestWindow::opened(builder, Settings::default());
    window.harness.state_mut().state.receive(AppEvent::Library(Arc::new(library)));
    window.harness.run();
    window
}

fn is_marked(window: &TestWindow, name: &str) -> bool {
    window.harness.get_by_label(name).accesskit_node().toggled() == Some(Toggled::True)
}

#[test]
fn a_click_opens_a_model_and_the_one_in_use_is_marked() {
    let mut window = test_window(library(3));
    assert!(is_marked(&window, "Built-in") && !is_marked(&window, "anime/night-0001"));
    window.requests.try_iter().for_each(drop);
    window.harness.get_by_label("anime/night-0001").click();
    window.harness.step();
    let source = ModelSource::File("/models/anime/night-0001.safetensors".into());
    let asked = window.requests.try_iter().next().expect("a request");
    assert!(matches!(asked, Request::OpenModel { source: asked, .. } if asked == source));
    let opening = ModelEvent::Opening { name: "night-0001".into(), fraction: 0.4 };
    window.send(Event::Model(opening));
    assert!(is_marked(&window, "anime/night-0001"));
    window.harness.get_by_label("anime/night-0001").click();
    window.harness.step();
    assert!(window.requests.try_iter().next().is_none(), "it is opening already");
    window.send(Event::Model(ModelEvent::Failed { text: "The weight file is damaged".into() }));
    window.harness.run();
    window.harness.get_all_by_label("The weight file is damaged").next().expect("said above the list");
    window.harness.get_by_label("anime/night-0001").click();
    window.harness.step();
    let again = window.requests.try_iter().next();
    assert!(matches!(again, Some(Request::OpenModel { .. })), "it may be tried again");
}

#[test]
fn what_is_not_read_is_listed_and_cannot_be_clicked() {
    let mut window = test_window(library(1));
    window.requests.try_iter().for_each(drop);
    let row = window.harness.get_by_label("juggernaut");
    assert!(row.accesskit_node().is_disabled());
    row.click();
    window.harness.run();
    assert!(window.requests.try_iter().next().is_none());
}

#[test]
fn the_search_goes_by_words_of_name_kind_and_hash() {
    let mut window = test_window(library(30));
    for (search, found) in [
        ("night 0007", &["anime/night-0007"][..]),
        ("sdxl", &["juggernaut"]),
        ("JUGGER", &["juggernaut"]),
        ("0001cccc", &["anime/night-0001"]),
        ("built", &["Built-in"]),
        ("nowhere", &[]),
    ] {
        window.harness.state_mut().state.handle(Command::Library(LibraryCommand::Search(search.into())));
        window.harness.run();
        let rows: Vec<_> = window
            .harness
            .query_all_by_role(Role::RadioButton)
            .filter_map(|row| row.accesskit_node().label())
            .collect();
        let rows: Vec<_> = rows
            .iter()
            .filter(|row| row.contains("night") || row.contains("jugger") || *row == "Built-in")
            .collect();
        assert_eq!(rows, found.iter().collect::<Vec<_>>(), "{search}");
    }
    let field = window.harness.get_by_label("Search models");
    field.focus();
    field.type_text("x");
    window.harness.run();
    assert_eq!(window.harness.state().state.models.search, "nowherex");
}

#[test]
fn a_vae_that_does_not_fit_is_removed_again_and_the_model_stays() {
    let mut state = AppState::new(Settings::default());
    state.begin();
    let built_in = ModelInfo { name: ModelSource::BuiltIn.name(), ..model_info() };
    let opened = || Event::Model(ModelEvent::Opened(Box::new(built_in.clone())));
    state.receive(opened());
    state.handle(Command::Model(ModelCommand::UseVae(Some("/vae/sdxl.safetensors".into()))));
    let effects = state.receive(Event::Model(ModelEvent::Failed { text: "It has 8 channels".into() }));
    let again =
        effects.iter().any(|effect| matches!(effect, Effect::Send(Request::OpenModel { vae: None, .. })));
    assert!(again && state.shared.settings.vae.is_none());
    state.receive(opened());
    assert_eq!(state.shared.warning.as_deref(), Some("It has 8 channels"));
    assert!(state.shared.model_info().is_some());
}

#[test]
fn what_was_ignored_in_a_model_is_said_in_its_tab() {
    let mut window = test_window(library(1));
    let note = "1 weight is not part of the model and was ignored (tide): /models/a.ckpt";
    let opened = ModelInfo { notes: vec![note.into()], ..model_info() };
    let event = Event::Model(ModelEvent::Opened(Box::new(opened)));
    window.harness.state_mut().state.receive(AppEvent::Engine(event));
    window.harness.run();
    window.harness.get_by_label(note);
}

#[test]
fn of_two_thousand_models_only_those_in_sight_are_drawn() {
    let window = test_window(library(2000));
    let drawn = window.harness.query_all_by_role(Role::RadioButton).count();
    assert!((5..40).contains(&drawn), "{drawn}");
}

#[test]
fn a_window_finds_the_models_of_its_folders_by_itself() {
    let place = folder();
    put(place.path().join("dreams.safetensors"), SD1);
    let settings = Settings { model_folders: vec![place.path().to_owned()], ..Settings::default() };
    let mut window = TestWindow::opened(Harness::builder().with_size([1440.0, 900.0]), settings);
    window.until_label("dreams");
}

#[test]
fn a_vae_replaces_the_models_own_and_is_removed_again() {
    let mut state = AppState::new(Settings::default());
    let path = PathBuf::from("/models/VAE/sharp.safetensors");
    for vae in [Some(path), None] {
        let effects = state.handle(Command::Model(ModelCommand::UseVae(vae.clone())));
        let asked = effects.iter().find_map(|effect| match effect {
            Effect::Send(Request::OpenModel { vae, .. }) => Some(vae.clone()),
            _ => None,
        });
        assert_eq!(asked, Some(vae.clone()));
        assert_eq!(state.shared.settings_to_save().vae, vae);
    }
}
