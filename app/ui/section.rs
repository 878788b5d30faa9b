//! What divides a panel: a heading with something quiet at its right, and a line between two sections.

use egui::{Align, Layout, RichText, Ui};

use super::theme::{self, Tokens};
use super::widgets::line_ui;

/// A heading alone.
pub fn title_ui(ui: &mut Ui, text: &str) {
    ui.label(RichText::new(text).font(theme::heading()).color(Tokens::of(ui).text));
}

/// `facts` may be empty.
pub fn heading_ui(ui: &mut Ui, text: &str, facts: &str) {
    ui.horizontal(|ui| {
        title_ui(ui, text);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.label(RichText::new(facts).font(theme::mono()).color(Tokens::of(ui).dim));
        });
    });
}

/// A line with `gap` above and below it.
pub fn rule_ui(ui: &mut Ui, gap: f32) {
    ui.add_space(gap);
    line_ui(ui);
    ui.add_space(gap);
}
