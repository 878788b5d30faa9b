//! The text bench in the window: chips under the prompt, and what is done with them.

use std::time::{Duration, Instant};

use app::app::TidepoolApp;
use app::command::{Command, Effect, WordsWish};
use app::problems::Place;
use app::read_prompt::ReadPrompt;
use app::settings::{Settings, Tab, WindowLayout};
use egui::accesskit::Role;
use egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable;
use egui_kittest::{Harness, HarnessBuilder};
use engine::recipe::Recipe;
use engine::session::{Event, Look, Request, Seen};
use engine::text::{LongPrompt, MixWay, Weights};

use crate::support::app_state::opened;
use crate::support::fake_answers::stages;
use crate::support::prompts::{HOSTILE, edit, long};
use crate::support::window_harness::{Desk, look_asked};

/// Tall enough for the whole tab, and with tofu where this machine has no letters.
fn easel() -> HarnessBuilder<TidepoolApp> {
    Harness::builder().with_size([1280.0, 1500.0]).allow_missing_glyphs()
}

fn desk(prompt: &str) -> Desk {
    let last_recipe = Recipe { prompt: prompt.into(), ..Recipe::default() };
    let window = WindowLayout { tab: Tab::Words, ..WindowLayout::default() };
    Desk::opened(easel(), Settings { last_recipe, window, ..Settings::default() })
}

fn recipe(desk: &Desk) -> &Recipe {
    &desk.harness.state().state.recipe
}

fn edits(desk: &Desk) -> Vec<String> {
    recipe(desk).edits.iter().map(ToString::to_string).collect()
}

fn change(desk: &mut Desk, change: impl FnOnce(&mut Recipe)) {
    let mut recipe = recipe(desk).clone();
    change(&mut recipe);
    desk.press(Command::Edit(Box::new(recipe)));
    desk.harness.run();
}

fn click(desk: &mut Desk, label: &str) {
    desk.harness.get_by_label(label).click();
    desk.harness.run();
}

fn type_into(desk: &mut Desk, role: Role, name: &str, text: &str) {
    desk.harness.get_by_role_and_label(role, name).focus();
    desk.harness.run();
    desk.harness.get_by_role_and_label(role, name).type_text(text);
    desk.harness.run();
}

fn put_in(desk: &mut Desk, text: &str, how: &str) {
    type_into(desk, Role::TextInput, "Words to put in", text);
    click(desk, how);
}

#[test]
fn a_click_on_a_chip_opens_its_word_and_the_word_becomes_another() {
    let last_recipe = Recipe { prompt: "a puppy in the snow".into(), ..Recipe::default() };
    let mut desk = Desk::opened(easel(), Settings { last_recipe, ..Settings::default() });
    desk.harness.run();
    click(&mut desk, "puppy, token 2");
    assert_eq!(desk.harness.state().state.settings.window.tab, Tab::Words);
    put_in(&mut desk, "cat", "Replace");
    assert_eq!(edits(&desk), ["puppy=cat"]);
    put_in(&mut desk, "skunk", "Blend in");
    assert_eq!(edits(&desk), ["puppy=0.5*cat+0.5*skunk"]);
    put_in(&mut desk, "golden", "Blend in");
    desk.harness.get_by_label_contains("tokens here: their mean is used");
    click(&mut desk, "Take golden out");
    assert_eq!(edits(&desk), ["puppy=0.33*cat+0.33*skunk"]);
    put_in(&mut desk, "king - man + woman", "Replace");
    assert_eq!(edits(&desk), ["puppy=king-man+woman"]);
    type_into(&mut desk, Role::TextInput, "Words to put in", "10*cat");
    desk.harness.get_by_label_contains("\"puppy=10*cat\" cannot be used");
    click(&mut desk, "Replace");
    assert_eq!(edits(&desk), ["puppy=king-man+woman"], "the button is not to be pressed");
    let words = "puppy=king-man+woman";
    assert!(desk.harness.query_all_by_label_contains(words).next().is_some(), "as the command line takes it");
    click(&mut desk, "Undo");
    assert_eq!(edits(&desk), ["puppy=0.33*cat+0.33*skunk"]);
    desk.harness.ctx.memory_mut(|memory| {
        if let Some(id) = memory.focused() {
            memory.surrender_focus(id);
        }
    });
    desk.harness.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    desk.harness.run();
    assert_eq!(edits(&desk), ["puppy=0.33*cat+0.33*skunk+0.33*golden"]);
    click(&mut desk, "Reset this word");
    assert!(edits(&desk).is_empty());
}

#[test]
fn what_the_sliders_change_is_in_the_recipe() {
    let mut desk = desk("a puppy");
    desk.press(Command::Words(WordsWish::Choose(Some(edit("puppy=").at))));
    desk.harness.run();
    for (slider, presses, written) in
        [("Scale", 2, "puppy=, scale 1.1"), ("Noise", 4, "puppy=, scale 1.1, noise 0.2 seed 0")]
    {
        desk.harness.get_by_role_and_label(Role::Slider, slider).focus();
        desk.harness.run();
        for _ in 0..presses {
            desk.harness.key_press(Key::ArrowRight);
            desk.harness.run();
        }
        assert_eq!(edits(&desk), [written]);
    }
    click(&mut desk, "Position embedding");
    assert_eq!(edits(&desk), ["puppy=, scale 1.1, noise 0.2 seed 0, no position"]);
}

#[test]
fn a_word_that_is_no_token_is_told_before_the_run() {
    let mut desk = desk("a puppy");
    desk.press(Command::Words(WordsWish::Choose(Some(edit("puppy=").at))));
    desk.harness.run();
    put_in(&mut desk, "#99999", "Replace");
    desk.harness.get_by_label("There is no token of the id 99999 here");
    put_in(&mut desk, "#320", "Blend in");
    desk.harness.get_by_label_contains("#320 is \"");
    click(&mut desk, "Take #99999 out");
    assert_eq!(edits(&desk).len(), 1);
    assert!(desk.harness.query_by_label_contains("99999 here").is_none());
}

#[test]
fn edits_whose_word_is_gone_are_listed_and_forgotten() {
    let mut desk = desk("a puppy in the snow");
    change(&mut desk, |recipe| recipe.edits = vec![edit("puppy=cat"), edit("snow=sand")]);
    change(&mut desk, |recipe| recipe.prompt = "a dog in the snow".into());
    desk.harness.get_by_label_contains("\"puppy\" is no longer in what is read");
    click(&mut desk, "Forget");
    assert_eq!(edits(&desk), ["snow=sand"]);
    click(&mut desk, "Remove snow=sand");
    assert!(edits(&desk).is_empty());
}

#[test]
fn the_chips_follow_the_cursor_in_a_long_prompt() {
    let mut desk = desk(&"a large fox in the snow, ".repeat(12));
    desk.harness.run();
    type_into(&mut desk, Role::MultilineTextInput, "Prompt", " owl");
    desk.harness.get_by_label_contains("owl, token");
    assert!(desk.harness.query_by_label("a, token 1").is_none(), "the first row is out of sight");
    desk.harness.key_press_modifiers(Modifiers::CTRL | Modifiers::COMMAND, Key::Home);
    desk.harness.run();
    desk.harness.get_by_role_and_label(Role::MultilineTextInput, "Prompt").type_text("the ");
    desk.harness.run();
    desk.harness.get_by_label("the, token 1");
}

#[test]
fn arrows_walk_from_chip_to_chip_and_enter_chooses() {
    let mut desk = desk("a large fox in the snow");
    desk.harness.run();
    desk.harness.get_by_label("a, token 1").focus();
    desk.harness.run();
    for key in [Key::ArrowRight, Key::ArrowRight, Key::ArrowLeft, Key::End, Key::Home, Key::ArrowRight] {
        desk.harness.key_press(key);
        desk.harness.run();
    }
    desk.harness.key_press(Key::Enter);
    desk.harness.run();
    let chosen = desk.harness.state().state.words_desk.chosen.clone();
    assert_eq!(chosen.map(|at| at.letters).as_deref(), Some("large"));
}

#[test]
fn ctrl_and_arrows_weigh_the_word_at_the_cursor() {
    let mut desk = desk("");
    type_into(&mut desk, Role::MultilineTextInput, "Prompt", "a large fox");
    desk.harness.key_press_modifiers(Modifiers::COMMAND, Key::ArrowUp);
    desk.harness.run();
    assert_eq!(recipe(&desk).prompt, "a large (fox:1.1)");
    desk.harness.key_press_modifiers(Modifiers::COMMAND, Key::ArrowUp);
    desk.harness.run();
    assert_eq!(recipe(&desk).prompt, "a large (fox:1.2)");
    for _ in 0..3 {
        desk.harness.key_press_modifiers(Modifiers::COMMAND, Key::ArrowDown);
        desk.harness.run();
    }
    assert_eq!(recipe(&desk).prompt, "a large (fox:0.9)");
    click(&mut desk, "Weights None");
    desk.harness.get_by_role_and_label(Role::MultilineTextInput, "Prompt").focus();
    desk.harness.run();
    desk.harness.key_press_modifiers(Modifiers::COMMAND, Key::ArrowUp);
    desk.harness.run();
    assert_eq!(recipe(&desk).prompt, "a large (fox:0.9)", "brackets are letters now");
}

#[test]
fn how_prompts_are_read_is_chosen_at_the_top() {
    let mut desk = desk("a fox");
    desk.harness.run();
    click(&mut desk, "Weights ComfyUI");
    click(&mut desk, "Long prompts Cut off");
    desk.harness.get_by_role_and_label(Role::TextInput, "Clip skip").click();
    desk.harness.run();
    desk.harness.get_by_role_and_label(Role::TextInput, "Clip skip").type_text("2");
    desk.harness.run();
    let text = recipe(&desk).text;
    assert_eq!((text.weights, text.long, text.clip_skip), (Weights::Comfy, LongPrompt::Cut, 2));
}

#[test]
fn prompts_are_mixed_and_the_main_one_has_what_is_left() {
    let mut desk = desk("a leopard");
    desk.harness.run();
    click(&mut desk, "Add a prompt");
    type_into(&mut desk, Role::MultilineTextInput, "Mixed prompt 1", "a house");
    desk.harness.get_by_role_and_label(Role::Slider, "Share").focus();
    desk.harness.step();
    desk.harness.key_press(Key::ArrowLeft);
    desk.harness.run();
    desk.harness.get_by_label("this prompt 0.55");
    click(&mut desk, "Mix Spherical");
    let mix = &recipe(&desk).mix;
    assert_eq!(
        (mix.with[0].prompt.as_str(), mix.with[0].weight, mix.way),
        ("a house", 0.45, MixWay::Spherical)
    );
    click(&mut desk, "Take mixed prompt 1 out");
    assert_eq!(recipe(&desk).mix, engine::text::Mix::default());
}

#[test]
fn the_stages_of_the_chosen_word_are_asked_for_and_shown() {
    let mut desk = desk("a puppy");
    desk.harness.run();
    assert!(!desk.requests.try_iter().any(|request| matches!(request, Request::Look { .. })));
    click(&mut desk, "puppy, token 2");
    let is_word = |look: &Look| matches!(look, Look::Word { place, .. } if place.position == 2);
    let id = look_asked(&desk, is_word);
    desk.tell(Event::Looked { id, seen: Ok(Seen::Word(Box::new(stages()))) });
    desk.harness.run();
    desk.harness.get_by_label("Output embedding");
    desk.harness.get_by_label_contains("Token embedding: 128 numbers");
    assert!(desk.harness.query_all_by_label_contains("kitten").count() == 4, "near it at each stage");
    desk.harness.get_by_label("How far the output of each position moved");
    put_in(&mut desk, "cat", "Replace");
    let id = look_asked(&desk, is_word);
    desk.tell(Event::Looked { id, seen: Err("There is no such token".into()) });
    desk.harness.run();
    desk.harness.get_by_label("There is no such token");
    click(&mut desk, "a, token 1");
    assert!(desk.harness.query_by_label("There is no such token").is_none(), "that was of another word");
}

#[test]
fn an_edited_word_is_asked_for_and_saved_as_a_concept() {
    let mut state = opened();
    let edits = vec![edit("puppy=cat"), edit("snow=sand")];
    let recipe = Recipe { prompt: "a puppy in the snow".into(), edits: edits.clone(), ..Recipe::default() };
    state.settings.window.tab = Tab::Words;
    state.handle(Command::Edit(Box::new(recipe)));
    let save = || Command::Words(WordsWish::Save { edits: edits.clone(), token: "<mine>".into() });
    let asked = |effects: Vec<Effect>| match &effects[..] {
        [Effect::Send(Request::Look { id, look: Look::Edited { recipe, .. } })] => (*id, recipe.edits.len()),
        other => panic!("{other:?}"),
    };
    let (id, count) = asked(state.handle(save()));
    assert_eq!(count, 2);
    let vectors = vec![vec![0.5; 128]; 2];
    let effects = state.receive(Event::Looked { id, seen: Ok(Seen::Edited(vectors.clone())) });
    assert!(matches!(&effects[..], [Effect::SaveConcept { token, vectors: saved }]
        if token == "<mine>" && *saved == vectors));
    let (id, _) = asked(state.handle(save()));
    state.receive(Event::Looked { id, seen: Err("Its word is not in the prompt".into()) });
    assert_eq!(state.problem_at(Place::Words).as_deref(), Some("Its word is not in the prompt"));
    asked(state.handle(save()));
    assert_eq!(state.problem_at(Place::Words), None, "it is tried again");
}

#[test]
fn the_pointer_over_chips_and_letters_marks_the_other() {
    let mut desk = desk("a large fox in the snow");
    desk.harness.run();
    let chip = desk.harness.get_by_label("fox, token 3").rect();
    let before = shapes(&mut desk);
    desk.harness.hover_at(chip.center());
    desk.harness.run();
    assert!(shapes(&mut desk) > before, "the letters have a ground");
    let field = desk.harness.get_by_role_and_label(Role::MultilineTextInput, "Prompt").rect();
    desk.harness.hover_at(field.min + egui::vec2(40.0, 18.0));
    desk.harness.run();
    assert!(shapes(&mut desk) > before);
    desk.harness.hover_at(field.right_bottom() - egui::vec2(6.0, 6.0));
    desk.harness.run();
    assert_eq!(shapes(&mut desk), before, "no letter is there");
}

fn shapes(desk: &mut Desk) -> usize {
    fn count(shape: &egui::Shape) -> usize {
        match shape {
            egui::Shape::Vec(shapes) => shapes.iter().map(count).sum(),
            egui::Shape::Noop => 0,
            _ => 1,
        }
    }
    desk.harness.output().shapes.iter().map(|clipped| count(&clipped.shape)).sum()
}

/// The quickest of several, since whatever else runs on this machine takes its time too.
fn quickest(times: usize, mut work: impl FnMut(usize)) -> Duration {
    let time = |at| {
        let begun = Instant::now();
        work(at);
        begun.elapsed()
    };
    (0..times).map(time).min().expect("several")
}

#[test]
fn a_keystroke_becomes_chips_within_five_milliseconds_at_a_thousand_tokens() {
    let prompt = "a large (fox:1.2) in the snow, ".repeat(143);
    let mut desk = desk(&prompt);
    desk.harness.run();
    let state = desk.harness.state().state.clone();
    let words = state.words.clone().expect("words");
    let read = ReadPrompt::new(&words, &state.recipe, 0);
    assert!((900..1200).contains(&read.used()), "{}", read.used());

    let ctx = egui::Context::default();
    app::theme::dress(&ctx);
    app::fonts::install(&ctx);
    let chips = |state: &app::state::AppState| {
        let input = egui::RawInput {
            screen_rect: Some(egui::Rect::from_min_size(egui::Pos2::ZERO, egui::vec2(300.0, 700.0))),
            ..Default::default()
        };
        let (read, words) = (state.prompt.as_ref().expect("read"), state.words.as_ref().expect("words"));
        ctx.run_ui(input, |ui| {
            app::panels::token_chips_ui(
                ui,
                &app::panels::TokenChips {
                    id: egui::Id::unique("test"),
                    read,
                    words,
                    edited: &[],
                    chosen: None,
                    pointed: None,
                    cursor: None,
                    can_choose: true,
                },
            );
        })
    };
    let mut state = state;
    chips(&state);
    let time = quickest(15, |at| {
        let recipe = Recipe { prompt: format!("{prompt}{at}"), ..state.recipe.clone() };
        state.handle(Command::Edit(Box::new(recipe)));
        std::hint::black_box(chips(&state));
    });
    println!("a letter at {} tokens, read and laid out as chips: {time:?}", read.used());
    assert!(time < Duration::from_millis(5), "{time:?}");

    desk.harness.get_by_role_and_label(Role::MultilineTextInput, "Prompt").focus();
    desk.harness.run();
    let frame = quickest(10, |_| {
        desk.harness.get_by_role_and_label(Role::MultilineTextInput, "Prompt").type_text("b");
        desk.harness.step();
    });
    println!("the whole window: {frame:?}");
    assert!(frame < Duration::from_millis(60), "{frame:?}");
}

#[test]
fn hostile_prompts_are_shown_chosen_and_typed_into() {
    for prompt in HOSTILE {
        let mut desk = desk(prompt);
        change(&mut desk, |recipe| recipe.edits = vec![edit("a=cat")]);
        let field = desk.harness.get_by_role_and_label(Role::MultilineTextInput, "Prompt").rect();
        for x in 0..12 {
            desk.harness.hover_at(field.left_top() + egui::vec2(14.0 + 7.0 * x as f32, 18.0));
            desk.harness.step();
        }
        let chips: Vec<egui::Pos2> =
            desk.harness.query_all_by_label_contains(", token ").map(|chip| chip.rect().center()).collect();
        for at in chips.into_iter().take(6) {
            desk.harness.hover_at(at);
            desk.harness.step();
            desk.harness.drag_at(at);
            desk.harness.drop_at(at);
            desk.harness.run();
        }
        type_into(&mut desk, Role::MultilineTextInput, "Prompt", "é");
        desk.harness.key_press_modifiers(Modifiers::COMMAND, Key::ArrowUp);
        desk.harness.run();
    }
}

#[test]
fn typing_goes_on_at_ten_thousand_tokens() {
    let mut desk = desk(&long());
    change(&mut desk, |recipe| recipe.edits = vec![edit("fox=cat"), edit("owl=cat")]);
    desk.harness.get_by_role_and_label(Role::MultilineTextInput, "Prompt").focus();
    desk.harness.run();
    let frame = quickest(5, |_| {
        desk.harness.get_by_role_and_label(Role::MultilineTextInput, "Prompt").type_text("b");
        desk.harness.step();
    });
    println!("a letter at 10,000 tokens, the whole window: {frame:?}");
    assert!(frame < Duration::from_millis(400), "{frame:?}");
}
