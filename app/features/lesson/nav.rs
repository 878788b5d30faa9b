//! Navigation of the lesson: back, nine dots, next, and restoring the workspace.

use egui::{Align, CursorIcon, EventFilter, Key, Layout, Role, Sense, Stroke, Ui, Vec2, WidgetInfo, vec2};

use crate::features::command::Command;
use crate::features::lesson::{LessonCommand, LessonPage};
use crate::features::state::Shared;
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{line_ui, note_ui, outlined_button_ui, text_button_ui, tip};

/// The width of a dot with its padding.
const CELL: Vec2 = vec2(17.0, 24.0);
/// Height of the button that restores the workspace.
const BUTTON: f32 = 140.0;

pub fn way_ui(ui: &mut Ui, shared: &Shared, commands: &mut Vec<Command>) {
    let mut requests = Vec::new();
    ui.add_space(theme::GAP_M);
    line_ui(ui);
    if shared.settings.lesson.previous.is_some() {
        ui.add_space(theme::GAP_M);
        put_back_ui(ui, &mut requests);
    }
    ui.add_space(theme::GAP_S);
    let at = shared.settings.lesson.page;
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 0.0;
        ui.set_min_height(CELL.y);
        step_ui(ui, "Back", at.previous(), &mut requests);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            step_ui(ui, "Next", at.next(), &mut requests);
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                let dots = CELL.x * LessonPage::ALL.len() as f32;
                ui.add_space(((ui.available_width() - dots) / 2.0).max(0.0));
                for stop in LessonPage::ALL {
                    dot_ui(ui, stop, at, &mut requests);
                }
            });
        });
    });
    commands.extend(requests.into_iter().map(Command::Lesson));
}

fn step_ui(ui: &mut Ui, name: &str, to: Option<LessonPage>, requests: &mut Vec<LessonCommand>) {
    let button = ui.add_enabled_ui(to.is_some(), |ui| text_button_ui(ui, None, name, None)).inner;
    let Some(to) = to else { return };
    if tip(button, to.subject(), None, to.title()).clicked() {
        requests.push(LessonCommand::GoTo(to));
    }
}

/// The arrow keys move from the focused dot.
fn dot_ui(ui: &mut Ui, stop: LessonPage, at: LessonPage, requests: &mut Vec<LessonCommand>) {
    let tokens = Tokens::of(ui);
    let (cell, response) = ui.allocate_exact_size(CELL, Sense::click());
    let name = format!("Page {}, {}", stop.number(), stop.subject());
    response.widget_info(|| WidgetInfo::selected(Role::RadioButton, ui.is_enabled(), stop == at, &name));
    let center = cell.center();
    if stop == at {
        ui.painter().circle_filled(center, 5.0, tokens.accent);
    } else {
        let ink = if response.hovered() { tokens.text } else { tokens.dim };
        ui.painter().circle_stroke(center, 3.5, Stroke::new(1.3, ink));
    }
    if response.has_focus() {
        ui.painter().circle_stroke(center, 7.5, Stroke::new(1.5, tokens.accent));
        let arrows = EventFilter { horizontal_arrows: true, ..EventFilter::default() };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, arrows));
        let pressed = |key| ui.input(|input| input.key_pressed(key));
        let to = match (pressed(Key::ArrowLeft), pressed(Key::ArrowRight)) {
            (true, false) => at.previous(),
            (false, true) => at.next(),
            _ => None,
        };
        requests.extend(to.map(LessonCommand::GoTo));
    }
    let response = response.on_hover_cursor(CursorIcon::PointingHand);
    if tip(response, stop.subject(), None, stop.title()).clicked() {
        requests.push(LessonCommand::GoTo(stop));
    }
}

fn put_back_ui(ui: &mut Ui, requests: &mut Vec<LessonCommand>) {
    let tokens = Tokens::of(ui);
    let words = "The window is set up for an experiment.";
    ui.horizontal(|ui| {
        ui.vertical(|ui| {
            ui.set_width(ui.available_width() - BUTTON);
            note_ui(ui, words, theme::small(), tokens.dim);
        });
        let sentence =
            "Restores prompt, settings, views and X/Y plot to what they were before the first experiment.";
        let button = outlined_button_ui(ui, "Restore settings", false);
        if tip(button, "Restore settings", None, sentence).clicked() {
            requests.push(LessonCommand::PutBack);
        }
    });
}
