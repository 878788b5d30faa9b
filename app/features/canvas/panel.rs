//! The canvas: the picture, as large as possible.

use egui::{
    Color32, CornerRadius, CursorIcon, PointerButton, Pos2, Rect, Response, Role, Sense, Shadow, Stroke,
    StrokeKind, Ui, UiBuilder, Vec2, WidgetInfo, pos2, vec2,
};
use engine::images::Pixels;
use std::sync::Arc;

use super::empty::empty_ui;
use super::panes::{Pane, TITLE_HEIGHT, divider_ui, nothing_ui, panes, title_ui, views_bar_ui};
use crate::features::branches::Runs;
use crate::features::brush::panel as brush;
use crate::features::canvas::ViewCommand;
use crate::features::command::Command;
use crate::features::film::FilmState;
use crate::features::state::AppState;
use crate::features::xy_plot::XyPlotState;
use crate::ui::textures::{Textures, Use};
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{Icon, Tool, icon_button_ui, segmented_ui};

/// Zoom and position of the canvas. They belong to the window, not to the state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CanvasView {
    /// Zoom relative to the size that fits.
    pub zoom: f32,
    /// Offset of the picture's centre from the canvas's, in points.
    pub pan: Vec2,
    /// Position of the divider between two steps: 0 at the left of the pictures, 1 at the right.
    pub divider: f32,
}

impl CanvasView {
    fn fit(&mut self) {
        (self.zoom, self.pan) = (1.0, Vec2::ZERO);
    }

    fn fits(&self) -> bool {
        (self.zoom, self.pan) == (1.0, Vec2::ZERO)
    }
}

impl Default for CanvasView {
    fn default() -> Self {
        Self { zoom: 1.0, pan: Vec2::ZERO, divider: 0.5 }
    }
}

const TOOLS_HEIGHT: f32 = theme::TOOL_SIDE + 2.0 * theme::EDGE;
/// Height of the view bar below the pictures.
const FOOT_HEIGHT: f32 = theme::TOOL_SIDE + 18.0;
const MAX_ZOOM: f32 = 32.0;

pub fn canvas_ui(
    ui: &mut Ui,
    state: &AppState,
    view: &mut CanvasView,
    textures: &mut Textures,
    commands: &mut Vec<Command>,
) {
    let area = ui.max_rect();
    if state.shown().is_none() {
        empty_ui(ui, &state.shared, &state.runs, commands);
        return;
    }
    let id = ui.scope_id().with("canvas");
    let canvas = ui.interact(area, id, Sense::click_and_drag());
    canvas.widget_info(|| WidgetInfo::labeled(Role::Image, true, name_of(&state.runs, &state.film)));
    let open = state.brush.open();
    look_around(ui, &canvas, view, open.is_some());

    let panes = panes(state);
    let head = if panes.iter().any(|pane| pane.view.is_some()) { TITLE_HEIGHT } else { 0.0 };
    let top = if open.is_some() { brush::BAR_HEIGHT + 2.0 * theme::EDGE } else { TOOLS_HEIGHT - 4.0 };
    let room =
        Rect::from_min_max(area.min + vec2(theme::EDGE, top), area.max - vec2(theme::EDGE, FOOT_HEIGHT));
    let cells = cells(room, panes.len(), aspect_of(&state.runs, &state.xy_plot, &panes), head);
    let places: Vec<Rect> = cells
        .into_iter()
        .map(|cell| {
            let middle = room.center() + (cell.center() - room.center()) * view.zoom + view.pan;
            Rect::from_center_size(middle, cell.size() * view.zoom)
        })
        .collect();
    let all = places.iter().copied().reduce(Rect::union).unwrap_or(room);
    let divider = egui::lerp(all.x_range(), view.divider);
    // All shadows first, so that none falls on a neighbour.
    places.iter().for_each(|&rect| shadow_ui(ui, rect));
    for (index, (pane, &rect)) in panes.iter().zip(&places).enumerate() {
        pane_ui(ui, pane, rect, view.zoom, divider, textures);
        if panes.len() > 1 {
            let (name, command) = on_click(pane, index);
            let response = ui.interact(rect.intersect(area), id.with(index), Sense::click());
            response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &name));
            if response.hovered() || response.has_focus() {
                let ring = Stroke::new(2.0, Tokens::of(ui).accent);
                ui.painter().rect_stroke(rect.expand(2.0), theme::CORNER_FIELD, ring, StrokeKind::Outside);
            }
            if response.on_hover_cursor(CursorIcon::PointingHand).clicked() {
                commands.push(command);
            }
        }
    }
    if let (Some(drawing), [rect]) = (state.brush.on_canvas(&state.runs, &state.film), &places[..]) {
        brush::drawing_ui(ui, drawing, *rect);
        brush::pointer_ui(ui, &state.brush, &canvas, *rect, commands);
    }
    if panes.iter().any(|pane| pane.compared.is_some()) {
        divider_ui(ui, &state.runs, &state.film, all, area, &mut view.divider);
    }
    if let Some(drawing) = open {
        brush::bar_ui(ui, &state.brush, drawing, area, commands);
        return;
    }
    views_bar_ui(ui, &state.shared, &state.runs, area, commands);
    tools_ui(ui, state, view, commands);
}

/// Shows one picture of a batch, or one view, alone.
fn on_click(pane: &Pane<'_>, index: usize) -> (String, Command) {
    match pane.view {
        Some(view) => (format!("Show {} alone", view.label()), Command::View(ViewCommand::Alone(view))),
        None => (format!("Picture {}", index + 1), Command::View(ViewCommand::ShowPicture(Some(index)))),
    }
}

fn pane_ui(ui: &Ui, pane: &Pane<'_>, rect: Rect, zoom: f32, divider: f32, textures: &mut Textures) {
    if let Some(view) = pane.view {
        title_ui(ui, view, rect);
    }
    match (pane.picture, pane.view) {
        (Some(pixels), _) => picture_ui(ui, pixels, rect, rect, zoom, textures),
        (None, view) => nothing_ui(ui, view.unwrap_or_default(), rect),
    }
    if let Some(pixels) = pane.compared {
        let right = Rect::from_min_max(pos2(divider, rect.top()), rect.max);
        picture_ui(ui, pixels, rect, right, zoom, textures);
    }
}

fn name_of(runs: &Runs, film: &FilmState) -> String {
    let prompt = runs.current().map_or("", |run| run.recipe.prompt.as_str());
    match film.looked_at(runs) {
        Some(step) => format!("Step {} of: {prompt}", step + 1),
        None => format!("Picture of: {prompt}"),
    }
}

/// The aspect ratio of the picture. Previews of odd sizes are slightly off, so the recipe decides.
fn aspect_of(runs: &Runs, xy_plot: &XyPlotState, panes: &[Pane<'_>]) -> f32 {
    let pixels = panes.iter().find_map(|pane| pane.picture);
    let of_pixels = pixels.map_or(1.0, |pixels| pixels.width as f32 / pixels.height as f32);
    if xy_plot.on_canvas().is_some() {
        return of_pixels;
    }
    let of_recipe = runs.current().map(|run| run.recipe.width as f32 / run.recipe.height as f32);
    of_recipe.filter(|aspect| (aspect / of_pixels - 1.0).abs() < 0.1).unwrap_or(of_pixels)
}

/// Rectangles for `count` pictures of one shape, as large as fits, each with `head` of space above it.
fn cells(room: Rect, count: usize, aspect: f32, head: f32) -> Vec<Rect> {
    const GAP: f32 = 14.0;
    let size_in = |columns: usize| {
        let rows = count.div_ceil(columns);
        let width = (room.width() - GAP * (columns - 1) as f32) / columns as f32;
        let height = (room.height() - GAP * (rows - 1) as f32) / rows as f32 - head;
        let width = width.min(height * aspect).max(1.0);
        vec2(width, width / aspect).floor()
    };
    let best = (1..=count.max(1)).max_by(|&a, &b| size_in(a).x.total_cmp(&size_in(b).x));
    // Four pictures are two by two, unless that makes them much smaller.
    let square = (count == 4)
        .then_some(2)
        .filter(|&two| best.is_some_and(|best| size_in(two).x > 0.85 * size_in(best).x));
    let columns = square.or(best).unwrap_or(1);
    let (size, rows) = (size_in(columns), count.div_ceil(columns));
    let whole = vec2(
        size.x * columns as f32 + GAP * (columns - 1) as f32,
        (size.y + head) * rows as f32 + GAP * rows.saturating_sub(1) as f32,
    );
    let origin = (room.center() - whole / 2.0).round();
    let place = |index: usize| {
        let (column, row) = ((index % columns) as f32, (index / columns) as f32);
        origin + vec2(column * (size.x + GAP), row * (size.y + head + GAP) + head)
    };
    (0..count).map(|index| Rect::from_min_size(place(index), size)).collect()
}

/// The only shadow in the window; it grows with the picture.
fn shadow_ui(ui: &Ui, rect: Rect) {
    let blur = (rect.width() / 10.0).clamp(12.0, 44.0);
    let shadow =
        Shadow { offset: [0, (blur / 3.0) as i8], blur: blur as u8, spread: 0, color: Tokens::of(ui).shadow };
    ui.painter().add(shadow.as_shape(rect, CornerRadius::same(4)));
}

/// Draws the part of a picture in `rect` that lies in `part`.
fn picture_ui(ui: &Ui, pixels: &Arc<Pixels>, rect: Rect, part: Rect, zoom: f32, textures: &mut Textures) {
    let enlargement = rect.width() * ui.pixels_per_point() / pixels.width.max(1) as f32;
    // Smooth until the zoom shows single pixels, then as squares.
    let purpose = if zoom > 1.5 && enlargement > 4.0 { Use::Pixels } else { Use::Canvas };
    let texture = textures.get(ui.ctx(), pixels, purpose);
    let corner = CornerRadius::same(4);
    let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
    let shape = egui::epaint::RectShape::filled(rect, corner, Color32::WHITE);
    let painter = ui.painter().with_clip_rect(ui.clip_rect().intersect(part));
    painter.add(shape.with_texture(texture.id(), uv));
}

/// Ctrl and the wheel or a pinch zooms at the pointer, dragging moves, double-clicking fits. While the brush draws, the
/// middle button moves.
fn look_around(ui: &Ui, canvas: &Response, view: &mut CanvasView, draws: bool) {
    if canvas.double_clicked() && !draws {
        view.fit();
    }
    let moves = if draws { canvas.dragged_by(PointerButton::Middle) } else { canvas.dragged() };
    if view.zoom > 1.0 && moves {
        view.pan += canvas.drag_delta();
        ui.ctx().set_cursor_icon(CursorIcon::Grabbing);
    }
    let factor = ui.input(egui::InputState::zoom_delta);
    if factor == 1.0 || !canvas.contains_pointer() {
        return;
    }
    let pointer: Option<Pos2> = canvas.hover_pos();
    let before = view.zoom;
    view.zoom = (view.zoom * factor).clamp(1.0, MAX_ZOOM);
    if view.zoom <= 1.0 {
        view.fit();
    } else if let Some(pointer) = pointer {
        let from_middle = pointer - canvas.rect.center() - view.pan;
        view.pan -= from_middle * (view.zoom / before - 1.0);
    }
}

fn tools_ui(ui: &mut Ui, state: &AppState, view: &mut CanvasView, commands: &mut Vec<Command>) {
    let area = ui.max_rect();
    let bar = Rect::from_min_size(
        area.min + Vec2::splat(theme::EDGE),
        vec2(area.width() - 2.0 * theme::EDGE, theme::TOOL_SIDE),
    );
    let left = egui::Layout::left_to_right(egui::Align::Center);
    ui.scope_builder(UiBuilder::new().max_rect(bar).layout(left), |ui| {
        let count = state.shown().map_or(0, |shown| shown.pictures.len());
        if count > 1 {
            // Views side by side are of one picture.
            let first = usize::from(state.shared.settings.views.side_by_side);
            let name = |number: usize| if number == 0 { "All".to_owned() } else { number.to_string() };
            let choices: Vec<String> = (first..=count).map(name).collect();
            let chosen = state.film.picture.map_or(0, |index| index + 1).max(first) - first;
            if let Some(index) = segmented_ui(ui, "Picture", &choices, chosen, |_| String::new()) {
                commands.push(Command::View(ViewCommand::ShowPicture((index + first).checked_sub(1))));
            }
        }
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let sentence = "Copies the picture to the clipboard.";
            if icon_button_ui(ui, Icon::Copy, "Copy picture", None, sentence, Tool::CANVAS).clicked() {
                commands.push(Command::View(ViewCommand::CopyPicture));
            }
            if state.branch_step().is_some() {
                brush::paint_button_ui(ui, commands);
            }
            if !view.fits() {
                let sentence = "Shows the whole picture. Double-clicking does the same.";
                if icon_button_ui(ui, Icon::Fit, "Fit", None, sentence, Tool::CANVAS).clicked() {
                    view.fit();
                }
                let tokens = Tokens::of(ui);
                let percent = format!("{:.0} %", view.zoom * 100.0);
                ui.label(egui::RichText::new(percent).font(theme::mono()).color(tokens.dim));
            }
        });
    });
}
