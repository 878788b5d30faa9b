//! The head of a guide in the list: on or off, up, down, away.

use egui::{Align, Layout, Ui};
use engine::losses::LossGuide;

use crate::ui::widgets::{Icon, Tool, check_ui, close_ui, icon_button_ui};

/// What happens to a guide in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListEdit {
    Remove,
    MoveUp,
    MoveDown,
}

impl ListEdit {
    pub fn apply(self, guides: &mut Vec<LossGuide>, index: usize) {
        match self {
            Self::Remove => drop(guides.remove(index)),
            Self::MoveUp => guides.swap(index - 1, index),
            Self::MoveDown => guides.swap(index, index + 1),
        }
    }
}

/// The name of a guide, which switches it on and off, and its buttons.
pub(super) fn head_ui(ui: &mut Ui, guide: &mut LossGuide, index: usize, count: usize) -> Option<ListEdit> {
    let mut edit = None;
    ui.horizontal(|ui| {
        let mut is_on = !guide.off;
        let sentence = "Switches this guide on or off. Its settings stay.";
        if check_ui(ui, guide.loss.label(), sentence, &mut is_on).changed() {
            guide.off = !is_on;
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.spacing_mut().item_spacing.x = 2.0;
            if close_ui(ui, "Remove this guide").clicked() {
                edit = Some(ListEdit::Remove);
            }
            let moves = [
                (Icon::ChevronDown, "Move down", ListEdit::MoveDown, index + 1 < count),
                (Icon::ChevronUp, "Move up", ListEdit::MoveUp, index > 0),
            ];
            for (icon, name, moved, _) in moves.into_iter().filter(|(.., is_possible)| *is_possible) {
                let sentence = "The order changes nothing but this list.";
                if icon_button_ui(ui, icon, name, None, sentence, Tool::Bare).clicked() {
                    edit = Some(moved);
                }
            }
        });
    });
    edit
}
