//! The overlay while a file hovers over the window, and the question after it was dropped.

use std::path::Path;

use egui::{
    Align2, Area, Color32, CornerRadius, Frame, Id, Key, Margin, Order, Rect, RichText, Sense, Shadow,
    Stroke, StrokeKind, Ui, Vec2, pos2, vec2,
};

use crate::features::command::Command;
use crate::features::drop::{DropCommand, FileContents};
use crate::features::state::AppState;
use crate::ui::textures::{Textures, Use};
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{Icon, dashed_rect, note_ui, outlined_button_ui};
use engine::files::{FileKind, classify};
use engine::format::ellipsize;

pub fn drop_overlay_ui(ui: &Ui, state: &AppState, textures: &mut Textures, commands: &mut Vec<Command>) {
    let hovering = ui.input(|input| input.raw.hovered_files.clone());
    if let Some(file) = hovering.first() {
        hovering_ui(ui, file.path.as_deref(), hovering.len());
    } else if state.dropped.is_some() {
        asking_ui(ui, state, textures, commands);
    }
}

/// Highlights the window and says what a drop would do.
fn hovering_ui(ui: &Ui, path: Option<&Path>, count: usize) {
    let tokens = Tokens::of(ui);
    let window = ui.ctx().content_rect();
    let layer = egui::LayerId::new(Order::Foreground, Id::unique("drop target"));
    let painter = ui.ctx().layer_painter(layer);
    painter.rect_filled(window, 0.0, tokens.canvas.gamma_multiply(0.95));
    let frame = window.shrink(22.0);
    painter.rect_filled(frame, 14.0, tokens.coral.gamma_multiply(0.08));
    painter.extend(dashed_rect(frame, 14.0, Stroke::new(2.0, tokens.coral)));

    let (icon, what, sentence) = match path.map(classify) {
        Some(FileKind::Folder) => {
            (Icon::Folder, "Models", "Drop to open the model in this folder, or to list the models in it.")
        }
        Some(FileKind::Concept) => (Icon::Words, "Concept", "Drop to load this concept."),
        Some(FileKind::Model) => (Icon::Folder, "Model", "Drop to open this file as the model."),
        Some(FileKind::Png) => (
            Icon::Picture,
            "Start image or settings",
            "Drop to start from this picture, or to use the settings inside it.",
        ),
        _ => (Icon::Picture, "Start image", "Drop to start from this picture instead of noise."),
    };
    let middle = window.center();
    let disc = Rect::from_center_size(middle - vec2(0.0, 54.0), Vec2::splat(72.0));
    painter.circle(disc.center(), 36.0, tokens.card, Stroke::new(1.0, tokens.line_strong));
    icon.paint_sized(&painter, disc, 34.0, tokens.coral_text);
    painter.text(middle + vec2(0.0, 2.0), Align2::CENTER_TOP, what, theme::title(), tokens.text);
    painter.text(middle + vec2(0.0, 34.0), Align2::CENTER_TOP, sentence, theme::body(), tokens.dim);
    if let Some(name) = path.and_then(Path::file_name) {
        let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
        let name = format!("{}{more}", name.to_string_lossy());
        painter.text(middle + vec2(0.0, 60.0), Align2::CENTER_TOP, name, theme::mono(), tokens.dim);
    }
}

/// A picture with a recipe can be a start image or settings.
fn asking_ui(ui: &Ui, state: &AppState, textures: &mut Textures, commands: &mut Vec<Command>) {
    let Some(dropped) = &state.dropped else { return };
    let FileContents::Picture { pixels, found: Some(found), .. } = &dropped.contents else {
        return;
    };
    let tokens = Tokens::of(ui);
    let window = ui.ctx().content_rect();
    let veil = Area::new(Id::unique("drop veil")).order(Order::Middle).fixed_pos(window.min);
    let behind = veil.show(ui.ctx(), |ui| {
        let (rect, response) = ui.allocate_exact_size(window.size(), Sense::click());
        ui.painter().rect_filled(rect, 0.0, Color32::from_black_alpha(120));
        response
    });
    let info =
        Area::new(Id::unique("drop card")).order(Order::Foreground).anchor(Align2::CENTER_CENTER, Vec2::ZERO);
    info.show(ui.ctx(), |ui| {
        Frame::new()
            .fill(tokens.panel)
            .stroke(Stroke::new(1.0, tokens.line_strong))
            .corner_radius(CornerRadius::same(12))
            .shadow(Shadow { offset: [0, 16], blur: 48, spread: 0, color: tokens.shadow })
            .inner_margin(Margin::same(20))
            .show(ui, |ui| {
                ui.set_width(430.0);
                ui.horizontal_top(|ui| {
                    let texture = textures.get(ui.ctx(), pixels, Use::Canvas);
                    let side = vec2(pixels.width as f32, pixels.height as f32);
                    let fit = side * (132.0 / side.x.max(side.y));
                    let (rect, _) = ui.allocate_exact_size(fit, Sense::hover());
                    let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
                    let corner = CornerRadius::same(theme::CORNER_TOOL);
                    let shape = egui::epaint::RectShape::filled(rect, corner, Color32::WHITE);
                    ui.painter().add(shape.with_texture(texture.id(), uv));
                    ui.painter().rect_stroke(rect, corner, Stroke::new(1.0, tokens.line), StrokeKind::Inside);
                    ui.add_space(theme::GAP_M);
                    ui.vertical(|ui| {
                        let heading = "This picture contains its settings";
                        ui.label(RichText::new(heading).font(theme::heading()).color(tokens.text));
                        let recipe = &found.provenance.recipe;
                        let prompt = ellipsize(&recipe.prompt, MAX_LETTERS);
                        note_ui(ui, format!("“{prompt}”"), theme::body(), tokens.dim);
                        let facts = format!(
                            "{} steps · {} · seed {}",
                            recipe.steps,
                            recipe.sampler.label(),
                            recipe.seed
                        );
                        note_ui(ui, facts, theme::mono(), tokens.dim);
                        let missing = state.concepts.set.missing(&found.provenance.concepts);
                        for note in missing.iter().chain(&found.notes).take(3) {
                            note_ui(ui, note, theme::small(), tokens.amber_text);
                        }
                    });
                });
                ui.add_space(theme::EDGE);
                ui.horizontal(|ui| {
                    if outlined_button_ui(ui, "Use its settings", true).clicked() {
                        commands.push(Command::Drop(DropCommand::UseSettings));
                    }
                    if outlined_button_ui(ui, "Use as start image", false).clicked() {
                        commands.push(Command::Drop(DropCommand::UseAsStart));
                    }
                    if outlined_button_ui(ui, "Cancel", false).clicked() {
                        commands.push(Command::Drop(DropCommand::Dismiss));
                    }
                });
            });
    });
    if behind.inner.clicked() || ui.input(|input| input.key_pressed(Key::Escape)) {
        commands.push(Command::Drop(DropCommand::Dismiss));
    }
}

/// The most characters of a prompt that are shown.
const MAX_LETTERS: usize = 140;
