//! The start image: where to drop it, and which part of it is used.

use std::path::Path;

use egui::{
    Align, CornerRadius, Layout, Rect, RichText, Sense, Stroke, StrokeKind, TextureId, Ui, UiBuilder, Vec2,
    pos2, vec2,
};
use engine::images::{CropRect, crop_to_fill};
use engine::recipe::{Recipe, Start};

use crate::features::command::Command;
use crate::features::errors::ErrorSlot;
use crate::features::start_image::{StartImageCommand, StartPicture};
use crate::features::state::AppState;
use crate::ui::keys;
use crate::ui::textures::{Textures, Use};
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{dashed_rect, label_ui, link_ui, note_ui, problem_ui, tip};

const THUMB: f32 = 58.0;

pub fn start_image_ui(ui: &mut Ui, state: &AppState, textures: &mut Textures, commands: &mut Vec<Command>) {
    let tokens = Tokens::of(ui);
    ui.horizontal(|ui| {
        label_ui(ui, "Start image");
        if matches!(state.shared.recipe.start, Start::Image { .. }) {
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                if link_ui(ui, "Remove", theme::label(), tokens.coral_text, false).clicked() {
                    commands.push(Command::StartImage(StartImageCommand::Remove));
                }
            });
        }
    });
    match &state.shared.recipe.start {
        Start::Noise => drop_zone_ui(ui, commands),
        Start::Image { path, .. } => chosen_ui(ui, state, path, textures, commands),
    }
    if let Some(text) = state.shared.error_at(ErrorSlot::StartImage)
        && problem_ui(ui, &text, true)
    {
        commands.push(Command::Dismiss(ErrorSlot::StartImage));
    }
}

/// The empty state, which says how to add one.
fn drop_zone_ui(ui: &mut Ui, commands: &mut Vec<Command>) {
    let tokens = Tokens::of(ui);
    let (rect, zone) = ui.allocate_exact_size(vec2(ui.available_width(), 42.0), Sense::click());
    let line = if zone.hovered() { tokens.dim } else { tokens.line_strong };
    let corner = f32::from(theme::CORNER_FIELD);
    ui.painter().extend(dashed_rect(rect.shrink(0.5), corner, Stroke::new(1.0, line)));

    let font = theme::label();
    let pieces =
        [("Drop a picture here, ", false), ("paste", true), (", or ", false), ("choose a file…", true)];
    let width: f32 = pieces
        .iter()
        .map(|(text, _)| ui.painter().layout_no_wrap((*text).to_owned(), font.clone(), tokens.dim).size().x)
        .sum();
    let height = ui.fonts_mut(|fonts| fonts.row_height(&font));
    let words = Rect::from_center_size(rect.center(), vec2(width, height));
    // A separate child: a scope would move the cursor back into the drop zone.
    let in_a_row = Layout::left_to_right(Align::Center);
    let mut line = ui.new_child(UiBuilder::new().max_rect(words).layout(in_a_row));
    line.spacing_mut().item_spacing.x = 0.0;
    for (text, is_link) in pieces {
        if !is_link {
            line.label(RichText::new(text).font(font.clone()).color(tokens.faint));
            continue;
        }
        let response = link_ui(&mut line, text, font.clone(), tokens.dim, true);
        let (command, key, sentence) = if text == "paste" {
            (
                Command::StartImage(StartImageCommand::Paste),
                keys::PASTE_IMAGE_KEY,
                "Starts from the picture on the clipboard.",
            )
        } else {
            (
                Command::StartImage(StartImageCommand::Choose),
                keys::CHOOSE_IMAGE_KEY,
                "Starts from a picture instead of noise.",
            )
        };
        if tip(response, "Start image", Some(key), sentence).clicked() {
            commands.push(command);
        }
    }
    if zone.clicked() {
        commands.push(Command::StartImage(StartImageCommand::Choose));
    }
}

fn chosen_ui(
    ui: &mut Ui,
    state: &AppState,
    path: &Path,
    textures: &mut Textures,
    commands: &mut Vec<Command>,
) {
    let tokens = Tokens::of(ui);
    ui.horizontal(|ui| {
        let (frame, response) = ui.allocate_exact_size(Vec2::splat(THUMB), Sense::click());
        ui.painter().rect_filled(frame, CornerRadius::same(theme::CORNER_FIELD), tokens.field);
        if let Some(picture) = &state.start_picture {
            let texture = textures.get(ui.ctx(), &picture.pixels, Use::Thumbnail);
            thumbnail_ui(ui, frame, picture, &state.shared.recipe, texture.id());
        }
        if tip(response, "Start image", None, "Click to choose another.").clicked() {
            commands.push(Command::StartImage(StartImageCommand::Choose));
        }
        ui.vertical(|ui| {
            ui.spacing_mut().item_spacing.y = 1.0;
            ui.add_space(10.0);
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
            let name = RichText::new(name).font(theme::body()).color(tokens.text);
            ui.add(egui::Label::new(name).truncate()).on_hover_text(path.display().to_string());
            let facts = state
                .start_picture
                .as_ref()
                .map_or("reading".to_owned(), |picture| facts_of(picture, &state.shared.recipe));
            note_ui(ui, facts, theme::small(), tokens.dim);
        });
    });
    if let Some(picture) = &state.start_picture {
        for note in &picture.notes {
            note_ui(ui, note, theme::small(), tokens.amber_text);
        }
    }
}

/// The picture with the cropped part dimmed and a line around the rest.
fn thumbnail_ui(ui: &Ui, frame: Rect, picture: &StartPicture, recipe: &Recipe, texture: TextureId) {
    let pixels = &picture.pixels;
    let (width, height) = (pixels.width as f32, pixels.height as f32);
    let scale = (frame.width() / width).min(frame.height() / height);
    let whole = Rect::from_center_size(frame.center(), vec2(width, height) * scale);
    let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
    let crop = crop_of(picture, recipe);
    let is_whole = (crop.width, crop.height) == (pixels.width, pixels.height);
    let corner = CornerRadius::same(if is_whole { theme::CORNER_FIELD } else { 2 });
    let paint = |rect: Rect, uv: Rect, tint: egui::Color32| {
        let mut mesh = egui::epaint::RectShape::filled(rect, corner, tint);
        mesh = mesh.with_texture(texture, uv);
        ui.painter().add(mesh);
    };
    if is_whole {
        paint(whole, uv, egui::Color32::WHITE);
        return;
    }
    paint(whole, uv, egui::Color32::from_gray(90));
    let part = |x: u32, y: u32| vec2(x as f32 / width, y as f32 / height);
    let (from, to) = (part(crop.x, crop.y), part(crop.x + crop.width, crop.y + crop.height));
    let kept = Rect::from_min_max(whole.min + from * whole.size(), whole.min + to * whole.size());
    paint(kept, Rect::from_min_max(from.to_pos2(), to.to_pos2()), egui::Color32::WHITE);
    let line = Stroke::new(1.5, Tokens::of(ui).coral);
    ui.painter().rect_stroke(kept, 2.0, line, StrokeKind::Inside);
}

fn crop_of(picture: &StartPicture, recipe: &Recipe) -> CropRect {
    let source = (picture.pixels.width, picture.pixels.height);
    crop_to_fill(source, (recipe.width.max(1), recipe.height.max(1)))
}

fn facts_of(picture: &StartPicture, recipe: &Recipe) -> String {
    let (width, height) = (picture.pixels.width, picture.pixels.height);
    let crop = crop_of(picture, recipe);
    if (crop.width, crop.height) == (width, height) {
        return format!("{width} × {height}, whole picture");
    }
    format!("{width} × {height}, cropped to {} × {}", crop.width, crop.height)
}
