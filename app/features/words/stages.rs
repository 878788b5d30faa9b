//! A token at each stage of the text encoder: its norm, its values, the nearest words.

use egui::text::{LayoutJob, TextFormat};
use egui::{Color32, Label, Mesh, Rect, Role, Sense, Shape, TextWrapMode, Ui, WidgetInfo, pos2, vec2};
use engine::inspect::token::{EncoderStage, Neighbour, TokenTrace};

use crate::features::prompt::chip::chip_label;
use crate::features::state::AppState;
use crate::features::words::TokenRef;
use crate::ui::section::heading_ui;
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{note_ui, problem_ui};

const STRIP: f32 = 14.0;
const BARS: f32 = 34.0;

pub fn stages_ui(ui: &mut Ui, state: &AppState, stand: TokenRef) {
    let tokens = Tokens::of(ui);
    match state.token_trace(stand) {
        Some(Ok(stages)) => {
            for stage in &stages.stages {
                stage_ui(ui, stage);
                ui.add_space(theme::GAP_M);
            }
            let text = state.prompts.prompt.as_ref().and_then(|read| read.parts.get(stand.part));
            let positions = text.map_or(0, |(_, text)| text.chunks[0].ids.len());
            differences_ui(ui, stages, stand.place.chunk * positions + stand.place.position);
        }
        Some(Err(text)) => drop(problem_ui(ui, text, false)),
        None if state.runs.live().is_some() => {
            note_ui(ui, "Its stages appear after the run.", theme::small(), tokens.dim);
        }
        None => {}
    }
}

fn stage_ui(ui: &mut Ui, stage: &EncoderStage) {
    heading_ui(ui, stage.name, &format!("norm {:.3}", stage.norm));
    strip_ui(ui, stage);
    ui.scope(|ui| {
        // Text lines are lower than buttons.
        ui.spacing_mut().interact_size.y = 0.0;
        ui.horizontal_wrapped(|ui| nearest_ui(ui, &stage.nearest));
    });
}

/// Each word with its cosine in one label, so that no line breaks between them.
fn nearest_ui(ui: &mut Ui, nearest: &[Neighbour]) {
    let tokens = Tokens::of(ui);
    ui.spacing_mut().item_spacing = vec2(8.0, 1.0);
    for near in nearest {
        let letters = near.piece.strip_suffix("</w>").unwrap_or(&near.piece);
        let mut job = LayoutJob::default();
        let word = chip_label(Some(&near.piece), letters);
        job.append(&word, 0.0, TextFormat::simple(theme::small(), tokens.text));
        let cosine = format!("{:.2}", near.cosine).replace('-', "−");
        job.append(&cosine, 5.0, TextFormat::simple(theme::mono_small(), tokens.dim));
        ui.add(Label::new(job).wrap_mode(TextWrapMode::Extend));
    }
}

/// The values of a vector as a strip: below 0 dark, above 0 bright.
fn strip_ui(ui: &mut Ui, stage: &EncoderStage) {
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), STRIP), Sense::hover());
    let (low, high) = stage
        .vector
        .iter()
        .fold((0.0_f32, 0.0_f32), |(low, high), value| (low.min(*value), high.max(*value)));
    let name = format!("{}: {} numbers, {low:.3} to {high:.3}", stage.name, stage.vector.len());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
    let most = high.max(-low).max(f32::MIN_POSITIVE);
    let columns = stage.vector.len().min(rect.width() as usize).max(1);
    let mut mesh = Mesh::default();
    for column in 0..columns {
        let share = |at: usize| at * stage.vector.len() / columns;
        let values = &stage.vector[share(column)..share(column + 1)];
        let mean = values.iter().sum::<f32>() / values.len().max(1) as f32;
        let grey = Color32::from_gray((127.5 * (1.0 + mean / most)).round().clamp(0.0, 255.0) as u8);
        let x = |at: usize| rect.left() + rect.width() * at as f32 / columns as f32;
        let place = Rect::from_min_max(pos2(x(column), rect.top()), pos2(x(column + 1), rect.bottom()));
        mesh.add_colored_rect(place, grey);
    }
    ui.painter().add(Shape::mesh(mesh));
    response.on_hover_text(name);
}

/// How far each position's output changed: only later ones do.
fn differences_ui(ui: &mut Ui, stages: &TokenTrace, chosen: usize) {
    let most = stages.differences.iter().copied().fold(0.0, f32::max);
    if most <= 0.0 {
        return;
    }
    let tokens = Tokens::of(ui);
    heading_ui(ui, "Changed by the edits", &format!("at most {most:.2}"));
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), BARS), Sense::hover());
    let name = "How far the output of each position changed";
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, name));
    ui.painter().rect_filled(rect, f32::from(theme::CORNER_FIELD), tokens.field);
    let count = stages.differences.len().max(1);
    let pitch = rect.width() / count as f32;
    let mut mesh = Mesh::default();
    for (at, difference) in stages.differences.iter().enumerate() {
        let height = (rect.height() - 4.0) * difference / most;
        let left = rect.left() + pitch * at as f32;
        let top = rect.bottom() - 2.0 - height;
        let bar =
            Rect::from_min_max(pos2(left, top), pos2(left + (pitch - 0.5).max(0.5), rect.bottom() - 2.0));
        mesh.add_colored_rect(bar, if at == chosen { tokens.violet } else { tokens.dim });
    }
    ui.painter().add(Shape::mesh(mesh));
    let pointed = response.hover_pos().map(|at| ((at.x - rect.left()) / pitch) as usize);
    if let Some((at, moved)) = pointed.and_then(|at| Some((at, stages.differences.get(at)?))) {
        response.on_hover_text(format!("Position {at}: changed by {moved:.3}"));
    }
    let text = "Tokens attend only to earlier ones, so everything before an edited word is unchanged.";
    note_ui(ui, text, theme::small(), tokens.dim);
}
