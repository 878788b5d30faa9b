//! Where a guide acts: the buttons below it in the Guides tab.

use egui::Ui;
use engine::losses::LossGuide;

use crate::features::brush::BrushCommand;
use crate::features::command::Command;
use crate::features::settings::Tab;
use crate::features::settings::tab::open_tab;
use crate::features::state::AppState;
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{label_ui, note_ui, text_button_ui, tip};

pub fn mask_row_ui(
    ui: &mut Ui,
    state: &AppState,
    index: usize,
    guide: &mut LossGuide,
    commands: &mut Vec<Command>,
) {
    ui.add_space(theme::GAP_S);
    label_ui(ui, if guide.mask.is_some() { "Mask" } else { "Mask: the whole picture" });
    let mut asked = None;
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = theme::GAP_S;
        if state.brush.draws_mask(index) {
            if text_button_ui(ui, None, "Put the brush down", None).clicked() {
                asked = Some(Command::Brush(BrushCommand::Close));
            }
        } else {
            let sentence = "Draws where this guide acts, with a brush on the picture.";
            if tip(text_button_ui(ui, None, "Draw a mask", None), "Draw a mask", None, sentence).clicked() {
                asked = Some(Command::Brush(BrushCommand::DrawMask(index)));
            }
        }
        let sentence = "The mask is white where the chosen word looks. Choose the word in the Words tab.";
        let name = "Where a word looks";
        if tip(text_button_ui(ui, None, name, None), name, None, sentence).clicked() {
            // In the Words tab the word is chosen and its maps are made.
            asked = Some(match state.mask_of_word() {
                Some(_) => Command::Brush(BrushCommand::MaskFromWord(index)),
                None => open_tab(ui, Tab::Words),
            });
        }
    });
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = theme::GAP_S;
        let sentence = "A picture from a file: the guide acts where it is white.";
        if tip(text_button_ui(ui, None, "Load…", None), "Load", None, sentence).clicked() {
            asked = Some(Command::Brush(BrushCommand::LoadMask(index)));
        }
        if guide.mask.is_some() {
            let response = text_button_ui(ui, None, "Remove", None);
            if tip(response, "Remove the mask", None, "The guide acts everywhere again.").clicked() {
                guide.mask = None;
            }
        }
    });
    commands.extend(asked);
    if state.brush.draws_mask(index) {
        note_ui(ui, "Draw on the picture.", theme::small(), Tokens::of(ui).accent);
    }
}
