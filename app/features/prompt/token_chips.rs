//! The tokens of a prompt as chips below it. A word is one token or several.
//!
//! A prompt may have thousands. They are laid out once per text, by the widths of their labels;
//! only those in view are drawn.

use std::ops::Range;
use std::sync::Arc;

use egui::style::ScrollAnimation;
use egui::{
    Color32, CornerRadius, CursorIcon, EventFilter, Id, Key, Modifiers, Rect, Response, Role, ScrollArea,
    Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2,
};
use engine::prompt::PromptTokenizer;

use crate::features::prompt::chip::{Chip, TokenChipPart, chip_parts};
use crate::features::prompt::read_prompt::ReadPrompt;
use crate::features::words::TokenRef;
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{focus_ring, tip};

/// The options of a row of chips.
pub struct TokenChips<'a> {
    pub id: Id,
    pub read: &'a Arc<ReadPrompt>,
    pub words: &'a PromptTokenizer,
    /// The tokens that are edited.
    pub edited: &'a [TokenRef],
    pub chosen: Option<TokenRef>,
    /// The byte of the prompt under the pointer.
    pub pointed: Option<usize>,
    /// The byte at the text cursor.
    pub cursor: Option<usize>,
    /// Whether chips can be clicked.
    pub can_choose: bool,
}

/// What the pointer did.
#[derive(Default)]
pub struct ChipsShown {
    /// The text of the chip under the pointer, or of the chip that the character under the pointer belongs to.
    pub marked: Option<Range<usize>>,
    pub clicked: Option<TokenRef>,
}

const HEIGHT: f32 = 20.0;
const GAP: f32 = 5.0;
const PITCH: f32 = HEIGHT + GAP;
/// Padding before and after the label.
const PAD: f32 = 6.0;
/// More rows scroll; half a row shows that there are more.
const MAX_ROWS: f32 = 4.5;

/// The parts of a prompt with their positions.
struct Laid {
    read: Arc<ReadPrompt>,
    width: f32,
    scale: f32,
    pieces: Vec<(Rect, TokenChipPart)>,
    /// The first part of each row.
    rows: Vec<usize>,
}

pub fn token_chips_ui(ui: &mut Ui, chips: &TokenChips<'_>) -> ChipsShown {
    let (laid, is_new) = laid_out(ui, chips);
    if laid.pieces.is_empty() {
        return ChipsShown::default();
    }
    let height = laid.rows.len() as f32 * PITCH - GAP;
    let mut shown = ChipsShown::default();
    // Space for outlines and the focus ring.
    ui.add_space(2.0);
    ScrollArea::vertical()
        .id_salt(chips.id.with("chips"))
        .max_height(MAX_ROWS * PITCH)
        .auto_shrink([false, true])
        .show_viewport(ui, |ui, viewport| {
            ui.set_height(height);
            let row = |y: f32| (y / PITCH).floor().max(0.0) as usize;
            let (first, last) = (row(viewport.top()), row(viewport.bottom()) + 1);
            let start = laid.rows.get(first).copied().unwrap_or_default();
            let end = laid.rows.get(last).copied().unwrap_or(laid.pieces.len());
            let mut keys = Keys::of(ui, chips, &laid);
            for (index, (place, piece)) in laid.pieces.iter().enumerate().take(end).skip(start) {
                let place = place.translate(ui.min_rect().min.to_vec2());
                match piece {
                    TokenChipPart::Token(chip) => {
                        chip_ui(ui, chips, chip, index, place, &mut keys, &mut shown);
                    }
                    mark => mark_ui(ui, mark, place),
                }
            }
            keys.act(ui, chips, &laid);
            if let Some(place) = chips.cursor.filter(|_| is_new).and_then(|byte| laid.place_before(byte)) {
                let place = place.translate(ui.min_rect().min.to_vec2());
                ui.scroll_to_rect_animation(place, None, ScrollAnimation::none());
            }
        });
    if let Some(byte) = chips.pointed {
        let under = laid.chips().find(|(_, chip)| chip.range.contains(&byte));
        shown.marked = under.map(|(_, chip)| chip.range.clone());
    }
    shown
}

impl Laid {
    fn chips(&self) -> impl DoubleEndedIterator<Item = (usize, &Chip)> {
        self.pieces.iter().enumerate().filter_map(|(index, (_, piece))| match piece {
            TokenChipPart::Token(chip) => Some((index, chip)),
            _ => None,
        })
    }

    /// The index of the last chip that starts before a byte of the prompt.
    fn place_before(&self, byte: usize) -> Option<Rect> {
        let (index, _) = self.chips().rfind(|(_, chip)| chip.range.start < byte)?;
        Some(self.pieces[index].0)
    }
}

/// The layout, and whether it is new; reuses the previous frame's if nothing that it depends on has changed.
fn laid_out(ui: &Ui, chips: &TokenChips<'_>) -> (Arc<Laid>, bool) {
    let (width, scale) = (ui.available_width(), ui.pixels_per_point());
    let key = chips.id.with("laid out");
    let before: Option<Arc<Laid>> = ui.data(|data| data.get_temp(key));
    if let Some(before) = before
        && Arc::ptr_eq(&before.read, chips.read)
        && (before.width, before.scale) == (width, scale)
    {
        return (before, false);
    }
    let mut laid = Laid { read: Arc::clone(chips.read), width, scale, pieces: Vec::new(), rows: Vec::new() };
    let (mut x, mut y) = (0.0, 0.0);
    ui.fonts_mut(|fonts| {
        let mut width_of = |text: &str| {
            let font = theme::mono_small();
            text.chars().map(|c| fonts.glyph_width(&font, c)).sum::<f32>().ceil() + 2.0 * PAD
        };
        for piece in chip_parts(chips.read, chips.words) {
            let (face, more) = faces(&piece);
            let more = if more.is_empty() { 0.0 } else { width_of(&more) - PAD };
            let size = vec2((width_of(&face) + more).min(width), HEIGHT);
            if x > 0.0 && x + size.x > width {
                (x, y) = (0.0, y + PITCH);
            }
            if x == 0.0 {
                laid.rows.push(laid.pieces.len());
            }
            laid.pieces.push((Rect::from_min_size(pos2(x, y), size), piece));
            x += size.x + GAP;
        }
    });
    let laid = Arc::new(laid);
    ui.data_mut(|data| data.insert_temp(key, Arc::clone(&laid)));
    (laid, true)
}

/// The label of a part, and the dim text after it.
fn faces(piece: &TokenChipPart) -> (String, String) {
    let number = |weight: f32| format!("{}", (weight * 1000.0).round() / 1000.0).replace('-', "−");
    match piece {
        TokenChipPart::Token(chip) => {
            let count = if chip.id.is_none() { format!("×{}", chip.count) } else { String::new() };
            let weight = if chip.weight == 1.0 { String::new() } else { number(chip.weight) };
            let space = if count.is_empty() || weight.is_empty() { "" } else { " " };
            (chip.label.clone(), format!("{count}{space}{weight}"))
        }
        TokenChipPart::Chunk(number) => (format!("chunk {number}"), String::new()),
        TokenChipPart::Part { is_first: true, weight } => (number(*weight), String::new()),
        TokenChipPart::Part { weight: 1.0, .. } => ("AND".to_owned(), String::new()),
        TokenChipPart::Part { weight, .. } => (format!("AND {}", number(*weight)), String::new()),
        TokenChipPart::Truncated => ("truncated here".to_owned(), String::new()),
    }
}

/// Draws what stands between chips.
fn mark_ui(ui: &Ui, mark: &TokenChipPart, place: Rect) {
    let tokens = Tokens::of(ui);
    let ink = match mark {
        TokenChipPart::Truncated => tokens.amber_text,
        TokenChipPart::Part { .. } => tokens.dim,
        _ => tokens.faint,
    };
    // The line where a chunk starts, and its name.
    let line = if *mark == TokenChipPart::Truncated { tokens.amber_text } else { tokens.line_strong };
    ui.painter().vline(place.left().round() + 0.5, place.y_range(), Stroke::new(1.0, line));
    let (face, _) = faces(mark);
    let at = pos2(place.left() + PAD, place.center().y);
    ui.painter().text(at, egui::Align2::LEFT_CENTER, face, theme::mono_small(), ink);
}

fn chip_ui(
    ui: &Ui,
    chips: &TokenChips<'_>,
    chip: &Chip,
    index: usize,
    place: Rect,
    keys: &mut Keys,
    shown: &mut ChipsShown,
) {
    let tokens = Tokens::of(ui);
    let sense = match (chips.can_choose, keys.stop == Some(index)) {
        (false, _) => Sense::hover(),
        // One stop for the Tab key; arrows move on from there.
        (true, true) => Sense::click(),
        (true, false) => Sense::CLICK,
    };
    let response = ui.interact(place, chip_id(chips.id, index), sense);
    let is_chosen = chips.chosen.is_some_and(|at| chip.still_matches(at.part, at.place));
    let name = if chips.can_choose { chip.name() } else { format!("{}, negative prompt", chip.name()) };
    let role = if chips.can_choose { Role::Button } else { Role::Label };
    response.widget_info(|| WidgetInfo::selected(role, ui.is_enabled(), is_chosen, &name));
    let is_edited = chips.edited.iter().any(|at| chip.still_matches(at.part, at.place));
    let is_pointed = chips.pointed.is_some_and(|byte| chip.range.contains(&byte)) || response.hovered();
    let (ink, hue) = match (is_edited, chip.id) {
        (true, _) => (tokens.violet, Some(tokens.violet)),
        (false, None) => (tokens.coral_text, Some(tokens.coral)),
        (false, Some(_)) => (tokens.dim, None),
    };
    paint_chip(ui, chip, place, ChipStyle { ink, hue, is_chosen, is_pointed });
    focus_ring(ui, &response, 4);
    if response.hovered() {
        shown.marked = Some(chip.range.clone());
    }
    if response.clicked() {
        keys.moved_to = Some(index);
        shown.clicked = Some(TokenRef { part: chip.part, place: chip.place });
    }
    tooltip(response, chips, chip, is_edited);
}

struct ChipStyle {
    ink: Color32,
    hue: Option<Color32>,
    is_chosen: bool,
    is_pointed: bool,
}

fn paint_chip(ui: &Ui, chip: &Chip, place: Rect, look: ChipStyle) {
    let tokens = Tokens::of(ui);
    let line = match (look.hue, look.is_chosen, look.is_pointed) {
        (Some(hue), ..) => hue,
        (None, true, _) => tokens.accent,
        (None, false, true) => tokens.line_strong,
        (None, false, false) => tokens.line,
    };
    let fill = match (look.is_chosen, look.is_pointed) {
        (true, _) => line.gamma_multiply(0.16),
        (false, true) => tokens.line.gamma_multiply(0.6),
        (false, false) => tokens.card,
    };
    let width = if look.is_chosen { 1.5 } else { 1.0 };
    let ink = if look.hue.is_none() && (look.is_chosen || look.is_pointed) { tokens.text } else { look.ink };
    let painter = ui.painter();
    painter.rect(place, CornerRadius::same(4), fill, Stroke::new(width, line), StrokeKind::Inside);
    let (face, more) = faces(&TokenChipPart::Token(chip.clone()));
    let inside = painter.with_clip_rect(place.shrink2(vec2(2.0, 0.0)).intersect(painter.clip_rect()));
    let middle = place.center().y;
    let galley = inside.layout_no_wrap(face, theme::mono_small(), ink);
    let at = pos2(place.left() + PAD, middle - galley.size().y / 2.0);
    let end = at.x + galley.size().x;
    inside.galley(at, galley, ink);
    if !more.is_empty() {
        let quiet = look.hue.unwrap_or(tokens.faint);
        let at = pos2(end + PAD - 1.0, middle);
        inside.text(at, egui::Align2::LEFT_CENTER, more, theme::mono_small(), quiet);
    }
}

fn tooltip(response: Response, chips: &TokenChips<'_>, chip: &Chip, is_edited: bool) {
    let id = chip.id.map(|id| format!("id {id}"));
    let last = chip.place.position + chip.count - 1;
    let positions = if chip.count == 1 {
        format!("Position {}", chip.place.position)
    } else {
        format!("A concept, positions {} to {last}", chip.place.position)
    };
    let chunk = match chips.read.parts.get(chip.part) {
        Some((_, text)) if text.chunks.len() > 1 => format!(" of chunk {}", chip.place.chunk + 1),
        _ => String::new(),
    };
    let weight = if chip.weight == 1.0 { String::new() } else { format!(", weight {:.3}", chip.weight) };
    let edited = if is_edited { ", edited" } else { "" };
    let click = match chips.can_choose {
        true => "Click to inspect or edit it.",
        false => "Words of the negative prompt cannot be edited.",
    };
    let sentence = format!("{positions}{chunk}{weight}{edited}. {click}");
    let response =
        if chips.can_choose { response.on_hover_cursor(CursorIcon::PointingHand) } else { response };
    tip(response, &chip.label, id.as_deref(), &sentence);
}

fn chip_id(id: Id, index: usize) -> Id {
    id.with(("chip", index))
}

/// Moves from chip to chip with the arrow keys.
struct Keys {
    /// The chip that the Tab key focuses.
    stop: Option<usize>,
    moved_to: Option<usize>,
}

impl Keys {
    fn of(ui: &Ui, chips: &TokenChips<'_>, laid: &Laid) -> Self {
        let is_chip = |index: usize| matches!(laid.pieces.get(index), Some((_, TokenChipPart::Token(_))));
        let last: Option<usize> = ui.data(|data| data.get_temp(chips.id.with("chip at the keyboard")));
        let first = || laid.chips().next().map(|(index, _)| index);
        Self { stop: last.filter(|&index| is_chip(index)).or_else(first), moved_to: None }
    }

    fn act(&mut self, ui: &Ui, chips: &TokenChips<'_>, laid: &Laid) {
        let Some(stop) = self.stop else { return };
        if ui.memory(|memory| memory.has_focus(chip_id(chips.id, stop))) {
            let arrows = EventFilter { horizontal_arrows: true, vertical_arrows: true, ..Default::default() };
            ui.memory_mut(|memory| memory.set_focus_lock_filter(chip_id(chips.id, stop), arrows));
            let next = next_chip(ui, laid, stop);
            if let Some(next) = next {
                self.moved_to = Some(next);
                ui.memory_mut(|memory| memory.request_focus(chip_id(chips.id, next)));
                let place = laid.pieces[next].0.translate(ui.min_rect().min.to_vec2());
                ui.scroll_to_rect(place.expand(GAP), None);
            }
        }
        if let Some(index) = self.moved_to {
            ui.data_mut(|data| data.insert_temp(chips.id.with("chip at the keyboard"), index));
        }
    }
}

/// The chip that an arrow key moves to.
fn next_chip(ui: &Ui, laid: &Laid, from: usize) -> Option<usize> {
    let pressed = |key| ui.input_mut(|input| input.consume_key(Modifiers::NONE, key));
    let before = || laid.chips().take_while(|(index, _)| *index < from);
    let after = || laid.chips().skip_while(|(index, _)| *index <= from);
    let here = laid.pieces.get(from)?.0;
    let in_row = |y: f32| {
        let row = laid.chips().filter(move |(index, _)| laid.pieces[*index].0.top() == y);
        let distance = |index: usize| (laid.pieces[index].0.center().x - here.center().x).abs();
        row.map(|(index, _)| index).min_by(|a, b| distance(*a).total_cmp(&distance(*b)))
    };
    if pressed(Key::ArrowRight) {
        after().next().map(|(index, _)| index)
    } else if pressed(Key::ArrowLeft) {
        before().last().map(|(index, _)| index)
    } else if pressed(Key::ArrowDown) {
        in_row(here.top() + PITCH)
    } else if pressed(Key::ArrowUp) {
        in_row(here.top() - PITCH)
    } else if pressed(Key::Home) {
        laid.chips().next().map(|(index, _)| index)
    } else if pressed(Key::End) {
        laid.chips().next_back().map(|(index, _)| index)
    } else {
        None
    }
}
