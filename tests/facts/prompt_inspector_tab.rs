//! The prompt inspector in the window: token chips under the prompt, and what can be done with them.

use std::time::Duration;

use app::features::command::Command;
use app::features::effect::{Effect, Task};
use app::features::errors::ErrorSlot;
use app::features::settings::{Settings, Tab, WindowLayout};
use app::features::words::WordsCommand;
use app::window::app::TidepoolApp;
use egui::accesskit::Role;
use egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable;
use egui_kittest::{Harness, HarnessBuilder};
use engine::prompt::{MixMethod, PromptOverflow, PromptWeights};
use engine::recipe::Recipe;
use engine::session::{Event, InspectRequest, InspectResult, Request};

use crate::support::app_state::opened;
use crate::support::cpu_time::assert_cpu_time_below;
use crate::support::fake_answers::token_trace;
use crate::support::models::text_width;
use crate::support::prompts::{HOSTILE_PROMPTS, edit, long_prompt};
use crate::support::window_harness::{TestWindow, last_look};

/// Tall enough for the whole tab, and with placeholder boxes where this machine lacks glyphs.
fn builder() -> HarnessBuilder<TidepoolApp> {
    Harness::builder().with_size([1280.0, 1500.0]).allow_missing_glyphs()
}

fn test_window(prompt: &str) -> TestWindow {
    let last_recipe = Recipe { prompt: prompt.into(), ..Recipe::default() };
    let window = WindowLayout { tab: Tab::Words, ..WindowLayout::default() };
    TestWindow::opened(builder(), Settings { last_recipe, window, ..Settings::default() })
}

fn recipe(window: &TestWindow) -> &Recipe {
    &window.harness.state().state.shared.recipe
}

fn edits(window: &TestWindow) -> Vec<String> {
    recipe(window).edits.iter().map(ToString::to_string).collect()
}

fn change(window: &mut TestWindow, change: impl FnOnce(&mut Recipe)) {
    let mut recipe = recipe(window).clone();
    change(&mut recipe);
    window.press(Command::Edit(Box::new(recipe)));
    window.harness.run();
}

fn click(window: &mut TestWindow, label: &str) {
    window.harness.get_by_label(label).click();
    window.harness.run();
}

fn type_into(window: &mut TestWindow, role: Role, name: &str, text: &str) {
    window.harness.get_by_role_and_label(role, name).focus();
    window.harness.run();
    window.harness.get_by_role_and_label(role, name).type_text(text);
    window.harness.run();
}

fn put_in(window: &mut TestWindow, text: &str, how: &str) {
    type_into(window, Role::TextInput, "Words to insert", text);
    click(window, how);
}

#[test]
fn a_click_on_a_chip_opens_its_word_and_the_word_becomes_another() {
    let last_recipe = Recipe { prompt: "a puppy in the snow".into(), ..Recipe::default() };
    let mut window = TestWindow::opened(builder(), Settings { last_recipe, ..Settings::default() });
    window.harness.run();
    click(&mut window, "puppy, token 2");
    assert_eq!(window.harness.state().state.shared.settings.window.tab, Tab::Words);
    put_in(&mut window, "cat", "Replace");
    assert_eq!(edits(&window), ["puppy=cat"]);
    put_in(&mut window, "skunk", "Blend in");
    assert_eq!(edits(&window), ["puppy=0.5*cat+0.5*skunk"]);
    put_in(&mut window, "golden", "Blend in");
    assert!(window.harness.query_all_by_label_contains("mean").next().is_some());
    click(&mut window, "Remove golden");
    assert_eq!(edits(&window), ["puppy=0.33*cat+0.33*skunk"]);
    put_in(&mut window, "king - man + woman", "Replace");
    assert_eq!(edits(&window), ["puppy=king-man+woman"]);
    type_into(&mut window, Role::TextInput, "Words to insert", "10*cat");
    window.harness.get_by_label_contains("\"puppy=10*cat\" cannot be used");
    click(&mut window, "Replace");
    assert_eq!(edits(&window), ["puppy=king-man+woman"], "the button is not to be pressed");
    let words = "puppy=king-man+woman";
    assert!(
        window.harness.query_all_by_label_contains(words).next().is_some(),
        "as the command line takes it"
    );
    click(&mut window, "Undo");
    assert_eq!(edits(&window), ["puppy=0.33*cat+0.33*skunk"]);
    window.harness.ctx.memory_mut(|memory| {
        if let Some(id) = memory.focused() {
            memory.surrender_focus(id);
        }
    });
    window.harness.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    window.harness.run();
    assert_eq!(edits(&window), ["puppy=0.33*cat+0.33*skunk+0.33*golden"]);
    click(&mut window, "Reset this word");
    assert!(edits(&window).is_empty());
}

#[test]
fn what_the_sliders_change_is_in_the_recipe() {
    let mut window = test_window("a puppy");
    window.press(Command::Words(WordsCommand::Choose(Some(edit("puppy=").selector))));
    window.harness.run();
    for (slider, presses, written) in
        [("Scale", 2, "puppy=, scale 1.1"), ("Noise", 4, "puppy=, scale 1.1, noise 0.2 seed 0")]
    {
        window.harness.get_by_role_and_label(Role::Slider, slider).focus();
        window.harness.run();
        for _ in 0..presses {
            window.harness.key_press(Key::ArrowRight);
            window.harness.run();
        }
        assert_eq!(edits(&window), [written]);
    }
    click(&mut window, "Position embedding");
    assert_eq!(edits(&window), ["puppy=, scale 1.1, noise 0.2 seed 0, no position"]);
}

#[test]
fn an_unknown_token_is_reported_before_the_run() {
    let mut window = test_window("a puppy");
    window.press(Command::Words(WordsCommand::Choose(Some(edit("puppy=").selector))));
    window.harness.run();
    put_in(&mut window, "#99999", "Replace");
    assert!(window.harness.query_all_by_label_contains("id 99999").next().is_some());
    put_in(&mut window, "#320", "Blend in");
    window.harness.get_by_label_contains("#320 is \"");
    click(&mut window, "Remove #99999");
    assert_eq!(edits(&window).len(), 1);
    assert!(window.harness.query_by_label_contains("id 99999").is_none());
}

#[test]
fn edits_whose_word_is_gone_are_listed_and_forgotten() {
    let mut window = test_window("a puppy in the snow");
    change(&mut window, |recipe| recipe.edits = vec![edit("puppy=cat"), edit("snow=sand")]);
    change(&mut window, |recipe| recipe.prompt = "a dog in the snow".into());
    click(&mut window, "Forget");
    assert_eq!(edits(&window), ["snow=sand"]);
    click(&mut window, "Remove snow=sand");
    assert!(edits(&window).is_empty());
}

#[test]
fn the_chips_follow_the_cursor_in_a_long_prompt() {
    let mut window = test_window(&"a large fox in the snow, ".repeat(12));
    window.harness.run();
    type_into(&mut window, Role::MultilineTextInput, "Prompt", " owl");
    window.harness.get_by_label_contains("owl, token");
    assert!(window.harness.query_by_label("a, token 1").is_none(), "the first row is out of sight");
    window.harness.key_press_modifiers(Modifiers::CTRL | Modifiers::COMMAND, Key::Home);
    window.harness.run();
    window.harness.get_by_role_and_label(Role::MultilineTextInput, "Prompt").type_text("the ");
    window.harness.run();
    window.harness.get_by_label("the, token 1");
}

#[test]
fn arrow_keys_move_from_chip_to_chip_and_enter_selects() {
    let mut window = test_window("a large fox in the snow");
    window.harness.run();
    window.harness.get_by_label("a, token 1").focus();
    window.harness.run();
    for key in [Key::ArrowRight, Key::ArrowRight, Key::ArrowLeft, Key::End, Key::Home, Key::ArrowRight] {
        window.harness.key_press(key);
        window.harness.run();
    }
    window.harness.key_press(Key::Enter);
    window.harness.run();
    let chosen = window.harness.state().state.words.chosen.clone();
    assert_eq!(chosen.map(|at| at.text).as_deref(), Some("large"));
}

#[test]
fn ctrl_and_arrows_weigh_the_word_at_the_cursor() {
    let mut window = test_window("");
    type_into(&mut window, Role::MultilineTextInput, "Prompt", "a large fox");
    window.harness.key_press_modifiers(Modifiers::COMMAND, Key::ArrowUp);
    window.harness.run();
    assert_eq!(recipe(&window).prompt, "a large (fox:1.1)");
    window.harness.key_press_modifiers(Modifiers::COMMAND, Key::ArrowUp);
    window.harness.run();
    assert_eq!(recipe(&window).prompt, "a large (fox:1.2)");
    for _ in 0..3 {
        window.harness.key_press_modifiers(Modifiers::COMMAND, Key::ArrowDown);
        window.harness.run();
    }
    assert_eq!(recipe(&window).prompt, "a large (fox:0.9)");
    click(&mut window, "Weights None");
    window.harness.get_by_role_and_label(Role::MultilineTextInput, "Prompt").focus();
    window.harness.run();
    window.harness.key_press_modifiers(Modifiers::COMMAND, Key::ArrowUp);
    window.harness.run();
    assert_eq!(recipe(&window).prompt, "a large (fox:0.9)", "brackets are letters now");
}

#[test]
fn how_prompts_are_read_is_chosen_at_the_top() {
    let mut window = test_window("a fox");
    window.harness.run();
    click(&mut window, "Weights ComfyUI");
    click(&mut window, "Long prompts Truncated");
    window.harness.get_by_role_and_label(Role::TextInput, "Clip skip").click();
    window.harness.run();
    window.harness.get_by_role_and_label(Role::TextInput, "Clip skip").type_text("2");
    window.harness.run();
    let text = recipe(&window).text;
    assert_eq!(
        (text.weights, text.overflow, text.clip_skip),
        (PromptWeights::Comfy, PromptOverflow::Truncate, 2)
    );
}

#[test]
fn prompts_are_mixed_and_the_main_one_has_what_is_left() {
    let mut window = test_window("a leopard");
    window.harness.run();
    click(&mut window, "Add a prompt");
    type_into(&mut window, Role::MultilineTextInput, "Mixed prompt 1", "a house");
    window.harness.get_by_role_and_label(Role::Slider, "Share").focus();
    window.harness.step();
    window.harness.key_press(Key::ArrowLeft);
    window.harness.run();
    window.harness.get_by_label("this prompt 0.55");
    click(&mut window, "Mix Spherical");
    let mix = &recipe(&window).mix;
    assert_eq!(
        (mix.prompts[0].prompt.as_str(), mix.prompts[0].weight, mix.method),
        ("a house", 0.45, MixMethod::Spherical)
    );
    click(&mut window, "Remove mixed prompt 1");
    assert_eq!(recipe(&window).mix, engine::prompt::Mix::default());
}

#[test]
fn the_stages_of_the_chosen_word_are_asked_for_and_shown() {
    let mut window = test_window("a puppy");
    window.harness.run();
    assert!(!window.requests.try_iter().any(|request| matches!(request, Request::Inspect { .. })));
    click(&mut window, "puppy, token 2");
    let is_word =
        |look: &InspectRequest| matches!(look, InspectRequest::Token { place, .. } if place.position == 2);
    let id = last_look(&window, is_word);
    window.send(Event::Inspection { id, result: Ok(InspectResult::Token(Box::new(token_trace()))) });
    window.harness.run();
    window.harness.get_by_label("Output embedding");
    assert!(window.harness.query_all_by_label_contains("Token embedding: 128").next().is_some());
    assert!(window.harness.query_all_by_label_contains("kitten").count() == 4, "near it at each stage");
    assert!(window.harness.query_all_by_label_contains("Changed by").next().is_some());
    put_in(&mut window, "cat", "Replace");
    let id = last_look(&window, is_word);
    window.send(Event::Inspection { id, result: Err("There is no such token".into()) });
    window.harness.run();
    window.harness.get_by_label("There is no such token");
    click(&mut window, "a, token 1");
    assert!(window.harness.query_by_label("There is no such token").is_none(), "that was of another word");
}

#[test]
fn an_edited_word_is_asked_for_and_saved_as_a_concept() {
    let mut state = opened();
    let edits = vec![edit("puppy=cat"), edit("snow=sand")];
    let recipe = Recipe { prompt: "a puppy in the snow".into(), edits: edits.clone(), ..Recipe::default() };
    state.shared.settings.window.tab = Tab::Words;
    state.handle(Command::Edit(Box::new(recipe)));
    let save = || Command::Words(WordsCommand::Save { edits: edits.clone(), token: "<mine>".into() });
    let asked = |effects: Vec<Effect>| match &effects[..] {
        [Effect::Send(Request::Inspect { id, request: InspectRequest::EditedVectors { recipe, .. } })] => {
            (*id, recipe.edits.len())
        }
        other => panic!("{other:?}"),
    };
    let (id, count) = asked(state.handle(save()));
    assert_eq!(count, 2);
    let vectors = vec![vec![0.5; text_width()]; 2];
    let effects =
        state.receive(Event::Inspection { id, result: Ok(InspectResult::EditedVectors(vectors.clone())) });
    assert!(matches!(&effects[..], [Effect::Task(Task::SaveConcept { token, vectors: saved })]
        if token == "<mine>" && *saved == vectors));
    let (id, _) = asked(state.handle(save()));
    state.receive(Event::Inspection { id, result: Err("Its word is not in the prompt".into()) });
    assert_eq!(state.shared.error_at(ErrorSlot::Words).as_deref(), Some("Its word is not in the prompt"));
    asked(state.handle(save()));
    assert_eq!(state.shared.error_at(ErrorSlot::Words), None, "it is tried again");
}

#[test]
fn the_pointer_over_chips_and_letters_marks_the_other() {
    let mut window = test_window("a large fox in the snow");
    window.harness.run();
    let chip = window.harness.get_by_label("fox, token 3").rect();
    let before = shapes(&mut window);
    window.harness.hover_at(chip.center());
    window.harness.run();
    assert!(shapes(&mut window) > before, "the letters have a ground");
    let field = window.harness.get_by_role_and_label(Role::MultilineTextInput, "Prompt").rect();
    window.harness.hover_at(field.min + egui::vec2(40.0, 18.0));
    window.harness.run();
    assert!(shapes(&mut window) > before);
    window.harness.hover_at(field.right_bottom() - egui::vec2(6.0, 6.0));
    window.harness.run();
    assert_eq!(shapes(&mut window), before, "no letter is there");
}

fn shapes(window: &mut TestWindow) -> usize {
    fn count(shape: &egui::Shape) -> usize {
        match shape {
            egui::Shape::Vec(shapes) => shapes.iter().map(count).sum(),
            egui::Shape::Noop => 0,
            _ => 1,
        }
    }
    window.harness.output().shapes.iter().map(|clipped| count(&clipped.shape)).sum()
}

/// Types a letter at the end of the prompt: the window draws it, and of the token chips only those in sight.
fn type_a_letter(window: &mut TestWindow, what: &str, limit: Duration) {
    window.harness.get_by_role_and_label(Role::MultilineTextInput, "Prompt").focus();
    window.harness.run();
    window.harness.get_by_role_and_label(Role::MultilineTextInput, "Prompt").type_text("b");
    // The first frame takes the letter, the second lays out its chips.
    assert_cpu_time_below(limit, what, || window.harness.run_steps(2));
    assert!(recipe(window).prompt.ends_with('b'));
    let chips = window.harness.query_all_by_label_contains(", token ").count();
    assert!((1..100).contains(&chips), "{chips} chips are drawn");
}

#[test]
fn a_letter_at_a_thousand_tokens_draws_only_the_chips_in_sight() {
    let mut window = test_window(&"a large (fox:1.2) in the snow, ".repeat(143));
    window.harness.run();
    let used = window.harness.state().state.prompts.prompt.as_ref().map(|read| read.used());
    assert!(used.is_some_and(|used| (900..1200).contains(&used)), "{used:?}");
    type_a_letter(&mut window, "a letter at 1,000 tokens", Duration::from_millis(500));
}

#[test]
fn hostile_prompts_are_shown_chosen_and_typed_into() {
    for prompt in HOSTILE_PROMPTS {
        let mut window = test_window(prompt);
        change(&mut window, |recipe| recipe.edits = vec![edit("a=cat")]);
        let field = window.harness.get_by_role_and_label(Role::MultilineTextInput, "Prompt").rect();
        for x in 0..12 {
            window.harness.hover_at(field.left_top() + egui::vec2(14.0 + 7.0 * x as f32, 18.0));
            window.harness.step();
        }
        let chips: Vec<egui::Pos2> =
            window.harness.query_all_by_label_contains(", token ").map(|chip| chip.rect().center()).collect();
        for at in chips.into_iter().take(6) {
            window.harness.hover_at(at);
            window.harness.step();
            window.harness.drag_at(at);
            window.harness.drop_at(at);
            window.harness.run();
        }
        type_into(&mut window, Role::MultilineTextInput, "Prompt", "é");
        window.harness.key_press_modifiers(Modifiers::COMMAND, Key::ArrowUp);
        window.harness.run();
    }
}

#[test]
fn a_letter_at_ten_thousand_tokens_draws_only_the_chips_in_sight() {
    let mut window = test_window(&long_prompt());
    change(&mut window, |recipe| recipe.edits = vec![edit("fox=cat"), edit("owl=cat")]);
    type_a_letter(&mut window, "a letter at 10,000 tokens", Duration::from_secs(4));
}
