//! The brush on the canvas: what the pointer does there, its bar, and what is drawn over the picture.

use egui::{
    Color32, CursorIcon, PointerButton, Pos2, Rect, Response, RichText, Stroke, TextureHandle,
    TextureOptions, Ui, UiBuilder, vec2,
};

use crate::features::brush::{BrushCommand, BrushState, Drawing, DrawingOf, Tool};
use crate::features::command::Command;
use crate::ui::keys;
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{
    Icon, Number, NumberLook, Tool as ToolLook, icon_button_ui, number_ui, outlined_button_ui, segmented_ui,
    text_button_ui, tip,
};

/// Height of the bar, above the picture.
pub const BAR_HEIGHT: f32 = 2.0 * theme::TOOL_SIDE + theme::GAP_M;

/// What is drawn, over the picture in `rect`.
pub fn drawing_ui(ui: &Ui, drawing: &Drawing, rect: Rect) {
    // A texture of its own, renewed with each change and replaced by the next drawing.
    let id = ui.scope_id().with("drawing");
    let key =
        (drawing.of, drawing.version, ui.visuals().dark_mode, std::sync::Arc::as_ptr(&drawing.under).addr());
    let known = ui.data(|data| data.get_temp::<(Key, TextureHandle)>(id));
    let texture = match known.filter(|(known, _)| *known == key) {
        Some((_, texture)) => texture,
        None => {
            let texture = ui.ctx().load_texture(
                "drawing",
                drawing.overlay(Tokens::of(ui).violet),
                TextureOptions::LINEAR,
            );
            ui.data_mut(|data| data.insert_temp(id, (key, texture.clone())));
            texture
        }
    };
    let uv = Rect::from_min_max(Pos2::ZERO, Pos2::new(1.0, 1.0));
    ui.painter().image(texture.id(), rect, uv, Color32::WHITE);
}

type Key = (DrawingOf, u64, bool, usize);

/// Draws where the pointer is pressed on the picture in `rect`, and outlines the brush.
pub fn pointer_ui(ui: &Ui, brush: &BrushState, canvas: &Response, rect: Rect, commands: &mut Vec<Command>) {
    let Some(drawing) = brush.open() else { return };
    let mut push = |command| commands.push(Command::Brush(command));
    let at = |pointer: Pos2| {
        let place = (pointer - rect.min) / rect.size();
        [place.x, place.y]
    };
    let (is_down, alt) =
        ui.input(|input| (input.pointer.button_down(PointerButton::Primary), input.modifiers.alt));
    let picks = brush.tool == Tool::Pick || alt;
    let pressed = canvas.interact_pointer_pos().filter(|_| canvas.is_pointer_button_down_on() && is_down);
    match (pressed, drawing.is_touched()) {
        (Some(pointer), _) if picks => push(BrushCommand::Pick(at(pointer))),
        (Some(pointer), false) => push(BrushCommand::Touch(at(pointer))),
        (Some(pointer), true) => push(BrushCommand::Move(at(pointer))),
        (None, true) => push(BrushCommand::Lift),
        // The colour is picked up to be used.
        (None, false) if brush.tool == Tool::Pick && (canvas.clicked() || canvas.drag_stopped()) => {
            push(BrushCommand::Choose(Tool::Color));
        }
        (None, false) => {}
    }
    let Some(pointer) = ui.ctx().pointer_latest_pos().filter(|_| canvas.contains_pointer()) else { return };
    ui.ctx().set_cursor_icon(CursorIcon::Crosshair);
    if brush.tool != Tool::Pick && rect.contains(pointer) {
        let radius = brush.size * rect.width().min(rect.height()) / 2.0;
        ui.painter().circle_stroke(pointer, radius, Stroke::new(3.0, Color32::from_black_alpha(90)));
        ui.painter().circle_stroke(pointer, radius, Stroke::new(1.2, Color32::WHITE));
    }
}

/// The tools, in two rows at the top of the canvas.
pub fn bar_ui(ui: &mut Ui, brush: &BrushState, drawing: &Drawing, area: Rect, commands: &mut Vec<Command>) {
    let origin = area.min + vec2(theme::EDGE, theme::EDGE);
    let width = area.width() - 2.0 * theme::EDGE;
    let row = |row: f32| {
        let top = vec2(0.0, row * (theme::TOOL_SIDE + theme::GAP_M));
        Rect::from_min_size(origin + top, vec2(width, theme::TOOL_SIDE))
    };
    let mut push = |command| commands.push(Command::Brush(command));
    let left = egui::Layout::left_to_right(egui::Align::Center);
    let right = egui::Layout::right_to_left(egui::Align::Center);
    ui.scope_builder(UiBuilder::new().max_rect(row(0.0)).layout(left), |ui| {
        ui.spacing_mut().item_spacing.x = theme::GAP_M;
        let tools = Tool::of(drawing.of);
        let names: Vec<String> = tools.iter().map(|tool| tool.label(drawing.of).to_owned()).collect();
        let chosen = tools.iter().position(|tool| *tool == brush.tool).unwrap_or_default();
        let hint = |index: usize| tools[index].hint(drawing.of).to_owned();
        if let Some(index) = segmented_ui(ui, "Brush", &names, chosen, hint) {
            push(BrushCommand::Choose(tools[index]));
        }
        if matches!(drawing.of, DrawingOf::Paint { .. }) {
            let mut color = brush.color;
            let response = ui.color_edit_button_srgb(&mut color).on_hover_text("The colour of the brush");
            response.widget_info(|| {
                egui::WidgetInfo::labeled(egui::Role::ColorWell, true, "Colour of the brush")
            });
            if color != brush.color {
                push(BrushCommand::Color(color));
            }
            let sentence = "Pastes the picture of the clipboard. A picture that is dropped is painted too.";
            let response = text_button_ui(ui, Some(Icon::Picture), "Paste", None);
            if tip(response, "Paste", None, sentence).clicked() {
                push(BrushCommand::Paste);
            }
        }
        ui.with_layout(right, |ui| {
            let sentence = "Puts the brush down. What was drawn stays.";
            let response = outlined_button_ui(ui, "Done", true);
            if tip(response, "Done", Some(keys::STOP_KEY), sentence).clicked() {
                push(BrushCommand::Close);
            }
        });
    });
    ui.scope_builder(UiBuilder::new().max_rect(row(1.0)).layout(left), |ui| {
        ui.spacing_mut().item_spacing.x = theme::GAP_M;
        let sentence = "The diameter, in per cent of the picture's shorter side.";
        if let Some(size) = percent_ui(ui, "Size", keys::BRUSH_SIZE_KEYS, sentence, 1.0, brush.size) {
            push(BrushCommand::Size(size));
        }
        let sentence = "The part of the brush over which its edge fades, in per cent.";
        if let Some(softness) = percent_ui(ui, "Softness", "", sentence, 0.0, brush.softness) {
            push(BrushCommand::Softness(softness));
        }
        if matches!(drawing.of, DrawingOf::Paint { .. }) {
            let sentence =
                "In how many of the steps to come the model cannot paint over the colour, in per cent.";
            if let Some(hold) = percent_ui(ui, "Hold", "", sentence, 0.0, brush.hold) {
                push(BrushCommand::Hold(hold));
            }
        }
        ui.add_space(theme::GAP_M);
        let can = [
            ("Undo stroke", "Undo", keys::UNDO_KEY, drawing.can_undo(), BrushCommand::Undo),
            ("Redo stroke", "Redo", keys::REDO_KEY, drawing.can_redo(), BrushCommand::Redo),
        ];
        for (name, text, key, is_enabled, command) in can {
            ui.add_enabled_ui(is_enabled, |ui| {
                if tip(text_button_ui(ui, None, text, None), name, Some(key), "").clicked() {
                    push(command);
                }
            });
        }
        if matches!(drawing.of, DrawingOf::Mask { .. })
            && tip(text_button_ui(ui, None, "Invert", None), "Invert", None, "Inside becomes outside.")
                .clicked()
        {
            push(BrushCommand::Invert);
        }
        let sentence = "Takes everything away. It can be undone.";
        if tip(text_button_ui(ui, None, "Clear", None), "Clear", None, sentence).clicked() {
            push(BrushCommand::Clear);
        }
    });
}

/// A part in per cent. The answer is an edited one.
fn percent_ui(ui: &mut Ui, name: &str, key: &str, sentence: &str, least: f64, value: f32) -> Option<f32> {
    ui.label(RichText::new(name).font(theme::label()).color(Tokens::of(ui).dim));
    let mut percent = f64::from((value * 100.0).round());
    let accessible = format!("{name} of the brush, per cent");
    let number = Number {
        name: &accessible,
        limits: least..=100.0,
        decimals: 0,
        step: 1.0,
        look: NumberLook { size: vec2(44.0, 22.0), ..NumberLook::default() },
    };
    let response = number_ui(ui, &number, &mut percent);
    let is_changed = response.changed();
    tip(response, name, Some(key).filter(|key| !key.is_empty()), sentence);
    is_changed.then_some(percent as f32 / 100.0)
}

/// Opens the brush on the shown step.
pub fn paint_button_ui(ui: &mut Ui, commands: &mut Vec<Command>) {
    let sentence = "Paints on this step: colour, smudging, fresh noise. The next run continues from it.";
    if icon_button_ui(ui, Icon::Brush, "Paint", Some(keys::PAINT_KEY), sentence, ToolLook::CANVAS).clicked() {
        commands.push(Command::Brush(BrushCommand::Paint));
    }
}
