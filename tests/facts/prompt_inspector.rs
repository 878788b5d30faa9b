//! The state behind the prompt inspector: edits of words, without a window.

use std::sync::Arc;

use app::features::command::Command;
use app::features::effect::Effect;
use app::features::film::FilmCommand;
use app::features::prompt::read_prompt::ReadPrompt;
use app::features::settings::Tab;
use app::features::state::AppState;
use app::features::words::{TokenRef, TokenStatus, WordsCommand};
use engine::prompt::{Mixed, TokenPlace};
use engine::recipe::Recipe;
use engine::session::{Event, InspectRequest, ModelEvent, Request};

use crate::support::app_state::{generate, opened, started, step};
use crate::support::models::model_info;
use crate::support::prompts::{HOSTILE_PROMPTS, edit, long_prompt};

/// A state with a prompt and edits of its words.
fn state_with(prompt: &str, edits: &[&str]) -> AppState {
    let mut state = opened();
    change(&mut state, |recipe| {
        recipe.prompt = prompt.into();
        recipe.edits = edits.iter().map(|written| edit(written)).collect();
    });
    state
}

fn change(state: &mut AppState, change: impl FnOnce(&mut Recipe)) {
    let mut recipe = state.shared.recipe.clone();
    change(&mut recipe);
    state.handle(Command::Edit(Box::new(recipe)));
}

fn retype(state: &mut AppState, prompt: &str) {
    change(state, |recipe| recipe.prompt = prompt.into());
}

fn ask(state: &mut AppState, command: WordsCommand) {
    state.handle(Command::Words(command));
}

fn edits(state: &AppState) -> Vec<String> {
    state.shared.recipe.edits.iter().map(ToString::to_string).collect()
}

fn at(position: usize) -> TokenStatus {
    TokenStatus::At(TokenRef { part: 0, place: TokenPlace { chunk: 0, position } })
}

#[test]
fn an_edit_and_the_choice_stay_at_their_word_while_somebody_types() {
    let mut state = state_with("a puppy", &["puppy=cat"]);
    assert_eq!(state.words.standings, [at(2)]);
    ask(&mut state, WordsCommand::Choose(Some(edit("puppy=").selector)));
    for prompt in ["a small puppy", "a small puppy, a puppy", "one small puppy, a puppy"] {
        retype(&mut state, prompt);
        assert_eq!(state.words.chosen, Some(state.shared.recipe.edits[0].selector.clone()), "{prompt}");
    }
    assert_eq!(edits(&state), ["puppy=cat"], "the second was typed behind it");
    retype(&mut state, "a puppy, one small puppy, a puppy");
    assert_eq!(edits(&state), ["puppy[1]=cat"], "and one before it");
    assert_eq!(state.words.chosen, Some(state.shared.recipe.edits[0].selector.clone()));
}

#[test]
fn an_edit_whose_word_is_gone_says_so_until_it_is_written_again() {
    let mut state = state_with("a puppy in the snow", &["puppy=cat", "snow=sand"]);
    retype(&mut state, "a dog in the snow");
    assert_eq!(state.words.standings, [TokenStatus::Gone, at(5)]);
    assert_eq!(edits(&state).len(), 2, "it is kept");
    retype(&mut state, "a puppy in the snow");
    assert_eq!(state.words.standings, [at(2), at(5)]);
}

#[test]
fn a_word_whose_turn_comes_later_is_not_gone() {
    let state = state_with("[cat:puppy:0.5]", &["puppy=skunk", "cat=dog", "owl=fox"]);
    assert_eq!(state.words.standings[0], TokenStatus::Later);
    assert!(matches!(state.words.standings[1], TokenStatus::At(_)));
    assert_eq!(state.words.standings[2], TokenStatus::Gone);
}

#[test]
fn words_of_parts_and_later_chunks_are_found() {
    let state = state_with("a cat AND a puppy :0.5", &["puppy=skunk"]);
    let stand = state.words.stands().next().expect("found");
    assert_eq!((stand.part, stand.place), (1, TokenPlace { chunk: 0, position: 2 }));
    let state = state_with("a cat BREAK a puppy", &["puppy=skunk"]);
    let stand = state.words.stands().next().expect("found");
    assert_eq!(stand.place, TokenPlace { chunk: 1, position: 2 });
}

#[test]
fn every_change_is_undone_and_a_drag_is_one_of_them() {
    let mut state = state_with("a puppy", &[]);
    change(&mut state, |recipe| recipe.edits = vec![edit("puppy=cat")]);
    ask(&mut state, WordsCommand::EndEdit);
    for scale in [1.1, 1.3, 1.6] {
        change(&mut state, |recipe| recipe.edits[0].scale = scale);
    }
    ask(&mut state, WordsCommand::EndEdit);
    change(&mut state, |recipe| recipe.mix.prompts.push(Mixed { prompt: "a cat".into(), weight: 0.5 }));
    ask(&mut state, WordsCommand::Undo);
    assert!(state.shared.recipe.mix.prompts.is_empty());
    ask(&mut state, WordsCommand::Undo);
    assert_eq!(edits(&state), ["puppy=cat"], "the drag went as a whole");
    ask(&mut state, WordsCommand::Undo);
    assert!(state.shared.recipe.edits.is_empty() && !state.words.can_undo());
    ask(&mut state, WordsCommand::Undo);
    for _ in 0..3 {
        ask(&mut state, WordsCommand::Redo);
    }
    assert_eq!(
        (edits(&state), state.shared.recipe.mix.prompts.len()),
        (vec!["puppy=cat, scale 1.6".to_owned()], 1)
    );
    ask(&mut state, WordsCommand::Undo);
    change(&mut state, |recipe| recipe.edits.clear());
    assert!(!state.words.can_redo(), "another way was taken");
}

#[test]
fn what_is_undone_stands_at_its_word_although_it_moved() {
    let mut state = state_with("a puppy", &[]);
    change(&mut state, |recipe| recipe.edits = vec![edit("puppy=cat")]);
    ask(&mut state, WordsCommand::EndEdit);
    change(&mut state, |recipe| recipe.edits.clear());
    retype(&mut state, "one puppy and a puppy");
    let moved = "one puppy and a puppy";
    ask(&mut state, WordsCommand::Undo);
    let stand = state.words.stands().next().expect("it is there");
    let token = state.prompts.token_at(stand).expect("a token");
    assert_eq!((&moved[token.range.clone()], state.shared.recipe.edits[0].selector.nth), ("puppy", 1));
}

#[test]
fn another_recipe_starts_a_new_edit_history() {
    let mut state = state_with("a puppy", &[]);
    change(&mut state, |recipe| recipe.edits = vec![edit("puppy=cat")]);
    change(&mut state, |recipe| {
        *recipe = Recipe { prompt: "an owl".into(), edits: vec![edit("owl=fox")], ..Recipe::default() };
    });
    assert_eq!(edits(&state), ["owl=fox"]);
    assert!(!state.words.can_undo());

    let mut state = state_with("a puppy", &[]);
    change(&mut state, |recipe| recipe.edits = vec![edit("puppy=cat")]);
    change(&mut state, |recipe| recipe.edits.clear());
    change(&mut state, |recipe| (recipe.prompt, recipe.steps) = ("an owl".into(), 30));
    assert!(!state.words.can_undo(), "it is another recipe, although it edits no word either");
}

#[test]
fn and_is_a_word_of_the_negative_prompt() {
    let mut state = state_with("a cat AND a puppy", &[]);
    change(&mut state, |recipe| recipe.negative_prompt = "a cat AND a puppy".into());
    let parts = |read: &Option<Arc<ReadPrompt>>| read.as_ref().map(|read| (read.parts.len(), read.used()));
    assert_eq!(parts(&state.prompts.prompt), Some((2, 4)));
    let (count, used) = parts(&state.prompts.negative_prompt).expect("read");
    assert!(count == 1 && used > 4, "{count} parts of {used} tokens");
}

#[test]
fn a_concept_is_saved_from_any_tab_and_not_with_another_model() {
    let save = |state: &mut AppState| {
        let command = WordsCommand::Save { edits: state.shared.recipe.edits.clone(), token: "<mine>".into() };
        state.handle(Command::Words(command))
    };
    let is_sent = |effects: &[Effect]| {
        matches!(
            effects,
            [.., Effect::Send(Request::Inspect { request: InspectRequest::EditedVectors { .. }, .. })]
        )
    };
    let mut state = state_with("a puppy", &["puppy=cat"]);
    state.shared.settings.window.tab = Tab::Concepts;
    state.shared.settings.window.right_folded = true;
    assert!(is_sent(&save(&mut state)));
    state.receive(Event::Model(ModelEvent::Opened(Box::new(model_info()))));
    assert_eq!(state.words.saving, None, "its model is gone");
    assert!(is_sent(&save(&mut state)));
    state.receive(Event::Model(ModelEvent::Failed { text: "It is broken".into() }));
    assert_eq!(state.words.saving, None);
}

#[test]
fn hostile_prompts_are_read_and_edited() {
    for prompt in HOSTILE_PROMPTS.map(str::to_owned).into_iter().chain([
        long_prompt(),
        "(".repeat(5000),
        "[a|".repeat(3000),
    ]) {
        let mut state = state_with(&prompt, &["a=b", "👩=cat", "\"\u{0}\"=cat"]);
        let words = state.prompts.tokenizer.clone().expect("words");
        let read = state.prompts.prompt.clone().expect("read");
        for piece in app::features::prompt::chip::chip_parts(&read, &words) {
            let app::features::prompt::chip::TokenChipPart::Token(chip) = piece else { continue };
            assert!(!chip.label.is_empty());
            let stand = TokenRef { part: chip.part, place: chip.place };
            if chip.place.position < 30 {
                let anchor = state.prompts.selector_at(stand).expect("an anchor");
                assert_eq!(state.prompts.stand_of(&anchor).map(|it| it.part), Some(chip.part), "{anchor:?}");
            }
        }
        retype(&mut state, &format!("a {prompt} a"));
    }
}

#[test]
fn the_chips_are_those_of_the_step_of_the_film_that_is_looked_at() {
    let mut state = state_with("a [puppy:cat:5] at night", &["cat=fox"]);
    let says = |state: &AppState, word: &str| {
        let read = state.prompts.prompt.as_ref().expect("it is read");
        read.parts[0].1.tokens().any(|(_, token)| &read.prompt[token.range.clone()] == word)
    };
    assert!(says(&state, "puppy") && !says(&state, "cat"));
    assert_eq!(state.words.standings, [TokenStatus::Later]);
    let (job, ..) = generate(&mut state);
    started(&mut state, job);
    // A1111 counts so that step 5, from 0, is the first one's still.
    for (step_shown, word) in [(5, "puppy"), (6, "cat"), (19, "cat")] {
        step(&mut state, job, step_shown);
        state.handle(Command::Film(FilmCommand::Hover(Some(step_shown))));
        assert!(says(&state, word), "{word} at step {step_shown}");
    }
    assert_eq!(state.words.standings, [at(2)]);
    let read = state.prompts.prompt.as_ref().expect("it is read");
    assert_eq!((read.steps.clone(), read.changes), (6..=19, true));
    state.handle(Command::Film(FilmCommand::Hover(None)));
    assert!(says(&state, "puppy"));
    retype(&mut state, "a [puppy]");
    assert!(!state.prompts.prompt.as_ref().expect("it is read").changes, "brackets that only weigh");
}
