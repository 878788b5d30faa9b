//! The right panel, one tab at a time.
//!
//! Its tabs are in the top bar. Where the window is too narrow for three columns it is a drawer
//! over the picture.

use egui::{
    Align, Area, CornerRadius, CursorIcon, Frame, Id, Layout, Margin, Order, Panel, Rect, Role, Sense,
    Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2,
};
use engine::recipe::Recipe;

use crate::features::branches::panel::branches_ui;
use crate::features::command::Command;
use crate::features::concepts::panel::concepts_ui;
use crate::features::guides::panel::guides_ui;
use crate::features::inspect::panel::look_ui;
use crate::features::lesson::panel::lesson_ui;
use crate::features::models::panel::models_ui;
use crate::features::schedule::curves::ScheduleCurves;
use crate::features::schedule::panel::schedule_ui;
use crate::features::settings::tab::is_narrow;
use crate::features::settings::{SettingsCommand, Tab};
use crate::features::state::{AppState, Shared};
use crate::features::trajectory_map::panel::trajectory_map_ui;
use crate::features::words::panel::words_ui;
use crate::features::xy_plot::panel::sheet_ui;
use crate::ui::textures::Textures;
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{focus_ring, tip};

fn is_open(ui: &Ui, shared: &Shared) -> bool {
    if is_narrow(ui) { shared.drawer_open } else { !shared.settings.window.right_folded }
}

/// The tabs, from right to left in the top bar. Clicking the open tab closes it.
pub fn tabs_ui(ui: &mut Ui, shared: &Shared, commands: &mut Vec<Command>) {
    const GAP: f32 = 2.0;
    ui.spacing_mut().item_spacing.x = GAP;
    let open = is_open(ui, shared).then_some(shared.settings.window.tab);
    // In a narrow window the tabs move together.
    let dim = Tokens::of(ui).dim;
    let width =
        |tab: Tab| ui.painter().layout_no_wrap(tab.label().to_owned(), theme::body(), dim).size().x + GAP;
    let widths: f32 = Tab::ALL.into_iter().map(width).sum();
    let padding = ((ui.available_width() - widths) / Tab::ALL.len() as f32).clamp(8.0, 20.0);
    for tab in Tab::ALL.into_iter().rev() {
        if tab_ui(ui, tab, open == Some(tab), padding) {
            let drawer = is_narrow(ui);
            commands.push(Command::Settings(SettingsCommand::ShowTab {
                tab: (open != Some(tab)).then_some(tab),
                drawer,
            }));
        }
    }
}

fn tab_ui(ui: &mut Ui, tab: Tab, is_open: bool, padding: f32) -> bool {
    let tokens = Tokens::of(ui);
    let words = ui.painter().layout_no_wrap(tab.label().to_owned(), theme::body(), tokens.dim);
    let (rect, response) = ui.allocate_exact_size(words.size() + vec2(padding, 8.0), Sense::click());
    response.widget_info(|| WidgetInfo::selected(Role::Tab, ui.is_enabled(), is_open, tab.label()));
    if is_open {
        let line = Stroke::new(1.0, tokens.line);
        let corner = CornerRadius::same(theme::CORNER_TOOL);
        ui.painter().rect(rect, corner, tokens.card, line, StrokeKind::Inside);
    }
    let ink = if is_open || response.hovered() { tokens.text } else { tokens.dim };
    let at = rect.center() - words.size() / 2.0;
    ui.painter().galley_with_override_text_color(at, words, ink);
    focus_ring(ui, &response, theme::CORNER_TOOL);
    tip(response.on_hover_cursor(CursorIcon::PointingHand), tab.label(), None, tab.hint()).clicked()
}

/// The third column. Shown before the centre.
pub fn side_panel_ui(
    ui: &mut Ui,
    state: &AppState,
    recipe: &mut Recipe,
    curves: &mut ScheduleCurves,
    textures: &mut Textures,
    commands: &mut Vec<Command>,
) {
    let mut is_open = !is_narrow(ui) && is_open(ui, &state.shared);
    Panel::right("right")
        .exact_size(theme::RIGHT_WIDTH)
        .resizable(false)
        .frame(Frame::new().fill(Tokens::of(ui).panel))
        .show_collapsible(ui, &mut is_open, |ui| contents_ui(ui, state, recipe, curves, textures, commands));
}

/// The right panel as a drawer over the picture. Shown last.
pub fn drawer_ui(
    ui: &mut Ui,
    state: &AppState,
    recipe: &mut Recipe,
    curves: &mut ScheduleCurves,
    textures: &mut Textures,
    commands: &mut Vec<Command>,
) {
    if !is_narrow(ui) || !is_open(ui, &state.shared) {
        return;
    }
    let tokens = Tokens::of(ui);
    let screen = ui.ctx().content_rect();
    let place = Rect::from_min_max(
        pos2(screen.right() - theme::RIGHT_WIDTH, screen.top() + theme::TOP_HEIGHT),
        pos2(screen.right(), screen.bottom() - theme::STATUS_HEIGHT),
    );
    Area::new(Id::unique("drawer")).order(Order::Middle).fixed_pos(place.min).movable(false).show(
        ui.ctx(),
        |ui| {
            ui.painter().rect_filled(place, 0.0, tokens.panel);
            ui.painter().vline(place.left(), place.y_range(), Stroke::new(1.0, tokens.line_strong));
            ui.set_min_size(place.size());
            ui.set_max_size(place.size());
            contents_ui(ui, state, recipe, curves, textures, commands);
        },
    );
}

fn contents_ui(
    ui: &mut Ui,
    state: &AppState,
    recipe: &mut Recipe,
    curves: &mut ScheduleCurves,
    textures: &mut Textures,
    commands: &mut Vec<Command>,
) {
    let edge = theme::EDGE as i8;
    let tab = state.shared.settings.window.tab;
    Frame::new().inner_margin(Margin { left: edge, right: edge, top: 12, bottom: 8 }).show(ui, |ui| {
        ui.set_width(theme::RIGHT_WIDTH - 2.0 * theme::EDGE - 1.0);
        ui.with_layout(Layout::top_down(Align::Min), |ui| match tab {
            Tab::Schedule => schedule_ui(ui, state, recipe, curves, commands),
            Tab::Inspect => look_ui(ui, state, textures, commands),
            Tab::Branches => branches_ui(ui, &state.runs, textures, commands),
            Tab::Map => trajectory_map_ui(ui, state, textures, commands),
            Tab::Guides => guides_ui(ui, state, recipe, commands),
            Tab::XyPlot => sheet_ui(ui, state, commands),
            Tab::Words => words_ui(ui, state, recipe, commands),
            Tab::Concepts => concepts_ui(ui, state, commands),
            Tab::Models => models_ui(ui, state, commands),
            Tab::Lesson => lesson_ui(ui, state, recipe, curves, textures, commands),
        });
    });
}
