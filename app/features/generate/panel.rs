//! The Generate button, which becomes Stop with the progress inside it.

use egui::{
    Align, Color32, CornerRadius, CursorIcon, Layout, Rect, RichText, Role, Sense, Stroke, StrokeKind, Ui,
    WidgetInfo, pos2, vec2,
};

use crate::features::branches::{BranchCommand, Runs};
use crate::features::command::Command;
use crate::features::errors::ErrorSlot;
use crate::features::generate::run::{Run, RunPhase};
use crate::features::state::{Model, Shared};
use crate::ui::keys;
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{Icon, Tool, icon_button_ui, link_ui, problem_ui, tip};

pub fn generate_button_ui(ui: &mut Ui, shared: &Shared, runs: &Runs, commands: &mut Vec<Command>) {
    if let Some(text) = shared.error_at(ErrorSlot::Run)
        && problem_ui(ui, &text, true)
    {
        commands.push(Command::Dismiss(ErrorSlot::Run));
    }
    if shared.error_at(ErrorSlot::Run).is_some() {
        ui.add_space(theme::GAP_S);
    }
    match runs.live() {
        Some(run) => {
            ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing.x = 6.0;
                let room = ui.available_width() - theme::BUTTON_HEIGHT - 6.0;
                stop_ui(ui, run, room, commands);
                queue_ui(ui, runs, commands);
            });
            progress_line_ui(ui, shared, runs, run, commands);
        }
        None => {
            start_ui(ui, shared, runs, commands);
            rest_line_ui(ui, runs, commands);
        }
    }
}

fn start_ui(ui: &mut Ui, shared: &Shared, runs: &Runs, commands: &mut Vec<Command>) {
    let tokens = Tokens::of(ui);
    let name = if runs.branch_from.is_some() { "Branch" } else { "Generate" };
    let ready = shared.recipe_error().is_none() && !matches!(shared.model, Model::Missing);
    let size = vec2(ui.available_width(), theme::BUTTON_HEIGHT);
    let sense = if ready { Sense::click() } else { Sense::hover() };
    let (rect, response) = ui.allocate_exact_size(size, sense);
    response.widget_info(|| WidgetInfo::labeled(Role::Button, ready, name));
    let fill = match (ready, response.is_pointer_button_down_on(), response.hovered()) {
        (false, ..) => tokens.line,
        (_, true, _) => tokens.accent.gamma_multiply(0.85),
        (_, _, true) => lighter(tokens.accent, 0.08),
        _ => tokens.accent,
    };
    let ink = if ready { tokens.accent_ink } else { tokens.dim };
    ui.painter().rect_filled(rect, CornerRadius::same(theme::CORNER_CARD), fill);
    let key = if cfg!(target_os = "macos") { "⌘ ⏎" } else { "Ctrl ⏎" };
    two_words(ui, rect, name, key, ink);
    if response.has_focus() {
        let ring = Stroke::new(1.5, tokens.accent);
        ui.painter().rect_stroke(rect.expand(2.5), theme::CORNER_CARD + 2, ring, StrokeKind::Middle);
    }
    let sentence = match (ready, runs.branch_from) {
        (false, _) => "A setting above needs attention first.",
        (_, Some(_)) => "Continues from the selected step with the current settings.",
        _ => "Makes the picture.",
    };
    let response = response.on_hover_cursor(CursorIcon::PointingHand);
    if tip(response, name, Some(keys::GENERATE_KEY), sentence).clicked() {
        commands.push(Command::Generate);
    }
}

fn stop_ui(ui: &mut Ui, run: &Run, width: f32, commands: &mut Vec<Command>) {
    let tokens = Tokens::of(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(width, theme::BUTTON_HEIGHT), Sense::click());
    let stopping = run.phase == RunPhase::Stopping;
    let name = if stopping { "Stopping" } else { "Stop" };
    response.widget_info(|| WidgetInfo::labeled(Role::Button, !stopping, name));
    let corner = CornerRadius::same(theme::CORNER_CARD);
    let painter = ui.painter();
    painter.rect_filled(rect, corner, tokens.card);
    // Clipped rather than rounded, so that the end of the progress stays straight.
    let done = Rect::from_min_max(
        rect.min,
        pos2(rect.left() + rect.width() * run.progress().clamp(0.0, 1.0), rect.bottom()),
    );
    painter.with_clip_rect(done).rect_filled(rect, corner, tokens.accent_deep);
    let line = if response.hovered() { tokens.dim } else { tokens.line_strong };
    painter.rect_stroke(rect, corner, Stroke::new(1.0, line), StrokeKind::Inside);
    let key = if stopping { "" } else { keys::STOP_KEY };
    two_words(ui, rect, name, key, tokens.text);
    if response.has_focus() {
        let ring = Stroke::new(1.5, tokens.accent);
        ui.painter().rect_stroke(rect.expand(2.5), theme::CORNER_CARD + 2, ring, StrokeKind::Middle);
    }
    let sentence = "Stops this run within a step and removes the queued one.";
    let response = response.on_hover_cursor(CursorIcon::PointingHand);
    if tip(response, "Stop", Some(keys::STOP_KEY), sentence).clicked() {
        commands.push(Command::Stop);
    }
}

/// Beside Stop: queues another run.
fn queue_ui(ui: &mut Ui, runs: &Runs, commands: &mut Vec<Command>) {
    let sentence = if runs.queued.is_some() {
        "Replaces the queued run with one that uses the current settings."
    } else {
        "Makes another picture after this one with the current settings."
    };
    let tool = Tool::Framed { side: theme::BUTTON_HEIGHT, corner: theme::CORNER_CARD };
    let key = Some(keys::GENERATE_KEY);
    if icon_button_ui(ui, Icon::Plus, "Queue another", key, sentence, tool).clicked() {
        commands.push(Command::Generate);
    }
}

fn progress_line_ui(ui: &mut Ui, shared: &Shared, runs: &Runs, run: &Run, commands: &mut Vec<Command>) {
    let tokens = Tokens::of(ui);
    ui.horizontal(|ui| {
        ui.set_min_height(20.0);
        let left = match run.phase {
            RunPhase::Waiting if matches!(shared.model, Model::Opening { .. }) => {
                "Opening the model".to_owned()
            }
            RunPhase::Waiting => "Reading the prompt".to_owned(),
            _ if run.done() >= run.to_do() => "Decoding".to_owned(),
            _ => format!("Step {} of {}", run.start_step + run.done() + 1, run.steps()),
        };
        ui.label(RichText::new(left).font(theme::label()).color(tokens.dim));
        if runs.queued.is_some() {
            ui.label(RichText::new("·").font(theme::label()).color(tokens.faint));
            let response = link_ui(ui, "1 queued", theme::label(), tokens.accent, false);
            let sentence = "Click to remove it from the queue.";
            if tip(response, "Queued", None, sentence).clicked() {
                commands.push(Command::ForgetQueued);
            }
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.label(RichText::new(pace(run, runs.queued.is_none())).font(theme::mono()).color(tokens.dim));
        });
    });
}

fn rest_line_ui(ui: &mut Ui, runs: &Runs, commands: &mut Vec<Command>) {
    let tokens = Tokens::of(ui);
    ui.horizontal(|ui| {
        ui.set_min_height(20.0);
        let Some(run) = runs.current() else { return };
        let left = match run.phase {
            RunPhase::Stopped => {
                format!("Stopped after step {} of {}", run.start_step + run.done(), run.steps())
            }
            RunPhase::Finished => {
                format!("{} in {:.1} s", pictures(run.pictures.len()), run.elapsed.as_secs_f64())
            }
            _ => return,
        };
        ui.label(RichText::new(left).font(theme::label()).color(tokens.dim));
        if run.can_go_on() {
            let response = link_ui(ui, "Resume", theme::label(), tokens.accent, false);
            let sentence = "Resumes from its last step, as if it had never stopped.";
            if tip(response, "Resume", None, sentence).clicked() {
                commands.push(Command::Branch(BranchCommand::GoOn));
            }
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let seed = format!("seed {}", run.recipe.seed);
            ui.label(RichText::new(seed).font(theme::mono()).color(tokens.dim));
        });
    });
}

fn pictures(count: usize) -> String {
    if count == 1 { "1 picture".to_owned() } else { format!("{count} pictures") }
}

/// "12.4 it/s · 0.9 s left", or only the latter where space is short.
fn pace(run: &Run, with_rate: bool) -> String {
    let (Some(rate), Some(left)) = (run.steps_per_second(), run.seconds_left()) else {
        return String::new();
    };
    let rate = if rate >= 1.0 { format!("{rate:.1} it/s") } else { format!("{:.1} s/it", 1.0 / rate) };
    let left = if left < 60.0 {
        format!("{left:.1} s left")
    } else {
        format!("{} min {:02} s left", (left / 60.0) as u64, left as u64 % 60)
    };
    if with_rate { format!("{rate} · {left}") } else { left }
}

/// A label and, dimmed, its shortcut, centred together.
fn two_words(ui: &Ui, rect: Rect, word: &str, key: &str, ink: Color32) {
    let painter = ui.painter();
    let word = painter.layout_no_wrap(word.to_owned(), theme::button(), ink);
    let quiet = ink.gamma_multiply(0.85);
    let key = painter.layout_no_wrap(key.to_owned(), theme::mono_small(), quiet);
    let gap = if key.size().x > 0.0 { 9.0 } else { 0.0 };
    let width = word.size().x + gap + key.size().x;
    let left = rect.center().x - width / 2.0;
    let middle = rect.center().y;
    let key_left = left + word.size().x + gap;
    painter.galley(pos2(left, middle - word.size().y / 2.0), word, ink);
    painter.galley(pos2(key_left, middle - key.size().y / 2.0), key, quiet);
}

fn lighter(color: Color32, by: f32) -> Color32 {
    color.lerp_to_gamma(Color32::WHITE, by)
}
