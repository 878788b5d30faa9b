//! Further prompts, mixed into the main one after the text encoder.

use egui::{Align, Frame, Layout, Margin, RichText, TextEdit, Ui};
use engine::prompt::{Mix, MixMethod, Mixed};
use engine::recipe::Recipe;

use super::replacement::tenth_places;
use crate::features::command::Command;
use crate::features::settings::Tab;
use crate::features::settings::tab::open_tab;
use crate::features::xy_plot::XyPlotCommand;
use crate::ui::section::heading_ui;
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{
    Icon, SliderRow, close_ui, field_frame, note_ui, segmented_ui, slider_row_ui, text_button_ui,
};

pub fn mix_ui(ui: &mut Ui, recipe: &mut Recipe, commands: &mut Vec<Command>) {
    let tokens = Tokens::of(ui);
    let mix = &mut recipe.mix;
    let main =
        if mix.prompts.is_empty() { String::new() } else { format!("this prompt {:.2}", mix.main_weight()) };
    heading_ui(ui, "Mix prompts", &main.replace('-', "−"));
    if mix.prompts.is_empty() {
        let text = "Mix in a second prompt for a picture between the two.";
        note_ui(ui, text, theme::small(), tokens.dim);
    }
    ui.add_space(theme::GAP_S);
    let mut dropped = None;
    for (index, mixed) in mix.prompts.iter_mut().enumerate() {
        ui.push_id(index, |ui| {
            if mixed_ui(ui, index, mixed) {
                dropped = Some(index);
            }
        });
        ui.add_space(theme::GAP_M);
    }
    if let Some(index) = dropped {
        mix.prompts.remove(index);
        if mix.prompts.is_empty() {
            mix.method = MixMethod::default();
        }
    }
    if !mix.prompts.is_empty() {
        let ways = MixMethod::ALL.map(|way| way.label().to_owned());
        let chosen = MixMethod::ALL.iter().position(|&way| way == mix.method).unwrap_or_default();
        let hint = |index: usize| MixMethod::ALL[index].hint().to_owned();
        if let Some(index) = segmented_ui(ui, "Mix", &ways, chosen, hint) {
            mix.method = MixMethod::ALL[index];
        }
        ui.add_space(theme::GAP_S);
    }
    ui.horizontal(|ui| {
        if mix.prompts.len() < Mix::MAX
            && text_button_ui(ui, Some(Icon::Plus), "Add a prompt", None).clicked()
        {
            // The new prompt takes half of the main prompt's share.
            let weight = (50.0 * mix.main_weight()).round() / 100.0;
            mix.prompts.push(Mixed { prompt: String::new(), weight: weight.max(0.0) });
        }
        if !mix.prompts.is_empty() {
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let sentence = "An X/Y plot along the mix, with one seed.";
                if text_button_ui(ui, None, "Strip", None).on_hover_text(sentence).clicked() {
                    commands.push(Command::XyPlot(XyPlotCommand::Vary { down: false, name: "mix" }));
                    commands.push(Command::XyPlot(XyPlotCommand::Down(None)));
                    commands.push(open_tab(ui, Tab::XyPlot));
                }
            });
        }
    });
}

/// One of the mixed prompts. True when it is removed.
fn mixed_ui(ui: &mut Ui, index: usize, mixed: &mut Mixed) -> bool {
    let tokens = Tokens::of(ui);
    let id = ui.scope_id().with("mixed prompt");
    let focused = ui.memory(|memory| memory.has_focus(id));
    field_frame(tokens, focused).show(ui, |ui| {
        let hint = RichText::new("Another prompt").font(theme::body()).color(tokens.faint);
        let field = TextEdit::multiline(&mut mixed.prompt).id(id).hint_text(hint).font(theme::body());
        let inset = Frame::NONE.inner_margin(Margin::symmetric(10, 6));
        let response = ui.add(field.frame(inset).desired_rows(1).desired_width(ui.available_width()));
        response.accessible_name(format!("Mixed prompt {}", index + 1));
    });
    let row = SliderRow {
        name: "Share",
        sentence: "The share of this prompt in the mix. The main prompt has the rest.",
        track: 0.0..=1.0,
        limits: f64::from(*Mix::WEIGHT.start())..=f64::from(*Mix::WEIGHT.end()),
        default: 0.5,
        step: 0.05,
        decimals: 2,
        hue: tokens.accent,
    };
    let mut is_dropped = false;
    ui.horizontal(|ui| {
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            is_dropped = close_ui(ui, &format!("Remove mixed prompt {}", index + 1)).clicked();
            let mut weight = tenth_places(mixed.weight);
            if slider_row_ui(ui, &row, &mut weight).changed() {
                mixed.weight = weight as f32;
            }
        });
    });
    is_dropped
}
