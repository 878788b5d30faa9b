//! A card: controls that belong together, on their own background.

use egui::{CornerRadius, Frame, Margin, Stroke, Ui};

use crate::ui::theme;
use crate::ui::theme::Tokens;

pub fn card_ui(ui: &mut Ui, contents: impl FnOnce(&mut Ui)) {
    let tokens = Tokens::of(ui);
    Frame::new()
        .fill(tokens.card)
        .stroke(Stroke::new(1.0, tokens.line))
        .corner_radius(CornerRadius::same(theme::CORNER_CARD))
        .inner_margin(Margin::symmetric(11, 9))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.spacing_mut().item_spacing.y = theme::GAP_S + 2.0;
            contents(ui);
        });
}
