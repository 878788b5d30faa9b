//! The building blocks of the pages: titles, paragraphs, formulas, numbers, small plots, buttons.

use std::sync::Arc;

use egui::{
    Align, CornerRadius, Layout, Rect, RichText, Role, Sense, Stroke, Ui, WidgetInfo, lerp, pos2, vec2,
};
use engine::diffusion::StepView;
use engine::images::Pixels;

use super::panel::PageContext;
use crate::features::branches::Runs;
use crate::features::command::Command;
use crate::features::film::FilmState;
use crate::features::generate::run::Run;
use crate::features::inspect::panel::row_ui;
use crate::features::lesson::{Experiment, LessonCommand, LessonPage};
use crate::ui::textures::Use;
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{card_ui, note_ui, outlined_button_ui, tip};

pub fn title_ui(ui: &mut Ui, stop: LessonPage) {
    let tokens = Tokens::of(ui);
    note_ui(ui, stop.subject(), theme::small(), tokens.accent);
    note_ui(ui, stop.title(), theme::title(), tokens.text);
    ui.add_space(theme::GAP_M);
}

/// A paragraph.
pub fn paragraph(ui: &mut Ui, text: &str) {
    const LINE: f32 = 19.0;
    let words = RichText::new(text).font(theme::body()).line_height(Some(LINE)).color(Tokens::of(ui).text);
    ui.add(egui::Label::new(words).wrap());
    ui.add_space(theme::GAP_M);
}

/// A smaller note about what is above it.
pub fn note(ui: &mut Ui, text: &str) {
    note_ui(ui, text, theme::small(), Tokens::of(ui).dim);
}

/// Lines of mathematics.
pub fn formula_ui(ui: &mut Ui, lines: &[&str]) {
    egui::Frame::new()
        .fill(Tokens::of(ui).field)
        .stroke(Stroke::new(1.0, Tokens::of(ui).line))
        .corner_radius(CornerRadius::same(theme::CORNER_FIELD))
        .inner_margin(egui::Margin::symmetric(11, 8))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            for line in lines {
                note_ui(ui, *line, theme::mono(), Tokens::of(ui).text);
            }
        });
    ui.add_space(theme::GAP_L);
}

/// A live part of the page.
pub fn live_ui(ui: &mut Ui, contents: impl FnOnce(&mut Ui)) {
    card_ui(ui, contents);
    ui.add_space(theme::GAP_L);
}

/// A name and its current value.
pub fn fact_ui(ui: &mut Ui, name: &str, value: &str) {
    let tokens = Tokens::of(ui);
    // Text lines are lower than buttons.
    ui.spacing_mut().interact_size.y = 16.0;
    ui.horizontal(|ui| {
        ui.label(RichText::new(name).font(theme::small()).color(tokens.dim));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.label(RichText::new(value).font(theme::mono()).color(tokens.text));
        });
    });
}

/// The button of an experiment, and a line about what it does.
pub fn experiment_ui(ui: &mut Ui, context: &mut PageContext<'_>, experiment: Experiment, is_strong: bool) {
    let now = ui.input(|input| input.time);
    let button = outlined_button_ui(ui, experiment.label(), is_strong);
    if tip(button, experiment.label(), None, experiment.hint()).clicked() {
        context.commands.push(Command::Lesson(LessonCommand::SetUp { experiment, now }));
    }
    note(ui, experiment.hint());
    ui.add_space(theme::GAP_M);
}

/// The run and the step that the page shows: the shown step, or the newest.
pub fn step_at_hand<'a>(runs: &'a Runs, film: &FilmState) -> Option<(&'a Run, usize)> {
    let run = runs.current()?;
    let step = film.current_step(runs)?;
    run.frame(step).is_some().then_some((run, step))
}

/// A picture of each view, side by side, with its term of the formula below.
pub fn views_ui(ui: &mut Ui, context: &mut PageContext<'_>, views: &[(StepView, &str)]) {
    let Some((run, step)) = step_at_hand(&context.state.runs, &context.state.film) else { return };
    let index = context.state.film.picture.unwrap_or(0);
    let picture = |view| -> Option<&Arc<Pixels>> {
        let (pictures, _) = run.pictures_of(step, view)?;
        pictures.get(index).or(pictures.first())
    };
    let pictures: Vec<_> = views.iter().map(|&(view, _)| picture(view)).collect();
    let names: Vec<String> = views.iter().map(|(view, _)| view.label().to_owned()).collect();
    row_ui(ui, views.len(), pictures.into_iter(), &names, Use::Canvas, context.textures);
    let signs: Vec<&str> = views.iter().map(|&(_, sign)| sign).collect();
    captions_ui(ui, &signs);
}

/// Captions under a row of pictures.
pub fn captions_ui(ui: &mut Ui, captions: &[&str]) {
    let tokens = Tokens::of(ui);
    let (row, _) = ui.allocate_exact_size(vec2(ui.available_width(), 15.0), Sense::hover());
    let column = (row.width() + theme::GAP_M) / captions.len().max(1) as f32;
    for (index, caption) in captions.iter().enumerate() {
        let center = row.left() + column * (index as f32 + 0.5) - theme::GAP_M / 2.0;
        let at = pos2(center, row.center().y);
        ui.painter().text(at, egui::Align2::CENTER_CENTER, caption, theme::mono_small(), tokens.dim);
    }
}

/// A line plot with the value at `at` marked; NaN has no point.
pub fn line_plot_ui(ui: &mut Ui, name: &str, values: &[f32], at: usize, height: f32) {
    let tokens = Tokens::of(ui);
    let (area, response) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::hover());
    let said = values.get(at).map_or_else(String::new, |value| format!(": {value:.3} at {}", at + 1));
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, format!("{name}{said}")));
    let painter = ui.painter_at(area);
    painter.rect_filled(area, CornerRadius::same(theme::CORNER_FIELD), tokens.field);
    let finite = values.iter().copied().filter(|value| value.is_finite());
    let (low, high) =
        finite.fold((f32::MAX, f32::MIN), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return;
    }
    let inside: Rect = area.shrink2(vec2(10.0, 9.0));
    let last = values.len().saturating_sub(1).max(1) as f32;
    let place = |index: usize, value: f32| {
        let share = (value - low) / (high - low).max(1e-6);
        pos2(
            lerp(inside.x_range().min..=inside.x_range().max, index as f32 / last),
            inside.bottom() - share * inside.height(),
        )
    };
    let is_point = |(_, value): &(usize, f32)| value.is_finite();
    let points: Vec<_> = values.iter().copied().enumerate().filter(is_point).collect();
    let line = points.iter().map(|&(index, value)| place(index, value)).collect();
    painter.line(line, Stroke::new(1.5, tokens.text));
    // More marks would overlap.
    if points.len() <= 60 {
        for &(index, value) in &points {
            painter.circle_filled(place(index, value), 2.0, tokens.dim);
        }
    }
    if let Some(&value) = values.get(at).filter(|value| value.is_finite()) {
        let point = place(at, value);
        painter.vline(point.x, area.y_range(), Stroke::new(1.0, tokens.accent.gamma_multiply(0.6)));
        painter.circle_filled(point, 6.0, tokens.field);
        painter.circle_filled(point, 4.5, tokens.accent);
    }
}

/// 12288 as "12,288".
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut written = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            written.push(',');
        }
        written.push(digit);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::thousands;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(
            [0, 768, 1000, 49_408, 1_048_576].map(thousands),
            ["0", "768", "1,000", "49,408", "1,048,576"]
        );
    }
}
