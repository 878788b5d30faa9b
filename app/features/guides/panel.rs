//! The Guides tab: losses that steer the picture besides the prompt.

use std::path::{Path, PathBuf};

use egui::{Frame, Margin, Response, RichText, ScrollArea, TextEdit, Ui};
use engine::losses::{
    ClipPicture, Color, ColorChannel, GradientPath, Loss, LossGuide, Picture, ScaleCurve, SmallPicture,
    SymmetryAxis, TrainingFree,
};
use engine::recipe::Recipe;

use super::GuidesCommand;
use super::before_after::before_after_ui;
use super::curves::loss_curve_ui;
use super::list::head_ui;
use super::presets::presets_ui;
use crate::features::brush::mask_row::mask_row_ui;
use crate::features::command::Command;
use crate::features::generate::run::Run;
use crate::features::state::AppState;
use crate::ui::theme::{self, Tokens};
use crate::ui::widgets::{
    SelectItem, SliderRow, check_ui, close_ui, field_frame, label_ui, menu_item_ui, note_ui,
    outlined_button_ui, problem_ui, real_slider_ui, segmented_ui, select_ui, whole_slider_ui,
};

pub fn guides_ui(ui: &mut Ui, state: &AppState, recipe: &mut Recipe, commands: &mut Vec<Command>) {
    ScrollArea::vertical().id_salt("guides").auto_shrink([false, false]).show(ui, |ui| {
        let text = "A guide steers the picture by a number that is small when it looks as wished: the gradient of the \
            number moves the latents of some steps, besides the prompt.";
        note_ui(ui, text, theme::small(), Tokens::of(ui).dim);
        ui.add_space(theme::GAP_M);
        add_ui(ui, &mut recipe.guides);
        ui.add_space(theme::GAP_S);
        presets_ui(ui, &mut recipe.guides);
        before_after_ui(ui, state, commands);
        gradient_ui(ui, state, commands);
        let (steps, count) = (recipe.steps, recipe.guides.len());
        let mut edited = None;
        for (index, guide) in recipe.guides.iter_mut().enumerate() {
            ui.add_space(theme::GAP_L);
            ui.push_id(index, |ui| {
                if let Some(edit) = head_ui(ui, guide, index, count) {
                    edited = Some((index, edit));
                }
                if let Some(run) = state.runs.current() {
                    let step = state.film.current_step(&state.runs);
                    loss_curve_ui(ui, run, (index, guide), state.film.picture.unwrap_or(0), step);
                }
                if !guide.off {
                    guide_ui(ui, guide, steps);
                    mask_row_ui(ui, state, index, guide, commands);
                }
            });
        }
        if let Some((index, edit)) = edited {
            edit.apply(&mut recipe.guides, index);
        }
        if !recipe.guides.is_empty() {
            ui.add_space(theme::GAP_L);
            let title = RichText::new("How the gradient is used").font(theme::small());
            ui.collapsing(title, |ui| training_free_ui(ui, &mut recipe.training_free));
        }
    });
}

/// Shows where the losses of the current run moved its picture.
fn gradient_ui(ui: &mut Ui, state: &AppState, commands: &mut Vec<Command>) {
    let is_guided = |run: &Run| run.frames.iter().any(|frame| frame.losses.is_some());
    if !state.runs.current().is_some_and(is_guided) {
        return;
    }
    ui.add_space(theme::GAP_S);
    let mut is_shown = state.guides.shows_gradient;
    let sentence = "Lights the picture where the gradient of the last guided step moves it most.";
    if check_ui(ui, "Gradient on the picture", sentence, &mut is_shown).changed() {
        commands.push(Command::Guides(GuidesCommand::ShowGradient(is_shown)));
    }
}

/// Options of training-free guidance.
fn training_free_ui(ui: &mut Ui, options: &mut TrainingFree) {
    let hue = Tokens::of(ui).accent;
    let repeats = |name, sentence| SliderRow {
        name,
        sentence,
        track: 1.0..=8.0,
        limits: 1.0..=f64::from(*TrainingFree::REPEATS.end()),
        default: 1.0,
        step: 1.0,
        decimals: 0,
        hue,
    };
    let sentence = "How often each guided step is taken, with its noise added anew before each repetition.";
    whole_slider_ui(ui, &repeats("Recurrence", sentence), &mut options.recurrence);
    let sentence = "How often the predicted picture is moved within a guided step.";
    whole_slider_ui(ui, &repeats("Iterations", sentence), &mut options.iterations);
    let parts = |name, sentence, end| SliderRow {
        name,
        sentence,
        track: 0.0..=1.0,
        limits: 0.0..=end,
        default: 0.0,
        step: 0.05,
        decimals: 2,
        hue,
    };
    let sentence = "The losses are averaged over predictions with this much noise. 0 is off.";
    real_slider_ui(ui, &parts("Smoothing", sentence, 1.0), &mut options.smoothing);
    if options.smoothing > 0.0 {
        let samples = SliderRow {
            default: 4.0,
            ..repeats("Samples", "The number of noisy predictions that the losses are averaged over.")
        };
        whole_slider_ui(ui, &samples, &mut options.samples);
    }
    let sentence = "A gradient moves the latents at most this many times their noise. 0 is off.";
    let mut clip = options.clip.unwrap_or(0.0);
    real_slider_ui(ui, &parts("Limit", sentence, f64::from(*TrainingFree::CLIP.end())), &mut clip);
    options.clip = (clip >= *TrainingFree::CLIP.start()).then_some(clip);
}

/// Chooses a loss and adds it.
fn add_ui(ui: &mut Ui, guides: &mut Vec<LossGuide>) {
    let sentence = "Adds a loss with settings that show what it does.";
    if guides.len() >= LossGuide::MAX {
        note_ui(ui, "These are as many guides as a recipe can have.", theme::small(), Tokens::of(ui).dim);
        return;
    }
    select_ui(ui, "Add a guide", "Add a guide", sentence, ui.available_width(), |ui| {
        for loss in Loss::examples() {
            let item = SelectItem { label: loss.label(), hint: loss.hint(), chosen: false };
            if menu_item_ui(ui, item) {
                guides.push(LossGuide::new(loss));
            }
        }
    });
}

/// The settings of one guide.
fn guide_ui(ui: &mut Ui, guide: &mut LossGuide, steps: u32) {
    let tokens = Tokens::of(ui);
    note_ui(ui, guide.loss.hint(), theme::small(), tokens.dim);
    ui.add_space(theme::GAP_S);
    loss_ui(ui, &mut guide.loss);
    let usual = guide.loss.default_scale();
    let scale = SliderRow {
        name: "Scale",
        sentence: "How strongly it steers. Too much, and the picture turns into coloured noise.",
        track: 0.0..=f64::from(4.0 * usual),
        limits: f64::from(*LossGuide::SCALE.start())..=f64::from(*LossGuide::SCALE.end()),
        default: f64::from(usual),
        step: f64::from(usual) / 20.0,
        decimals: 0,
        hue: tokens.accent,
    };
    real_slider_ui(ui, &scale, &mut guide.scale);
    let every = SliderRow {
        name: "Every",
        sentence: "The steps that are guided: at 5 it is every fifth one.",
        track: 1.0..=f64::from(steps.clamp(2, 20)),
        limits: 1.0..=1000.0,
        default: f64::from(LossGuide::EVERY),
        step: 1.0,
        decimals: 0,
        hue: tokens.accent,
    };
    whole_slider_ui(ui, &every, &mut guide.every);
    label_ui(ui, "Scale over the steps");
    let curves = ScaleCurve::ALL.map(|curve| curve.label().to_owned());
    let hint = |index: usize| ScaleCurve::ALL[index].hint().to_owned();
    if let Some(index) = segmented_ui(ui, "Scale over the steps", &curves, guide.curve as usize, hint) {
        guide.curve = ScaleCurve::ALL[index];
    }
    ui.add_space(theme::GAP_S);
    label_ui(ui, "Gradient through");
    let paths = GradientPath::ALL.map(|path| path.label().to_owned());
    let chosen = GradientPath::ALL.iter().position(|path| *path == guide.through).unwrap_or_default();
    let hint = |index: usize| GradientPath::ALL[index].hint().to_owned();
    if let Some(index) = segmented_ui(ui, "Gradient through", &paths, chosen, hint) {
        guide.through = GradientPath::ALL[index];
    }
}

/// The settings of a loss.
fn loss_ui(ui: &mut Ui, loss: &mut Loss) {
    match loss {
        Loss::Channel(channel) => {
            let names = ColorChannel::ALL.map(|channel| channel.label().to_owned());
            let hint = |index: usize| ColorChannel::ALL[index].hint().to_owned();
            if let Some(index) = segmented_ui(ui, "Channel", &names, channel.channel as usize, hint) {
                channel.channel = ColorChannel::ALL[index];
            }
            ui.add_space(theme::GAP_S);
            target_ui(ui, "The value that the channel comes nearer to.", 1.0, &mut channel.target);
        }
        Loss::Palette(palette) => palette_ui(ui, &mut palette.colors),
        Loss::Brightness(loss) => {
            target_ui(ui, "The mean brightness, from black to white.", 1.0, &mut loss.target);
        }
        Loss::Contrast(loss) => {
            target_ui(ui, "The spread of brightness; photographs have about 0.2.", 0.5, &mut loss.target);
        }
        Loss::Saturation(loss) => {
            target_ui(ui, "How colourful: 0 is grey, 0.47 pure colours.", 0.47, &mut loss.target);
        }
        Loss::Symmetry(symmetry) => {
            let names = SymmetryAxis::ALL.map(|axis| axis.label().to_owned());
            let hint = |index: usize| SymmetryAxis::ALL[index].hint().to_owned();
            if let Some(index) = segmented_ui(ui, "Symmetry", &names, symmetry.axis as usize, hint) {
                symmetry.axis = SymmetryAxis::ALL[index];
            }
            ui.add_space(theme::GAP_S);
        }
        Loss::Picture(loss) => picture_ui(ui, &mut loss.picture, Picture::SIDE),
        Loss::ClipText(loss) => {
            text_ui(ui, "Text", "What CLIP should see", &mut loss.text);
            model_ui(ui, "The model's own, or the folder of a CLIP", &mut loss.model);
        }
        Loss::ClipPicture(loss) => {
            picture_ui(ui, &mut loss.picture, ClipPicture::MAX_SIDE);
            model_ui(ui, "The model's own, or the folder of a CLIP", &mut loss.model);
        }
        Loss::Classifier(loss) => {
            text_ui(ui, "Label", "What the classifier should see", &mut loss.label);
            model_ui(ui, "A safetensors file", &mut loss.model);
        }
        Loss::Smoothness(_) | Loss::Tile(_) | Loss::Region(_) => {}
    }
}

fn text_ui(ui: &mut Ui, name: &str, hint: &str, text: &mut String) -> Response {
    label_ui(ui, name);
    let id = ui.scope_id().with(name);
    let focused = ui.memory(|memory| memory.has_focus(id));
    let tokens = Tokens::of(ui);
    let field = field_frame(tokens, focused).show(ui, |ui| {
        let hint = RichText::new(hint).font(theme::body()).color(tokens.faint);
        let field = TextEdit::singleline(text).id(id).hint_text(hint).font(theme::body());
        let inset = Frame::NONE.inner_margin(Margin::symmetric(10, 6));
        let response = ui.add(field.frame(inset).desired_width(f32::INFINITY));
        response.clone().accessible_name(name);
        response
    });
    ui.add_space(theme::GAP_S);
    field.inner
}

/// The path of the model that judges the picture.
fn model_ui(ui: &mut Ui, hint: &str, model: &mut Option<PathBuf>) {
    let mut path = model.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    if text_ui(ui, "Model", hint, &mut path).changed() {
        *model = (!path.is_empty()).then(|| path.into());
    }
}

/// Reads another picture when its path has been typed.
fn picture_ui(ui: &mut Ui, picture: &mut SmallPicture, side: u32) {
    let id = ui.scope_id().with("path of a picture");
    let (mut path, mut problem): (String, String) = ui.data_mut(|data| data.get_temp(id)).unwrap_or_default();
    let typed = text_ui(ui, "Picture", "The path of a picture", &mut path);
    if typed.lost_focus() && !path.is_empty() {
        problem.clear();
        match SmallPicture::load(Path::new(path.trim()), side) {
            Ok(loaded) => *picture = loaded,
            Err(error) => problem = error.to_string(),
        }
    }
    if !problem.is_empty() && problem_ui(ui, &problem, true) {
        problem.clear();
    }
    ui.data_mut(|data| data.insert_temp(id, (path, problem)));
}

/// What a loss wants the picture to come nearer to.
fn target_ui(ui: &mut Ui, sentence: &str, end: f64, target: &mut f32) {
    let hue = Tokens::of(ui).accent;
    let (track, limits) = (0.0..=end, 0.0..=1.0);
    let row = SliderRow {
        name: "Target",
        sentence,
        track,
        limits,
        default: end / 2.0,
        step: 0.05,
        decimals: 2,
        hue,
    };
    real_slider_ui(ui, &row, target);
}

fn palette_ui(ui: &mut Ui, colors: &mut Vec<Color>) {
    let (mut removed, is_last) = (None, colors.len() == 1);
    ui.horizontal_wrapped(|ui| {
        for (index, color) in colors.iter_mut().enumerate() {
            ui.color_edit_button_srgb(&mut color.0)
                .on_hover_text(RichText::new(color.to_string()).font(theme::mono()));
            if !is_last && close_ui(ui, &format!("Remove {color}")).clicked() {
                removed = Some(index);
            }
        }
    });
    if let Some(index) = removed {
        colors.remove(index);
    }
    ui.add_space(theme::GAP_S);
    if colors.len() < engine::losses::Palette::MAX_COLORS
        && outlined_button_ui(ui, "Add a colour", false).clicked()
    {
        colors.push(Color([128, 128, 128]));
    }
    ui.add_space(theme::GAP_S);
}
