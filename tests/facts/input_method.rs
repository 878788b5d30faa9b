//! Text that is composed with an input method: Chinese, Japanese and Korean, and letters with several accents, as here, which
//! the fonts of the facts have.

use app::features::settings::Settings;
use egui::accesskit::Role;
use egui::epaint::Shape;
use egui::{Event, ImeEvent};
use egui_kittest::kittest::Queryable;

use crate::support::window_harness::{TestWindow, window_builder};

fn preedit(text: &str) -> Event {
    Event::Ime(ImeEvent::Preedit { text: text.to_owned(), active_range_chars: None })
}

fn send(window: &mut TestWindow, event: Event) {
    window.harness.event(event);
    window.harness.step();
    // What was typed reaches the recipe after the panels are drawn.
    window.harness.step();
}

fn prompt(window: &TestWindow) -> String {
    window.harness.state().state.shared.recipe.prompt.clone()
}

/// The lines that are drawn under the text that is being composed.
fn underlines(window: &TestWindow) -> usize {
    let stroke = window.harness.ctx.global_style().visuals.ime_composition.inactive_underline_stroke;
    let shapes = &window.harness.output().shapes;
    let is_underline = |shape: &Shape| match shape {
        Shape::LineSegment { points: [from, to], stroke: of_line } => from.y == to.y && *of_line == stroke,
        _ => false,
    };
    shapes.iter().filter(|clipped| is_underline(&clipped.shape)).count()
}

#[test]
fn composed_text_is_drawn_underlined_and_arrives_in_the_prompt() {
    let mut window = TestWindow::opened(window_builder(), Settings::default());
    // On Windows egui marks such text like a selection, because winit does not say which part is active.
    window.harness.ctx.all_styles_mut(|style| style.visuals.ime_composition.legacy_visuals = false);
    window.harness.get_by_role_and_label(Role::MultilineTextInput, "Prompt").focus();
    window.harness.step();
    send(&mut window, Event::Text("a ".to_owned()));
    let plain = underlines(&window);

    // The system is told where the cursor is, so that its list of candidates opens there.
    let field = window.harness.get_by_role_and_label(Role::MultilineTextInput, "Prompt").rect();
    let cursor = window.harness.output().platform_output.ime.as_ref().expect("text is expected").cursor_rect;
    assert!(field.contains_rect(cursor), "{cursor:?} in {field:?}");

    for typed in ["vie", "viê", "việt"] {
        send(&mut window, preedit(typed));
        assert_eq!(prompt(&window), format!("a {typed}"), "it takes the place of what was composed before");
        assert!(underlines(&window) > plain, "{typed} is underlined");
    }
    send(&mut window, Event::Ime(ImeEvent::Commit("việt".to_owned())));
    assert_eq!((prompt(&window).as_str(), underlines(&window)), ("a việt", plain));

    // One that is given up leaves nothing behind.
    send(&mut window, preedit("na"));
    send(&mut window, preedit(""));
    assert_eq!((prompt(&window).as_str(), underlines(&window)), ("a việt", plain));
    send(&mut window, Event::Text(" at night".to_owned()));
    assert_eq!(prompt(&window), "a việt at night");
}
