//! Page 7: classifier-free guidance, as arrows that the guidance slider moves.

use egui::{
    Align2, Color32, CornerRadius, Painter, Pos2, Role, Sense, Shape, Stroke, Ui, Vec2, WidgetInfo, vec2,
};
use engine::diffusion::StepView;
use engine::recipe::Guidance;

use crate::features::lesson::Experiment;
use crate::features::lesson::page::{
    experiment_ui, fact_ui, formula_ui, live_ui, note, paragraph, step_at_hand, views_ui,
};
use crate::features::lesson::panel::PageContext;
use crate::ui::section::heading_ui;
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{SliderRow, slider_row_ui};

pub fn guidance_ui(ui: &mut Ui, context: &mut PageContext<'_>) {
    paragraph(
        ui,
        "At every step the model predicts twice: once with your prompt, c, and once with an \
            empty one, u (or with your negative prompt). The difference between the two is what \
            your words add.",
    );
    formula_ui(ui, &["ε = u + g · (c − u)"]);
    live_ui(ui, |ui| arrows_ui(ui, context));
    experiment_ui(ui, context, Experiment::Scales, true);
    paragraph(
        ui,
        "At 1 you get the prompt's own prediction: often a fine picture, loosely about what you \
            asked for. Above 1 the step goes further than either prediction. The picture follows \
            the prompt better, varies less, and in the end its colours burn out.",
    );
    live_ui(ui, |ui| difference_ui(ui, context));
}

fn arrows_ui(ui: &mut Ui, context: &mut PageContext<'_>) {
    drawing_ui(ui, context.recipe.guidance.cfg_scale);
    let row = SliderRow {
        name: "Guidance",
        sentence: "The same slider as on the left: how strictly the picture follows the prompt.",
        track: 0.0..=15.0,
        limits: 0.0..=100.0,
        default: Guidance::default().cfg_scale.into(),
        step: 0.5,
        decimals: 1,
        hue: Tokens::of(ui).accent,
    };
    let scale = &mut context.recipe.guidance.cfg_scale;
    let mut edited = scale.to_string().parse().unwrap_or(f64::from(*scale));
    if slider_row_ui(ui, &row, &mut edited).changed() {
        *scale = edited as f32;
    }
    let calls = context.recipe.sampler.model_calls(context.recipe.steps as usize);
    let asked = if context.recipe.guidance.cfg_scale == 1.0 { calls } else { 2 * calls };
    fact_ui(ui, "Model calls per picture", &asked.to_string());
}

/// Two predictions from one point, and where guidance lands on the line through both.
fn drawing_ui(ui: &mut Ui, scale: f32) {
    let tokens = Tokens::of(ui);
    let (area, response) = ui.allocate_exact_size(vec2(ui.available_width(), 132.0), Sense::hover());
    let said = format!("Arrows: without the prompt, with it, and guided {scale} times as far");
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &said));
    let painter = ui.painter_at(area);
    painter.rect_filled(area, CornerRadius::same(theme::CORNER_FIELD), tokens.field);
    let origin = area.left_bottom() + vec2(26.0, -18.0);
    let uncond = origin + vec2(16.0, -66.0);
    // Wide enough for a scale of 15.
    let step = vec2((area.right() - 22.0 - uncond.x) / 15.0, -1.4);
    let at = |scale: f32| uncond + step * scale;
    let guided = at(scale.clamp(0.0, 15.4));
    let dashes = Shape::dashed_line(&[uncond, at(15.4)], Stroke::new(1.0, tokens.line_strong), 3.0, 3.0);
    painter.extend(dashes);
    for mark in 0..=15 {
        painter.circle_filled(at(mark as f32), 1.3, tokens.dim);
    }
    arrow(&painter, origin, uncond, tokens.dim, 1.5);
    arrow(&painter, origin, at(1.0), tokens.text, 1.5);
    arrow(&painter, origin, guided, tokens.accent, 2.2);
    painter.circle_filled(origin, 3.0, tokens.text);
    let name = |place: Pos2, align: Align2, text: &str, ink: Color32| {
        painter.text(place, align, text, theme::mono_small(), ink);
    };
    name(origin + vec2(7.0, 2.0), Align2::LEFT_CENTER, "x", tokens.text);
    name(uncond - vec2(3.0, 5.0), Align2::RIGHT_BOTTOM, "u", tokens.dim);
    name(at(1.0) + vec2(0.0, -7.0), Align2::CENTER_BOTTOM, "c", tokens.text);
    let words = format!("ε at {scale:.1}");
    let align = if scale > 11.0 { Align2::RIGHT_TOP } else { Align2::LEFT_TOP };
    name(guided + vec2(0.0, 10.0), align, &words, tokens.accent);
}

fn arrow(painter: &Painter, from: Pos2, to: Pos2, ink: Color32, width: f32) {
    const HEAD: f32 = 7.0;
    painter.line_segment([from, to], Stroke::new(width, ink));
    let along: Vec2 = (to - from).normalized() * HEAD;
    let across = along.rot90() * 0.5;
    let head = vec![to, to - along + across, to - along - across];
    painter.add(Shape::convex_polygon(head, ink, Stroke::NONE));
}

/// What the words add, at the current step.
fn difference_ui(ui: &mut Ui, context: &mut PageContext<'_>) {
    let Some((run, step)) = step_at_hand(&context.state.runs, &context.state.film) else {
        heading_ui(ui, "What the words add", "");
        note(ui, "This appears with the first step of a run.");
        return;
    };
    heading_ui(ui, "What the words add", &format!("step {}", step + 1));
    if run.recipe.guidance.cfg_scale == 1.0 {
        note(ui, "This run had a guidance of 1, so there was no prediction without the prompt.");
        return;
    }
    views_ui(ui, context, &[(StepView::Guidance, "c − u"), (StepView::Predicted, "predicted picture")]);
}
