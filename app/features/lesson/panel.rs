//! The Lesson tab: nine pages, each with live parts and experiments.

use egui::{Frame, Panel, ScrollArea, Ui};
use engine::recipe::Recipe;

use crate::features::command::Command;
use crate::features::lesson::pages::{
    autoencoder, guidance, losses, noise, prediction, samplers, sampling_loop, start_image, text,
};
use crate::features::lesson::{LessonPage, nav, page};
use crate::features::schedule::curves::ScheduleCurves;
use crate::features::state::AppState;
use crate::ui::textures::Textures;
use crate::ui::theme;

/// What a page reads, and where it pushes commands.
pub(crate) struct PageContext<'a> {
    pub state: &'a AppState,
    /// Some sliders edit the recipe.
    pub recipe: &'a mut Recipe,
    pub curves: &'a ScheduleCurves,
    pub textures: &'a mut Textures,
    pub commands: &'a mut Vec<Command>,
}

pub fn lesson_ui(
    ui: &mut Ui,
    state: &AppState,
    recipe: &mut Recipe,
    curves: &mut ScheduleCurves,
    textures: &mut Textures,
    commands: &mut Vec<Command>,
) {
    curves.follow(recipe, state.shared.model_info());
    let stop = state.shared.settings.lesson.page;
    // The navigation is always visible.
    Panel::bottom("lesson's way").resizable(false).show_separator_line(false).frame(Frame::NONE).show(
        ui,
        |ui| {
            nav::way_ui(ui, &state.shared, commands);
        },
    );
    let mut context = PageContext { state, recipe, curves, textures, commands };
    ScrollArea::vertical().id_salt(("lesson", stop)).auto_shrink([false, false]).show(ui, |ui| {
        page::title_ui(ui, stop);
        match stop {
            LessonPage::Loop => sampling_loop::sampling_loop_ui(ui, &mut context),
            LessonPage::Autoencoder => autoencoder::autoencoder_ui(ui, &mut context),
            LessonPage::Noise => noise::noise_ui(ui, &mut context),
            LessonPage::StartImage => start_image::start_image_ui(ui, &mut context),
            LessonPage::Text => text::text_ui(ui, &mut context),
            LessonPage::Prediction => prediction::prediction_ui(ui, &mut context),
            LessonPage::Guidance => guidance::guidance_ui(ui, &mut context),
            LessonPage::Samplers => samplers::samplers_ui(ui, &mut context),
            LessonPage::Losses => losses::losses_ui(ui, &mut context),
        }
        ui.add_space(theme::GAP_L);
    });
}
