//! Number fields.

use std::ops::RangeInclusive;

use egui::{
    Align, Align2, FontId, Id, Key, Margin, Modifiers, Response, TextEdit, Ui, Vec2, text::CCursor,
    text::CCursorRange, vec2,
};

use super::text::field_frame;
use crate::ui::theme;
use crate::ui::theme::Tokens;

/// The limits of a number, and how it is written.
#[derive(Clone, Debug)]
pub struct Number<'a> {
    /// For screen readers.
    pub name: &'a str,
    pub limits: RangeInclusive<f64>,
    pub decimals: usize,
    /// The step of an arrow key.
    pub step: f64,
    pub look: NumberLook,
}

/// How the field of a number looks.
#[derive(Clone, Debug)]
pub struct NumberLook {
    pub size: Vec2,
    pub font: FontId,
    pub align: Align,
}

impl Default for NumberLook {
    fn default() -> Self {
        Self { size: vec2(52.0, 24.0), font: theme::mono(), align: Align::RIGHT }
    }
}

/// A number field. Input counts as soon as it is a number within the limits;
/// when the field loses focus, the number is clamped to them. The up and down arrows step it.
pub fn number_ui(ui: &mut Ui, number: &Number<'_>, value: &mut f64) -> Response {
    let clamp = |value: f64| value.clamp(*number.limits.start(), *number.limits.end());
    let before = *value;
    let (id, arrows) = keys(ui);
    if arrows != 0 {
        *value = clamp(*value + f64::from(arrows) * number.step);
    }
    let written = format!("{:.*}", number.decimals, *value);
    let (mut response, typed) = typed_ui(ui, id, number.name, &number.look, written, arrows != 0);
    let typed = typed.and_then(|text| text.replace(',', ".").parse::<f64>().ok());
    if let Some(typed) = typed.filter(|typed| typed.is_finite()) {
        if response.lost_focus() {
            *value = clamp(typed);
        } else if number.limits.contains(&typed) {
            *value = typed;
        }
    }
    if *value != before {
        response.mark_changed();
    }
    response
}

/// A field for a seed, whose 64 bits do not fit into a float.
pub fn seed_ui(ui: &mut Ui, name: &str, look: &NumberLook, seed: &mut u64) -> Response {
    let before = *seed;
    let (id, arrows) = keys(ui);
    *seed = seed.saturating_add_signed(arrows.into());
    let (mut response, typed) = typed_ui(ui, id, name, look, seed.to_string(), arrows != 0);
    if let Some(typed) = typed.and_then(|text| text.parse().ok()) {
        *seed = typed;
    }
    if *seed != before {
        response.mark_changed();
    }
    response
}

/// The field's id, and how many steps the arrow keys ask for while it has the focus.
fn keys(ui: &Ui) -> (Id, i32) {
    let id = ui.next_auto_id().with("number");
    if !ui.memory(|memory| memory.has_focus(id)) {
        return (id, 0);
    }
    let pressed = |key| ui.input_mut(|input| input.count_and_consume_key(Modifiers::NONE, key)) as i32;
    (id, pressed(Key::ArrowUp) - pressed(Key::ArrowDown))
}

/// The text that is being typed, kept while it is not yet a number.
#[derive(Clone, Default)]
struct Draft(String);

/// A field that shows `written`. Answers with the trimmed text if it was edited.
fn typed_ui(
    ui: &mut Ui,
    id: Id,
    name: &str,
    look: &NumberLook,
    written: String,
    overrule: bool,
) -> (Response, Option<String>) {
    let tokens = Tokens::of(ui);
    let focused = ui.memory(|memory| memory.has_focus(id));
    let draft: Option<Draft> = ui.data(|data| data.get_temp(id));
    let draft = draft.filter(|_| focused && !overrule);
    let was_typed = draft.is_some();
    let mut text = draft.map_or(written, |draft| draft.0);

    let line_height = ui.fonts_mut(|fonts| fonts.row_height(&look.font));
    let margin = Margin::symmetric(8, ((look.size.y - line_height) / 2.0).floor() as i8);
    let mut output = TextEdit::singleline(&mut text)
        .id(id)
        .font(look.font.clone())
        .text_color(tokens.text)
        .align(Align2([look.align, Align::Center]))
        .frame(field_frame(tokens, focused).inner_margin(margin))
        .min_size(look.size)
        .desired_width(look.size.x - 18.0)
        .show(ui);
    let response = output.response.response.clone().accessible_name(name);
    if response.gained_focus() {
        let all = CCursorRange::two(CCursor::default(), CCursor::new(text.chars().count()));
        output.state.cursor.set_char_range(Some(all));
        output.state.store(ui.ctx(), id);
    }
    if response.changed() || (was_typed && response.has_focus()) {
        ui.data_mut(|data| data.insert_temp(id, Draft(text.clone())));
    } else {
        ui.data_mut(|data| data.remove::<Draft>(id));
    }
    let typed = (response.changed() || was_typed).then(|| text.trim().to_owned());
    (response, typed)
}
