//! Concepts in the window: how they are loaded, what a click does, and what is reported about unusable ones.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use app::features::command::Command;
use app::features::concepts::ConceptCommand;
use app::features::concepts::watch::{ConceptsRead, FolderScan};
use app::features::effect::{Effect, Task};
use app::features::event::AppEvent;
use app::features::prompt::prompt_words::with_word;
use app::features::settings::{Settings, Tab};
use app::features::state::AppState;
use app::library::Library;
use egui::accesskit::Role;
use egui_kittest::kittest::Queryable;
use engine::concepts::Concept;
use engine::images::{Pixels, Provenance, write_png};
use engine::recipe::Recipe;
use engine::session::{Event, ModelEvent, Request};

use crate::support::cpu_time::assert_cpu_time_below;
use crate::support::folders::folder;
use crate::support::models::{concept, model_info, text_width};
use crate::support::numbers::golden_folder;
use crate::support::waiting::wait_until;
use crate::support::window_harness::{TestWindow, drop_files, until, window_builder};

fn opened() -> AppState {
    let settings = Settings { concept_folders: Some(vec!["/watched".into()]), ..Settings::default() };
    let mut state = AppState::new(settings);
    state.begin();
    state.receive(Event::Model(ModelEvent::Opened(Box::new(model_info()))));
    state
}

fn with_prompt(state: &mut AppState, prompt: &str) {
    let recipe = Recipe { prompt: prompt.into(), ..state.shared.recipe.clone() };
    state.handle(Command::Edit(Box::new(recipe)));
}

fn chosen(concepts: impl IntoIterator<Item = Concept>) -> AppEvent {
    AppEvent::ConceptsChosen(ConceptsRead { read: concepts.into_iter().collect(), ..ConceptsRead::default() })
}

fn golden_file(name: &str) -> PathBuf {
    golden_folder().join("data/checkpoints").join(name)
}

#[test]
fn a_concept_that_comes_counts_in_the_prompt_at_once_and_goes_with_the_next_picture() {
    let mut state = opened();
    with_prompt(&mut state, "a <frost> tree");
    let used = |state: &AppState| state.prompts.prompt.as_ref().map(|read| read.used());
    let plain = used(&state);
    state.receive(chosen([concept("frost.bin", "<frost>", 40)]));
    assert_eq!(used(&state), Some(42));
    let effects = state.handle(Command::Generate);
    let sent = effects.iter().find_map(|effect| match effect {
        Effect::Send(Request::Generate { concepts, .. }) => Some(concepts.clone()),
        _ => None,
    });
    assert_eq!(sent, Some(state.concepts.set.clone()));
    state.handle(Command::Concept(ConceptCommand::Forget("/concepts/frost.bin".into())));
    assert_eq!(used(&state), plain);
}

#[test]
fn a_concept_survives_a_change_of_model_and_waits_where_it_does_not_fit() {
    let mut state = opened();
    state.receive(chosen([concept("frost.bin", "<frost>", 2)]));
    with_prompt(&mut state, "<frost>");
    let splices =
        |state: &AppState| state.prompts.prompt.as_ref().map(|read| read.parts[0].1.concepts().count());
    assert_eq!(splices(&state), Some(1));
    for (text_width, fits) in [(768, 0), (text_width(), 1)] {
        let other = engine::pipeline::ModelInfo { text_width, ..model_info() };
        state.receive(Event::Model(ModelEvent::Opened(Box::new(other))));
        assert_eq!((state.concepts.set.iter().len(), splices(&state)), (1, Some(fits)));
    }
}

#[test]
fn chosen_files_are_remembered_and_files_of_watched_folders_are_not() {
    let mut state = opened();
    let mut watched = concept("a.bin", "<a>", 1);
    watched.source = "/watched/a.bin".into();
    state.receive(chosen([watched.clone(), concept("b.bin", "<b>", 1)]));
    assert_eq!(state.shared.settings_to_save().concept_files, [PathBuf::from("/concepts/b.bin")]);
    let effects = AppState::new(state.shared.settings_to_save()).begin();
    let asks = |wanted: fn(&Effect) -> bool| effects.iter().any(wanted);
    assert!(asks(|effect| matches!(effect, Effect::Task(Task::ReadConcepts(files)) if files.len() == 1)));
    assert!(asks(|effect| matches!(effect, Effect::WatchConcepts(folders) if folders.len() == 1)));

    let gone = vec![watched.source, "/concepts/b.bin".into()];
    state.receive(AppEvent::Concepts(ConceptsRead { gone, ..ConceptsRead::default() }));
    let left: Vec<_> = state.concepts.set.iter().map(|concept| concept.token.as_str()).collect();
    assert_eq!(left, ["<b>"], "it was chosen by itself");
}

#[test]
fn the_folders_of_other_programs_are_watched_with_ours() {
    let mut state = opened();
    let library = Library { concept_folders: vec!["/webui/embeddings".into()], ..Library::default() };
    let effects = state.receive(AppEvent::Library(library.clone().into()));
    let both = ["/watched", "/webui/embeddings"].map(PathBuf::from);
    assert!(matches!(&effects[..], [Effect::WatchConcepts(folders)] if *folders == both), "{effects:?}");
    assert!(state.receive(AppEvent::Library(library.into())).is_empty(), "nothing new");
    let mut theirs = concept("a.bin", "<a>", 1);
    theirs.source = "/webui/embeddings/a.bin".into();
    state.receive(AppEvent::Concepts(ConceptsRead { read: vec![theirs], ..ConceptsRead::default() }));
    assert!(state.shared.settings_to_save().concept_files.is_empty());
}

#[test]
fn a_file_that_is_refused_says_why_until_it_is_dismissed_or_mended() {
    let mut state = opened();
    let file = PathBuf::from("/concepts/a.bin");
    let refused = || ConceptsRead {
        refused: vec![(file.clone(), "This is no concept: it is empty".into())],
        ..ConceptsRead::default()
    };
    state.receive(AppEvent::ConceptsChosen(refused()));
    assert_eq!(state.concepts.refused.len(), 1);
    assert_eq!(state.shared.settings.window.tab, Tab::Concepts, "what was asked for is shown");
    assert!(state.shared.settings_to_save().concept_files.is_empty());
    state.handle(Command::Concept(ConceptCommand::Forget(file.clone())));
    assert!(state.concepts.refused.is_empty());
    state.receive(AppEvent::ConceptsChosen(refused()));
    state.receive(chosen([concept("a.bin", "<a>", 1)]));
    assert!(state.concepts.refused.is_empty() && !state.concepts.set.is_empty());
}

#[test]
fn a_watched_folder_reports_new_changed_and_removed_files() {
    let place = folder();
    let sub = place.path().join("birds/more");
    fs::create_dir_all(&sub).expect("makes folders");
    let folders = [place.path().to_owned(), place.path().join("nowhere")];
    let mut scan = FolderScan::default();
    assert!(scan.changes(&folders).is_empty());
    let [frost, later] = [place.path().join("frost.bin"), sub.join("later.pt")];
    fs::copy(golden_file("frost.bin"), &frost).expect("copies");
    fs::write(&later, "").expect("writes");
    fs::write(place.path().join("notes.txt"), "no concept").expect("writes");
    fs::write(place.path().join(".hidden.pt"), "no concept").expect("writes");
    let concepts = scan.changes(&folders);
    assert_eq!((concepts.read.len(), concepts.refused.len(), concepts.gone.len()), (1, 1, 0));
    assert!(concepts.refused[0].1.contains("empty"), "{}", concepts.refused[0].1);
    assert!(scan.changes(&folders).is_empty(), "nothing changed");
    fs::copy(golden_file("a1111-zip.pt"), &later).expect("copies");
    let concepts = scan.changes(&folders);
    assert_eq!((concepts.read.len(), concepts.read[0].token.as_str()), (1, "later"));
    fs::remove_file(&frost).expect("removes");
    assert_eq!(scan.changes(&folders).gone, [frost]);
    assert_eq!(scan.changes(&[]).gone, [later], "a folder that is watched no longer");
}

#[test]
fn a_word_is_written_apart_from_its_neighbours() {
    for (text, at, written) in [
        ("", 0, "<a>"),
        ("fox", 9, "fox <a>"),
        ("fox ", 4, "fox <a>"),
        ("a fox", 1, "a <a> fox"),
        ("a, b", 1, "a <a>, b"),
        ("(fox)", 1, "(<a> fox)"),
        ("ñandú", 5, "ñandú <a>"),
        ("ñandú", 2, "ña <a> ndú"),
    ] {
        let (got, cursor) = with_word(text, at, "<a>");
        assert_eq!(got, written);
        assert!(got.chars().take(cursor).collect::<String>().ends_with("<a>"), "{cursor} in {got}");
    }
}

#[test]
fn a_recipe_that_is_read_says_which_concept_is_missing() {
    let mut window = TestWindow::opened(window_builder(), Settings::default());
    let place = folder();
    let file = place.path().join("owl.png");
    let concepts = vec![concept("frost.bin", "<frost>", 2).reference()];
    let recipe = Recipe { prompt: "an owl, <frost>".into(), ..Recipe::default() };
    let provenance = Provenance { concepts, ..Provenance::new("Built-in", recipe) };
    write_png(&file, &Pixels::new(8, 8, vec![7; 192]), &provenance).expect("writes");
    drop_files(&mut window.harness, &[&file]);
    until(&mut window.harness, "the question", |app| app.state.dropped.is_some());
    window.harness.run();
    assert!(window.harness.query_all_by_label_contains("(file frost)").next().is_some());
    window.harness.get_by_label("Use its settings").click();
    window.harness.run();
    assert!(
        window.harness.state().state.shared.warning.as_ref().is_some_and(|text| text.contains("<frost>"))
    );
}

#[test]
fn dropped_files_go_where_they_belong() {
    let mut window = TestWindow::opened(window_builder(), Settings::default());
    let place = folder();
    let broken = place.path().join("broken.pt");
    fs::write(&broken, "<!DOCTYPE html><html>").expect("writes");
    let (frost, wide) = (golden_file("frost.bin"), golden_file("wide.bin"));
    drop_files(&mut window.harness, &[&frost, &broken, &wide]);
    until(&mut window.harness, "the concepts", |app| app.state.concepts.set.iter().len() == 2);
    window.harness.run();
    window.harness.get_by_label("Insert <frost>");
    assert_eq!(window.harness.query_all_by_label_contains("web page").count(), 2, "here and below");
    window.harness.get_by_label("Remove <frost>").click();
    window.harness.run();
    assert!(window.harness.query_by_label("Insert <frost>").is_none());

    window.requests.try_iter().for_each(drop);
    drop_files(&mut window.harness, &[&golden_file("state-zip.ckpt")]);
    let is_asked = |window: &TestWindow| {
        window.requests.try_iter().any(|request| matches!(request, Request::OpenModel { .. }))
    };
    wait_until("the opening of the checkpoint", || {
        window.harness.step();
        is_asked(&window)
    });
}

#[test]
fn a_dropped_folder_of_concepts_is_watched() {
    let mut window = TestWindow::opened(window_builder(), Settings::default());
    let place = folder();
    fs::copy(golden_file("frost.bin"), place.path().join("frost.bin")).expect("copies");
    drop_files(&mut window.harness, &[place.path()]);
    until(&mut window.harness, "the concept", |app| !app.state.concepts.set.is_empty());
    let settings = &window.harness.state().state.shared.settings;
    assert_eq!(settings.concept_folders(), [place.path()]);
    assert_eq!((settings.window.tab, settings.model_folders.len()), (Tab::Concepts, 0));
}

#[test]
fn a_click_writes_the_word_where_the_cursor_was_and_the_next_letter_follows_it() {
    let mut window = TestWindow::opened(window_builder(), Settings::default());
    drop_files(&mut window.harness, &[&golden_file("frost.bin")]);
    until(&mut window.harness, "the concept", |app| !app.state.concepts.set.is_empty());
    window.harness.run();
    let type_into = |window: &mut TestWindow, field: &str, text: &str| {
        window.harness.get_by_role_and_label(Role::MultilineTextInput, field).focus();
        window.harness.run();
        window.harness.get_by_role_and_label(Role::MultilineTextInput, field).type_text(text);
        window.harness.run();
    };
    type_into(&mut window, "Prompt", "a fox");
    window.harness.get_by_label("Insert <frost>").click();
    window.harness.run();
    window.harness.get_by_role_and_label(Role::MultilineTextInput, "Prompt").type_text(", at night");
    window.harness.run();
    assert_eq!(window.harness.state().state.shared.recipe.prompt, "a fox <frost>, at night");
    type_into(&mut window, "Negative prompt", "fog");
    window.harness.get_by_label("Insert <frost>").click();
    window.harness.run();
    assert_eq!(window.harness.state().state.shared.recipe.negative_prompt, "fog <frost>");
}

#[test]
fn a_word_that_is_nearly_a_concept_can_be_corrected_by_a_click() {
    let mut window = TestWindow::opened(window_builder(), Settings::default());
    drop_files(&mut window.harness, &[&golden_file("frost.bin")]);
    until(&mut window.harness, "the concept", |app| !app.state.concepts.set.is_empty());
    with_prompt(&mut window.harness.state_mut().state, "a <forst> tree");
    window.harness.run();
    window.harness.get_by_label("Use <frost>").click();
    window.harness.run();
    assert_eq!(window.harness.state().state.shared.recipe.prompt, "a <frost> tree");
    assert!(window.harness.query_by_label("Use <frost>").is_none());
}

#[test]
fn a_watched_folder_is_read_by_the_window_itself() {
    let place = folder();
    fs::copy(golden_file("frost.bin"), place.path().join("frost.bin")).expect("copies");
    let settings = Settings { concept_folders: Some(vec![place.path().to_owned()]), ..Settings::default() };
    let mut window = TestWindow::opened(window_builder(), settings);
    until(&mut window.harness, "the concept", |app| !app.state.concepts.set.is_empty());
    fs::remove_file(place.path().join("frost.bin")).expect("removes");
    until(&mut window.harness, "its end", |app| app.state.concepts.set.is_empty());
    window.harness.run();
    assert!(!window.harness.ctx.has_requested_repaint(), "watching does not keep the window awake");
}

#[test]
fn with_a_thousand_concepts_a_letter_draws_only_those_in_sight() {
    let settings = Settings {
        window: app::features::settings::WindowLayout { tab: Tab::Concepts, ..Default::default() },
        ..Settings::default()
    };
    let mut window = TestWindow::opened(window_builder(), settings);
    let thousand = (0..1000).map(|at| concept(&format!("style-{at}.pt"), &format!("<style-{at}>"), 2));
    window.harness.state_mut().state.receive(chosen(thousand));
    with_prompt(&mut window.harness.state_mut().state, &"<style-7>, a fox <stile-3> ".repeat(8));
    window.harness.run();
    window.harness.get_by_role_and_label(Role::MultilineTextInput, "Prompt").focus();
    window.harness.run();
    window.harness.get_by_role_and_label(Role::MultilineTextInput, "Prompt").type_text("a");
    assert_cpu_time_below(Duration::from_secs(2), "a letter with 1,000 concepts", || {
        window.harness.run_steps(2);
    });
    let drawn = window.harness.query_all_by_label_contains("Insert <style-").count();
    assert!((1..40).contains(&drawn), "{drawn} of 1,000 concepts are drawn");
}
