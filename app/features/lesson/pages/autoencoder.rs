//! Page 2: the autoencoder and its latents, with the channels of the current picture.

use egui::Ui;

use crate::features::inspect::panel::row_ui;
use crate::features::lesson::Experiment;
use crate::features::lesson::page::{
    captions_ui, experiment_ui, fact_ui, formula_ui, live_ui, note, paragraph, thousands,
};
use crate::features::lesson::panel::PageContext;
use crate::ui::section::heading_ui;
use crate::ui::textures::Use;

pub fn autoencoder_ui(ui: &mut Ui, context: &mut PageContext<'_>) {
    paragraph(
        ui,
        "The model never paints pixels. An autoencoder first compresses a picture into latents: \
            a much smaller picture with four channels, in which each place stands for a whole \
            square of pixels.",
    );
    live_ui(ui, |ui| sizes_ui(ui, context));
    paragraph(
        ui,
        "Nobody decided what the channels mean: training did. Drawn in grey, they still show \
            what the picture is of.",
    );
    live_ui(ui, |ui| channels_ui(ui, context));
    experiment_ui(ui, context, Experiment::Latents, true);
    formula_ui(ui, &["latents = scale · encode(picture)", "picture = decode(latents / scale)"]);
    paragraph(
        ui,
        "Compression loses a little: thin lines, small letters. Whatever happens later, no \
            picture can be finer than this round trip. The scale makes latents about as strong as \
            the noise that is added to them.",
    );
    live_ui(ui, |ui| round_trip_ui(ui, context));
}

fn sizes_ui(ui: &mut Ui, context: &PageContext<'_>) {
    let (width, height) = (context.recipe.width as usize, context.recipe.height as usize);
    let factor = context.state.shared.model_info().map_or(8, |info| info.vae_factor.max(1) as usize);
    let (pixels, latents) = (width * height * 3, (width / factor) * (height / factor) * 4);
    fact_ui(ui, "Picture", &format!("{width} × {height} × 3 = {}", thousands(pixels)));
    fact_ui(ui, "Latents", &format!("{} × {} × 4 = {}", width / factor, height / factor, thousands(latents)));
    let times = pixels as f64 / latents.max(1) as f64;
    fact_ui(ui, "Fewer numbers", &format!("{times:.0} times"));
}

fn channels_ui(ui: &mut Ui, context: &mut PageContext<'_>) {
    let of = context.state.inspected_step().map(|(step, _)| format!("step {}", step + 1));
    heading_ui(ui, "Its four channels", &of.unwrap_or_default());
    match context.state.inspect.channels() {
        Some(Ok(channels)) => {
            let pictures = channels.iter().map(|channel| Some(&channel.picture));
            let names: Vec<String> = (1..=channels.len()).map(|number| format!("Channel {number}")).collect();
            row_ui(ui, channels.len().max(1), pictures, &names, Use::Pixels, context.textures);
            let range = |low: f32, high: f32| format!("{low:.1}…{high:.1}").replace('-', "−");
            let ranges: Vec<String> =
                channels.iter().map(|channel| range(channel.min, channel.max)).collect();
            captions_ui(ui, &ranges.iter().map(String::as_str).collect::<Vec<_>>());
        }
        Some(Err(text)) => note(ui, text),
        None => note(ui, "They appear here once there is a picture."),
    }
}

fn round_trip_ui(ui: &mut Ui, context: &mut PageContext<'_>) {
    let trip =
        context.state.inspect.round_trip().and_then(Result::ok).filter(|_| context.state.subject().is_some());
    let facts =
        trip.map_or(String::new(), |trip| format!("mean difference {:.2} / 255", trip.mean_difference));
    heading_ui(ui, "Encode and decode", &facts);
    let Some(trip) = trip else {
        note(ui, "Once there is a picture on the canvas, its loss is measured here.");
        return;
    };
    let names = ["The picture", "Round trip", "Difference"].map(str::to_owned);
    let pictures = [&trip.original, &trip.decoded, &trip.difference].map(Some);
    row_ui(ui, 3, pictures.into_iter(), &names, Use::Canvas, context.textures);
    captions_ui(ui, &["picture", "encode and decode", "difference"]);
}
