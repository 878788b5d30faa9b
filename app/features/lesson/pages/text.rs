//! Page 5: a prompt as tokens, and their way through the text encoder.

use egui::{CornerRadius, Rect, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, vec2};
use engine::prompt::TokenPlace;
use engine::recipe::Recipe;

use crate::features::command::Command;
use crate::features::lesson::Experiment;
use crate::features::lesson::page::{
    experiment_ui, fact_ui, formula_ui, live_ui, note, paragraph, thousands,
};
use crate::features::lesson::panel::PageContext;
use crate::features::settings::SettingsCommand;
use crate::features::settings::tab::Tab;
use crate::features::words::{TokenRef, TokenStatus};
use crate::ui::section::heading_ui;
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{SliderRow, link_ui, note_ui, slider_row_ui};

/// Longer prompts are truncated here.
const MAX_CHIPS: usize = 40;

pub fn text_ui(ui: &mut Ui, context: &mut PageContext<'_>) {
    paragraph(
        ui,
        "A prompt is split into tokens, which are words or parts of words, each with a number. \
            The number is a row in a table: the token's embedding. Another row is added to it, for \
            the token's position.",
    );
    live_ui(ui, |ui| tokens_ui(ui, context));
    let link = link_ui(ui, "Change any word in the Words tab", theme::body(), Tokens::of(ui).accent, true);
    if link.clicked() {
        let (tab, drawer) = (Some(Tab::Words), context.state.shared.drawer_open);
        context.commands.push(Command::Settings(SettingsCommand::ShowTab { tab, drawer }));
    }
    ui.add_space(theme::GAP_M);
    paragraph(
        ui,
        "Then come layers in which each token attends to itself and to the tokens before it, \
            never to those after it. A change to one word therefore leaves everything before it \
            untouched and moves everything after it.",
    );
    paragraph(
        ui,
        "Between the table and the layers you can put in what you like: another word's row, or \
            half of one and half of another, a word that no language has.",
    );
    formula_ui(ui, &["e = 0.5 · e(puppy) + 0.5 · e(skunk)"]);
    for (experiment, is_strong) in
        [(Experiment::Puppy, true), (Experiment::Replace, false), (Experiment::Blend, false)]
    {
        experiment_ui(ui, context, experiment, is_strong);
    }
    paragraph(ui, "Or send two prompts through all the layers and mix the outputs, position by position:");
    formula_ui(ui, &["E = (1 − m) · E₁ + m · E₂"]);
    experiment_ui(ui, context, Experiment::Mix, false);
    live_ui(ui, |ui| share_ui(ui, context));
}

/// The current prompt as the model reads it.
fn tokens_ui(ui: &mut Ui, context: &PageContext<'_>) {
    let (Some(read), Some(words)) = (&context.state.prompts.prompt, &context.state.prompts.tokenizer) else {
        note(ui, "The tokens of your prompt appear here as soon as a model is open.");
        return;
    };
    let Some((_, text)) = read.parts.first() else { return };
    heading_ui(ui, "Your prompt", &format!("{} of {} tokens", read.used(), read.capacity()));
    let place = |standing: &TokenStatus| match standing {
        TokenStatus::At(TokenRef { part: 0, place }) => Some(*place),
        _ => None,
    };
    let edited: Vec<TokenPlace> = context.state.words.standings.iter().filter_map(place).collect();
    // Each chunk is encoded separately.
    let is_behind = |place: TokenPlace| {
        edited.iter().any(|edit| edit.chunk == place.chunk && edit.position < place.position)
    };
    let chip_at = |place: TokenPlace| match () {
        () if edited.contains(&place) => Chip::Edited,
        () if is_behind(place) => Chip::Moved,
        () => Chip::Plain,
    };
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing = vec2(4.0, 4.0);
        let Some(first) = text.chunks.first() else { return };
        chip_ui(ui, "begin", &first.ids[0].to_string(), Chip::Plain);
        for (place, token) in text.tokens().take(MAX_CHIPS) {
            let piece = match &token.vector {
                Some((concept, _)) => concept.token.clone(),
                None => words.piece(token.id).unwrap_or_default().replace("</w>", ""),
            };
            let id = if token.vector.is_some() { "concept".to_owned() } else { token.id.to_string() };
            chip_ui(ui, &piece, &id, chip_at(place));
        }
        // The rest is padding.
        let end = TokenPlace { chunk: 0, position: first.tokens.len() + 1 };
        if let Some(id) = first.ids.get(end.position).filter(|_| text.used() <= MAX_CHIPS) {
            chip_ui(ui, "end …", &id.to_string(), chip_at(end));
        }
    });
    if text.used() > MAX_CHIPS {
        note(ui, &format!("and {} more", text.used() - MAX_CHIPS));
    }
    changes_ui(ui, context.recipe);
    if !edited.is_empty() {
        let words = "Filled: edited. Underlined: changed by an edit. The rest is unchanged.";
        note(ui, words);
    }
    if let Some(info) = context.state.shared.model_info() {
        let (rows, width) = (thousands(info.tokenizer.vocabulary_len()), info.text_width);
        fact_ui(ui, "Embedding table", &format!("{rows} × {width}"));
        let positions = (info.tokenizer.capacity() + 2) * text.chunks.len();
        fact_ui(ui, "What the UNet gets", &format!("{positions} × {width}"));
    }
}

/// The edits and mixes of the recipe, as the command line writes them.
fn changes_ui(ui: &mut Ui, recipe: &Recipe) {
    let violet = Tokens::of(ui).violet;
    let edits = recipe.edits.iter().map(ToString::to_string);
    let mixes = recipe.mix.prompts.iter().map(|mixed| format!("+ {} × {}", mixed.weight, mixed.prompt));
    for change in edits.chain(mixes) {
        note_ui(ui, change, theme::mono(), violet);
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Chip {
    Plain,
    Edited,
    /// Changed by an earlier edit.
    Moved,
}

/// A token above its id.
fn chip_ui(ui: &mut Ui, piece: &str, id: &str, chip: Chip) {
    let tokens = Tokens::of(ui);
    let ink = if chip == Chip::Edited { tokens.violet } else { tokens.text };
    let word = ui.painter().layout_no_wrap(piece.to_owned(), theme::label(), ink);
    let number = ui.painter().layout_no_wrap(id.to_owned(), theme::mono_small(), tokens.dim);
    let widest = ui.available_width().max(40.0);
    let size = vec2((word.size().x.max(number.size().x) + 14.0).min(widest), 38.0);
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("{piece}, {id}")));
    let fill = if chip == Chip::Edited { tokens.violet.gamma_multiply(0.16) } else { tokens.field };
    let line = if chip == Chip::Edited { tokens.violet } else { tokens.line };
    let corner = CornerRadius::same(theme::CORNER_FIELD);
    ui.painter().rect(rect, corner, fill, Stroke::new(1.0, line), StrokeKind::Inside);
    let painter = ui.painter_at(rect);
    let top = |y: f32, width: f32| rect.center_top() + vec2(-width / 2.0, y);
    let (word_at, number_at) = (top(3.0, word.size().x), top(21.0, number.size().x));
    painter.galley(word_at, word, ink);
    painter.galley(number_at, number, tokens.dim);
    if chip == Chip::Moved {
        let under = Rect::from_min_max(rect.left_bottom() - vec2(0.0, 2.5), rect.right_bottom());
        painter.rect_filled(under, CornerRadius::same(1), tokens.violet);
    }
    response.on_hover_ui(|ui| {
        let text = match chip {
            Chip::Plain => "Its outputs are unchanged.",
            Chip::Edited => "Its embedding was changed.",
            Chip::Moved => "It attends to a changed token before it, so its outputs change too.",
        };
        ui.label(format!("{piece}: {text}"));
    });
}

/// The weights of the current blend or mix.
fn share_ui(ui: &mut Ui, context: &mut PageContext<'_>) {
    heading_ui(ui, "Share of the second", "");
    let Some((name, share)) = share_of(context.recipe) else {
        note(ui, "Set up a blend or a mix above to change its share here.");
        return;
    };
    let row = SliderRow {
        name: "Share",
        sentence: "The share of the second word or prompt. The first has the rest.",
        track: 0.0..=1.0,
        limits: 0.0..=1.0,
        default: 0.5,
        step: 0.05,
        decimals: 2,
        hue: Tokens::of(ui).accent,
    };
    let mut edited = share.to_string().parse().unwrap_or(f64::from(share));
    if slider_row_ui(ui, &row, &mut edited).changed() {
        set_share(context.recipe, edited as f32);
    }
    note(ui, &name);
    note(ui, "Generate makes it again from the same seed.");
}

/// The second share of the current blend or mix; `None` if there is none.
fn share_of(recipe: &Recipe) -> Option<(String, f32)> {
    if let [mixed] = &recipe.mix.prompts[..] {
        return Some((format!("\"{}\" beside \"{}\"", mixed.prompt, recipe.prompt), mixed.weight));
    }
    let edit = recipe.edits.iter().find(|edit| edit.replacement.len() == 2)?;
    Some((edit.to_string(), edit.replacement[1].weight))
}

fn set_share(recipe: &mut Recipe, share: f32) {
    // In hundredths, so that 0.45 and its complement are written exactly.
    let rest = ((1.0 - share) * 100.0).round() / 100.0;
    if let [mixed] = &mut recipe.mix.prompts[..] {
        mixed.weight = share;
    } else if let Some(edit) = recipe.edits.iter_mut().find(|edit| edit.replacement.len() == 2) {
        edit.replacement[0].weight = rest;
        edit.replacement[1].weight = share;
    }
}
