//! Page 8: the samplers, and what each costs over the current steps.

use egui::{Align2, CornerRadius, CursorIcon, Rect, Role, Sense, Ui, WidgetInfo, pos2, vec2};
use engine::diffusion::Sampler;

use crate::features::lesson::Experiment;
use crate::features::lesson::page::{experiment_ui, live_ui, note, paragraph};
use crate::features::lesson::panel::PageContext;
use crate::ui::section::heading_ui;
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{focus_ring, tip};

const ROW: f32 = 21.0;
/// Where the columns end, measured from the right edge.
const CALLS: f32 = 8.0;
const ORDER: f32 = 56.0;
const NOISE: f32 = 104.0;

pub fn samplers_ui(ui: &mut Ui, context: &mut PageContext<'_>) {
    paragraph(
        ui,
        "Think of each prediction as a slope that points down to the picture. A sampler walks \
            down, and since the slope changes on the way, there are as many ways to walk as there \
            are to solve a differential equation in steps.",
    );
    paragraph(
        ui,
        "First order: use the slope where you are. Second order: look ahead, come back and use \
            both, which takes twice the model calls but allows longer steps. Multistep: remember \
            the last slopes, which costs nothing. Ancestral and SDE samplers add fresh noise, so \
            they never settle on one picture.",
    );
    live_ui(ui, |ui| table_ui(ui, context));
    paragraph(
        ui,
        "Or forget about equations. Call the predicted noise a gradient and hand it to an \
            optimiser, as in training a network. There is no schedule, and it stops when hardly \
            any noise is predicted.",
    );
    experiment_ui(ui, context, Experiment::Samplers, true);
    experiment_ui(ui, context, Experiment::Optimisers, false);
}

fn table_ui(ui: &mut Ui, context: &mut PageContext<'_>) {
    let steps = context.recipe.steps as usize;
    heading_ui(ui, "Order and cost", &format!("{steps} steps"));
    head_ui(ui);
    ui.spacing_mut().item_spacing.y = 1.0;
    let most = Sampler::ALL.map(|sampler| sampler.model_calls(steps)).into_iter().max().unwrap_or(1).max(1);
    for sampler in Sampler::ALL {
        if row_ui(ui, context, sampler, most) {
            context.recipe.sampler = sampler;
        }
    }
    ui.add_space(theme::GAP_S);
    note(ui, "Click one to use it. A dot means that theory gives no order.");
}

fn head_ui(ui: &mut Ui) {
    let tokens = Tokens::of(ui);
    let (row, _) = ui.allocate_exact_size(vec2(ui.available_width(), 14.0), Sense::hover());
    let heads = [("calls", CALLS), ("order", ORDER), ("noise", NOISE)];
    for (text, from_right) in heads {
        let at = pos2(row.right() - from_right, row.center().y);
        ui.painter().text(at, Align2::RIGHT_CENTER, text, theme::mono_small(), tokens.dim);
    }
}

/// True when it was clicked.
fn row_ui(ui: &mut Ui, context: &PageContext<'_>, sampler: Sampler, most: usize) -> bool {
    let tokens = Tokens::of(ui);
    let (row, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::click());
    let is_chosen = context.recipe.sampler == sampler;
    let calls = sampler.model_calls(context.recipe.steps as usize);
    // Adaptive samplers may need fewer.
    let price = if sampler.is_adaptive() { format!("≤ {calls}") } else { calls.to_string() };
    let price = if sampler == Sampler::DpmAdaptive { "any".to_owned() } else { price };
    let order = sampler.order(&context.recipe.sampler_options);
    let order = order.map_or_else(|| "·".to_owned(), |order| format!("{order}"));
    let fresh = if sampler.is_stochastic() { "fresh" } else { "" };
    let said = format!("{}, order {order}, {price} calls {fresh}", sampler.label());
    response.widget_info(|| WidgetInfo::selected(Role::RadioButton, ui.is_enabled(), is_chosen, &said));
    let painter = ui.painter();
    let share = calls as f32 / most as f32;
    let bar = Rect::from_min_size(row.min, vec2(row.width() * share, row.height()));
    let hue = if is_chosen { tokens.accent.gamma_multiply(0.22) } else { tokens.line.gamma_multiply(0.45) };
    painter.rect_filled(bar, CornerRadius::same(3), hue);
    let ink = match (is_chosen, response.hovered()) {
        (true, _) => tokens.accent,
        (false, true) => tokens.text,
        (false, false) => tokens.dim,
    };
    painter.text(
        row.left_center() + vec2(8.0, 0.0),
        Align2::LEFT_CENTER,
        sampler.label(),
        theme::small(),
        if is_chosen { tokens.accent } else { tokens.text },
    );
    for (text, from_right) in [(price.as_str(), CALLS), (order.as_str(), ORDER), (fresh, NOISE)] {
        let at = pos2(row.right() - from_right, row.center().y);
        painter.text(at, Align2::RIGHT_CENTER, text, theme::mono_small(), ink);
    }
    focus_ring(ui, &response, 3);
    let response = response.on_hover_cursor(CursorIcon::PointingHand);
    tip(response, sampler.label(), None, sampler.hint()).clicked()
}
