//! The Inspect tab: the channels of a step, noise added to a picture, and the autoencoder's round
//! trip.

use std::sync::Arc;

use egui::{CornerRadius, Rect, RichText, Role, ScrollArea, Sense, Ui, Vec2, WidgetInfo, pos2, vec2};
use engine::images::Pixels;
use engine::inspect::latents::RoundTrip;

use crate::features::command::Command;
use crate::features::inspect::InspectCommand;
use crate::features::state::AppState;
use crate::ui::section::{heading_ui, rule_ui};
use crate::ui::textures::{Textures, Use};
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{SliderRow, note_ui, problem_ui, segmented_ui, slider_row_ui};

/// The longest side of the enlarged picture in a tooltip.
const ENLARGED: f32 = 288.0;

pub fn look_ui(ui: &mut Ui, state: &AppState, textures: &mut Textures, commands: &mut Vec<Command>) {
    ScrollArea::vertical().id_salt("look").auto_shrink([false, false]).show(ui, |ui| {
        if state.runs.live().is_some() {
            note_ui(ui, "Inspection resumes after this run.", theme::small(), Tokens::of(ui).dim);
            ui.add_space(theme::GAP_M);
        }
        channels_ui(ui, state, textures);
        rule_ui(ui, theme::GAP_L);
        subject_ui(ui, state, commands);
        noise_ui(ui, state, textures, commands);
        rule_ui(ui, theme::GAP_L);
        round_trip_ui(ui, state, textures);
    });
}

/// The current step: each channel as a grey picture, with its lowest and highest value.
fn channels_ui(ui: &mut Ui, state: &AppState, textures: &mut Textures) {
    let of = match state.inspected_step() {
        Some((step, view)) => format!("{} · step {}", view.label().to_lowercase(), step + 1),
        None => String::new(),
    };
    heading_ui(ui, "Latent channels", &of);
    ui.add_space(theme::GAP_S);
    let channels = match state.inspect.channels() {
        Some(Ok(channels)) => channels,
        Some(Err(text)) => {
            problem_ui(ui, text, false);
            return;
        }
        None => {
            let text = "The model works on latents with four channels, shown here in grey. Make a picture, \
                or choose a start image.";
            note_ui(ui, text, theme::small(), Tokens::of(ui).dim);
            return;
        }
    };
    let columns = channels.len().clamp(1, 4);
    for row in channels.chunks(columns) {
        let pictures = row.iter().map(|channel| Some(&channel.picture));
        let names: Vec<String> = (1..=row.len()).map(|number| format!("Channel {number}")).collect();
        row_ui(ui, columns, pictures, &names, Use::Pixels, textures);
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = theme::GAP_M;
            let width = column_width(ui, columns);
            for channel in row {
                let text = format!("{:.1}…{:.1}", channel.min, channel.max).replace('-', "−");
                let words = RichText::new(text).font(theme::mono_small()).color(Tokens::of(ui).dim);
                ui.add_sized(vec2(width, 14.0), egui::Label::new(words).truncate());
            }
        });
    }
}

/// Which picture is inspected below, where there are two.
fn subject_ui(ui: &mut Ui, state: &AppState, commands: &mut Vec<Command>) {
    if state.subjects().len() < 2 {
        return;
    }
    let names = ["Finished picture".to_owned(), "Start image".to_owned()];
    let at = usize::from(state.subject().is_some_and(|subject| subject.is_start_image));
    if let Some(index) = segmented_ui(ui, "Inspect", &names, at, |_| String::new()) {
        commands.push(Command::Inspect(InspectCommand::AtStartImage(index == 1)));
    }
    ui.add_space(theme::GAP_M);
}

fn noise_ui(ui: &mut Ui, state: &AppState, textures: &mut Textures, commands: &mut Vec<Command>) {
    let (step, sigma) = state.noise_step();
    heading_ui(ui, "Add noise", &format!("x0 + noise × {sigma:.3}"));
    let Some(subject) = state.subject() else {
        let text = "Shows a picture with the noise of any step of the schedule. Make a picture, or choose \
            a start image.";
        note_ui(ui, text, theme::small(), Tokens::of(ui).dim);
        return;
    };
    let row = SliderRow {
        name: "Step",
        sentence: "Adds the noise of this step of the schedule to the picture, as image to image does.",
        track: 1.0..=f64::from(state.shared.recipe.steps.max(1)),
        limits: 1.0..=f64::from(state.shared.recipe.steps.max(1)),
        default: f64::from(state.shared.recipe.steps * 2 / 3 + 1),
        step: 1.0,
        decimals: 0,
        hue: Tokens::of(ui).accent,
    };
    let mut number = (step + 1) as f64;
    if slider_row_ui(ui, &row, &mut number).changed() {
        commands.push(Command::Inspect(InspectCommand::NoiseStep(number as usize - 1)));
    }
    ui.add_space(theme::GAP_S);
    let noised = match state.inspect.noised() {
        Some(Err(text)) => {
            problem_ui(ui, text, false);
            None
        }
        noised => noised.and_then(Result::ok),
    };
    let names = ["The picture".to_owned(), format!("With the noise of step {}", step + 1)];
    // Only the middle of a start image may be used; the round trip shows that part.
    let as_used = state.inspect.round_trip().and_then(Result::ok).map(|trip| &trip.original);
    let picture = as_used.filter(|_| subject.is_start_image).unwrap_or(&subject.at.pixels);
    row_ui(ui, 2, [Some(picture), noised].into_iter(), &names, Use::Canvas, textures);
}

fn round_trip_ui(ui: &mut Ui, state: &AppState, textures: &mut Textures) {
    let trip = match state.inspect.round_trip() {
        Some(Err(text)) => {
            heading_ui(ui, "Encode and decode", "");
            problem_ui(ui, text, false);
            return;
        }
        trip => trip.and_then(Result::ok).filter(|_| state.subject().is_some()),
    };
    let facts =
        trip.map_or(String::new(), |trip| format!("mean difference {:.2} / 255", trip.mean_difference));
    heading_ui(ui, "Encode and decode", &facts);
    let about = format!(
        "The picture, the same picture after encoding and decoding, and their difference, \
            amplified {} times.",
        RoundTrip::DIFFERENCE_GAIN
    );
    note_ui(ui, about, theme::small(), Tokens::of(ui).dim);
    let Some(trip) = trip else { return };
    ui.add_space(theme::GAP_S);
    let names = ["The picture", "Round trip", "Difference"].map(str::to_owned);
    let pictures = [&trip.original, &trip.decoded, &trip.difference].map(Some);
    row_ui(ui, 3, pictures.into_iter(), &names, Use::Canvas, textures);
}

fn column_width(ui: &Ui, columns: usize) -> f32 {
    let width = theme::RIGHT_WIDTH - 2.0 * theme::EDGE - 1.0;
    let width = width.min(ui.max_rect().width());
    ((width - theme::GAP_M * (columns - 1) as f32) / columns as f32).floor()
}

/// Pictures side by side; a missing one leaves its place empty.
pub(crate) fn row_ui<'a>(
    ui: &mut Ui,
    columns: usize,
    pictures: impl Iterator<Item = Option<&'a Arc<Pixels>>> + Clone,
    names: &[String],
    purpose: Use,
    textures: &mut Textures,
) {
    let width = column_width(ui, columns);
    let tallest = pictures.clone().flatten().map(|pixels| height_of(pixels, width)).fold(0.0, f32::max);
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = theme::GAP_M;
        for (pixels, name) in pictures.zip(names) {
            let (rect, response) = ui.allocate_exact_size(vec2(width, tallest), Sense::hover());
            response.widget_info(|| WidgetInfo::labeled(Role::Image, true, name));
            let Some(pixels) = pixels else {
                ui.painter().rect_filled(rect, CornerRadius::same(theme::CORNER_FIELD), Tokens::of(ui).field);
                continue;
            };
            let place = Rect::from_center_size(rect.center(), vec2(width, height_of(pixels, width)));
            picture_ui(ui, place, pixels, purpose, textures);
            response.on_hover_ui(|ui| {
                ui.label(RichText::new(name).font(theme::heading()).color(Tokens::of(ui).text));
                let scale = ENLARGED / pixels.width.max(pixels.height).max(1) as f32;
                let size = vec2(pixels.width as f32, pixels.height as f32) * scale;
                let (rect, _) = ui.allocate_exact_size(size, Sense::hover());
                picture_ui(ui, rect, pixels, purpose, textures);
            });
        }
    });
}

/// The height of a picture of that width, limited.
fn height_of(pixels: &Pixels, width: f32) -> f32 {
    (width * pixels.height as f32 / pixels.width.max(1) as f32).clamp(1.0, 1.5 * width)
}

fn picture_ui(ui: &Ui, rect: Rect, pixels: &Arc<Pixels>, purpose: Use, textures: &mut Textures) {
    let texture = textures.get(ui.ctx(), pixels, purpose);
    let corner = CornerRadius::same(theme::CORNER_FIELD);
    let shape = egui::epaint::RectShape::filled(rect, corner, egui::Color32::WHITE);
    let uv = Rect::from_min_max(pos2(0.0, 0.0), Vec2::splat(1.0).to_pos2());
    ui.painter().add(shape.with_texture(texture.id(), uv));
}
