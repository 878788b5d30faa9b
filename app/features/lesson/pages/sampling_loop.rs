//! Page 1: the sampling loop. Its lines light up as the run proceeds.

use std::ops::RangeInclusive;

use egui::{Align2, CornerRadius, Rect, Role, Sense, Stroke, Ui, WidgetInfo, vec2};

use crate::features::branches::Runs;
use crate::features::film::FilmState;
use crate::features::generate::run::{Run, RunPhase};
use crate::features::lesson::Experiment;
use crate::features::lesson::page::{experiment_ui, fact_ui, live_ui, note, paragraph, step_at_hand};
use crate::features::lesson::panel::PageContext;
use crate::ui::theme;
use crate::ui::theme::Tokens;

const LINES: [&str; 6] = [
    "x = noise · σ₁",
    "in = x / √(σ² + 1)",
    "u, c = unet(in, t, prompt)",
    "ε = u + g · (c − u)",
    "x = sampler(x, ε, σ → σ′)",
    "picture = decode(x)",
];
/// The lines that run once per step.
const REPEATED: RangeInclusive<usize> = 1..=4;
const ROW: f32 = 20.0;

pub fn sampling_loop_ui(ui: &mut Ui, context: &mut PageContext<'_>) {
    paragraph(
        ui,
        "A picture starts as pure noise. Step by step the model looks at it and says which part \
            is noise. A little of that is removed each time, and what is left after the last step \
            is a picture.",
    );
    paragraph(ui, "The whole loop is six lines. The four in the middle run once per step:");
    live_ui(ui, |ui| {
        let numbers = numbers(context);
        lines_ui(ui, &numbers, lit(&context.state.runs, &context.state.film));
        ui.add_space(theme::GAP_S);
        match step_at_hand(&context.state.runs, &context.state.film) {
            Some((run, step)) => step_facts_ui(ui, run, step),
            None => note(ui, "Make a picture, and each line lights up as it runs."),
        }
    });
    experiment_ui(ui, context, Experiment::Loop, true);
    paragraph(
        ui,
        "Sigma is the strength of the remaining noise. The model was trained on inputs of one \
            strength only, so line two scales x down to it. The timestep t says how much noise to \
            look for.",
    );
    paragraph(
        ui,
        "The model predicts with the prompt and with an empty one, and line four combines the \
            two. Page 7 is about that.",
    );
}

/// The value of each line: at the current step, or where the recipe would start.
fn numbers(context: &PageContext<'_>) -> [String; 6] {
    let (recipe, sigmas, step) = match step_at_hand(&context.state.runs, &context.state.film) {
        Some((run, step)) => (&run.recipe, run.sigmas.as_slice(), step),
        None => {
            let curve = context.curves.of(context.recipe.schedule);
            let step = context.recipe.start_step() as usize;
            (&*context.recipe, curve.map_or(&[][..], |curve| curve.sigmas.as_slice()), step)
        }
    };
    let shown = |index: usize| sigmas.get(index).map_or_else(String::new, |sigma| format!("{sigma:.2}"));
    let (scale, timestep) = sigmas.get(step).map_or_else(Default::default, |&sigma| {
        let timestep = recipe.schedule.timestep(sigma, &context.curves.noise);
        (format!("÷ {:.2}", (sigma * sigma + 1.0).sqrt()), format!("t {timestep:.0}"))
    });
    [
        format!("seed {}", recipe.seed),
        scale,
        timestep,
        format!("g {}", recipe.guidance.cfg_scale),
        format!("→ {}", shown(step + 1)),
        format!("{} × {}", recipe.width, recipe.height),
    ]
}

/// The lines that are running; for a finished run, those of the shown step.
fn lit(runs: &Runs, film: &FilmState) -> Option<RangeInclusive<usize>> {
    let run = runs.current()?;
    let lines = match run.phase {
        RunPhase::Waiting => 0..=0,
        RunPhase::Running | RunPhase::Stopping if run.done() < run.to_do() => REPEATED,
        RunPhase::Running | RunPhase::Stopping => 5..=5,
        _ if film.looked_at(runs).is_some() => REPEATED,
        RunPhase::Finished => 5..=5,
        RunPhase::Stopped | RunPhase::Failed => return None,
    };
    Some(lines)
}

fn lines_ui(ui: &mut Ui, numbers: &[String; 6], lit: Option<RangeInclusive<usize>>) {
    let tokens = Tokens::of(ui);
    let size = vec2(ui.available_width(), ROW * LINES.len() as f32);
    let (area, response) = ui.allocate_exact_size(size, Sense::hover());
    let said: Vec<String> =
        LINES.iter().zip(numbers).map(|(line, number)| format!("{line}, {number}")).collect();
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, said.join("; ")));
    let painter = ui.painter();
    for (index, (line, number)) in LINES.iter().zip(numbers).enumerate() {
        let row = Rect::from_min_size(area.min + vec2(0.0, ROW * index as f32), vec2(area.width(), ROW));
        let is_highlighted = lit.as_ref().is_some_and(|lit| lit.contains(&index));
        if is_highlighted {
            let ground = tokens.accent.gamma_multiply(0.14);
            painter.rect_filled(row, CornerRadius::same(3), ground);
        }
        let indent = if REPEATED.contains(&index) { 16.0 } else { 4.0 };
        let ink = if is_highlighted { tokens.accent } else { tokens.text };
        let at = row.left_center() + vec2(indent, 0.0);
        painter.text(at, Align2::LEFT_CENTER, line, theme::mono(), ink);
        let at = row.right_center() - vec2(4.0, 0.0);
        painter.text(at, Align2::RIGHT_CENTER, number, theme::mono_small(), tokens.dim);
    }
    // The repeated lines hang on a bracket.
    let (top, bottom) = (REPEATED.start(), REPEATED.end() + 1);
    let rail = area.top() + ROW * *top as f32 + 3.0..=area.top() + ROW * bottom as f32 - 3.0;
    let hue = if lit == Some(REPEATED) { tokens.accent } else { tokens.line_strong };
    painter.vline(area.left() + 6.0, rail, Stroke::new(2.0, hue));
}

fn step_facts_ui(ui: &mut Ui, run: &Run, step: usize) {
    let sigma = run.frame(step).map_or(0.0, |frame| frame.sigma);
    fact_ui(ui, "Step", &format!("{} of {}", step + 1, run.steps()));
    fact_ui(ui, "Sigma", &format!("{sigma:.3}"));
    fact_ui(ui, "Scale of x", &format!("1 / √(σ² + 1) = {:.3}", 1.0 / (sigma * sigma + 1.0).sqrt()));
}
