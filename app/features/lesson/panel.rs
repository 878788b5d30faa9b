//! The lesson: a walk of nine pages, each with something that moves and something to try.

use egui::{Frame, Panel, ScrollArea, Ui};
use engine::recipe::Recipe;

use crate::features::command::Command;
use crate::features::lesson::LessonPage;
use crate::features::schedule::curves::ScheduleCurves;
use crate::features::state::AppState;
use crate::ui::textures::Textures;
use crate::ui::theme;

/// What a page reads, and may ask of.
struct Desk<'a> {
    state: &'a AppState,
    /// Some sliders are those of the desk itself.
    recipe: &'a mut Recipe,
    curves: &'a ScheduleCurves,
    textures: &'a mut Textures,
    commands: &'a mut Vec<Command>,
}

pub fn lesson_ui(
    ui: &mut Ui,
    state: &AppState,
    recipe: &mut Recipe,
    curves: &mut ScheduleCurves,
    textures: &mut Textures,
    commands: &mut Vec<Command>,
) {
    curves.follow(recipe, state.model_info());
    let stop = state.settings.lesson.stop;
    // The way on is always in sight.
    Panel::bottom("lesson's way").resizable(false).show_separator_line(false).frame(Frame::NONE).show(
        ui,
        |ui| {
            nav::way_ui(ui, state, commands);
        },
    );
    let mut desk = Desk { state, recipe, curves, textures, commands };
    ScrollArea::vertical().id_salt(("lesson", stop)).auto_shrink([false, false]).show(ui, |ui| {
        page::title_ui(ui, stop);
        match stop {
            LessonPage::Loop => sampling_loop::sampling_loop_ui(ui, &mut desk),
            LessonPage::Autoencoder => autoencoder::autoencoder_ui(ui, &mut desk),
            LessonPage::Noise => noise::noise_ui(ui, &mut desk),
            LessonPage::StartImage => start_image::start_image_ui(ui, &mut desk),
            LessonPage::Text => text::text_ui(ui, &mut desk),
            LessonPage::Prediction => prediction::prediction_ui(ui, &mut desk),
            LessonPage::Guidance => guidance::guidance_ui(ui, &mut desk),
            LessonPage::Samplers => samplers::samplers_ui(ui, &mut desk),
            LessonPage::Losses => losses::losses_ui(ui, &mut desk),
        }
        ui.add_space(theme::GAP_L);
    });
}
