//! The options that the selected sampler and schedule accept.
//!
//! Noise source and betas are rarely changed: they are at the end of the list of schedules, and
//! are shown here once they differ from the default.

use egui::{Align, Ui, vec2};
use engine::checkpoint::SchedulerConfig;
use engine::diffusion::{BetaSchedule, NoiseSource, SamplerOption, ScheduleOptions};
use engine::recipe::Recipe;

use super::controls::{column_ui, in_f64, place_ui};
use crate::features::errors::ErrorSlot;
use crate::features::state::Shared;
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{
    Number, NumberLook, SliderRow, label_ui, link_ui, note_ui, number_ui, real_slider_ui, segmented_ui,
};

pub fn sampler_options_ui(ui: &mut Ui, shared: &Shared, recipe: &mut Recipe) {
    for option in SamplerOption::ALL {
        if let Some(own) = recipe.sampler.default_of(option) {
            sampler_row_ui(ui, option, own, recipe.sampler_options.get_mut(option));
        }
    }
    place_ui(ui, shared, ErrorSlot::Sampler);
    if let Some(own) = recipe.schedule.default_rho() {
        rho_row_ui(ui, own, &mut recipe.schedule_options.rho);
    }
    if let Some(words) = unusual(shared, recipe) {
        note_ui(ui, words, theme::small(), Tokens::of(ui).dim);
        let tokens = Tokens::of(ui);
        if link_ui(ui, "Reset to default", theme::small(), tokens.accent, true).clicked() {
            recipe.noise = NoiseSource::default();
            let rho = recipe.schedule_options.rho;
            recipe.schedule_options = ScheduleOptions { rho, ..ScheduleOptions::default() };
        }
    }
    place_ui(ui, shared, ErrorSlot::Schedule);
}

fn sampler_row_ui(ui: &mut Ui, option: SamplerOption, own: f32, value: &mut Option<f32>) {
    let range = f64::from(*option.range().start())..=f64::from(*option.range().end());
    let (track, step, decimals) = match option {
        SamplerOption::Order => (range.clone(), 1.0, 0),
        SamplerOption::WeightDecay => (0.0..=0.05, 0.001, 3),
        SamplerOption::StopBelow => (0.0..=1.0, 0.01, 2),
        SamplerOption::Eta | SamplerOption::LearningRate | SamplerOption::Momentum => {
            (range.clone(), 0.05, 2)
        }
    };
    let row = SliderRow {
        name: option.label(),
        sentence: option.hint(),
        track,
        limits: range,
        default: own.into(),
        step,
        decimals,
        hue: Tokens::of(ui).accent,
    };
    edit_option(ui, &row, own, value);
}

fn rho_row_ui(ui: &mut Ui, own: f32, rho: &mut Option<f32>) {
    let range = ScheduleOptions::RHO;
    let row = SliderRow {
        name: "Rho",
        sentence: "How the steps are spread. A higher rho takes more of them at low noise.",
        track: 0.5..=12.0,
        limits: f64::from(*range.start())..=f64::from(*range.end()),
        default: own.into(),
        step: 0.5,
        decimals: 1,
        hue: Tokens::of(ui).accent,
    };
    edit_option(ui, &row, own, rho);
}

/// A default value is not stored.
fn edit_option(ui: &mut Ui, row: &SliderRow<'_>, own: f32, value: &mut Option<f32>) {
    let mut edited = value.unwrap_or(own);
    real_slider_ui(ui, row, &mut edited);
    if edited != value.unwrap_or(own) {
        *value = (edited != own).then_some(edited);
    }
}

/// Noise source and betas, if they are not the default.
fn unusual(shared: &Shared, recipe: &Recipe) -> Option<String> {
    let mut words = Vec::new();
    if recipe.noise != NoiseSource::default() {
        words.push(format!("Noise: {}", recipe.noise.label()));
    }
    let options = &recipe.schedule_options;
    if *options != (ScheduleOptions { rho: options.rho, ..ScheduleOptions::default() }) {
        let betas = trained(shared).with_options(options);
        let kind = betas.beta_schedule.label().to_lowercase();
        let ends = match betas.beta_schedule {
            BetaSchedule::Cosine => String::new(),
            _ => format!(", {} to {}", betas.beta_start, betas.beta_end),
        };
        words.push(format!("Betas: {kind}{ends}, {} training steps", betas.num_train_timesteps));
    }
    (!words.is_empty()).then(|| words.join(". "))
}

fn trained(shared: &Shared) -> SchedulerConfig {
    shared.model_info().map_or_else(SchedulerConfig::default, |info| info.scheduler.clone())
}

/// The end of the list of schedules.
pub fn noise_and_betas_ui(ui: &mut Ui, shared: &Shared, recipe: &mut Recipe) {
    ui.separator();
    label_ui(ui, "Noise source");
    let noises = NoiseSource::ALL.map(|noise| noise.label().to_owned());
    let at = NoiseSource::ALL.iter().position(|noise| *noise == recipe.noise);
    let hint = |index: usize| NoiseSource::ALL[index].hint().to_owned();
    if let Some(chosen) = segmented_ui(ui, "Noise", &noises, at.unwrap_or_default(), hint) {
        recipe.noise = NoiseSource::ALL[chosen];
    }
    label_ui(ui, "Training noise schedule (betas)");
    let trained = trained(shared);
    let options = &mut recipe.schedule_options;
    let kind = options.beta_kind.unwrap_or(trained.beta_schedule);
    let kinds = BetaSchedule::ALL.map(|kind| kind.label().to_owned());
    let at = BetaSchedule::ALL.iter().position(|other| *other == kind);
    let hint = |index: usize| BetaSchedule::ALL[index].hint().to_owned();
    if let Some(chosen) = segmented_ui(ui, "Betas", &kinds, at.unwrap_or_default(), hint) {
        let chosen = BetaSchedule::ALL[chosen];
        options.beta_kind = (chosen != trained.beta_schedule).then_some(chosen);
    }
    let width = (ui.available_width() - 2.0 * theme::GAP_M) / 3.0;
    ui.horizontal_top(|ui| {
        if kind != BetaSchedule::Cosine {
            column_ui(ui, width, |ui| {
                beta_ui(ui, width, "First", trained.beta_start, &mut options.beta_start);
            });
            column_ui(ui, width, |ui| beta_ui(ui, width, "Last", trained.beta_end, &mut options.beta_end));
        }
        let own = trained.num_train_timesteps as u32;
        column_ui(ui, width, |ui| train_steps_ui(ui, width, own, &mut options.train_steps));
    });
}

fn beta_ui(ui: &mut Ui, width: f32, name: &str, own: f64, set: &mut Option<f64>) {
    label_ui(ui, name);
    let mut value = set.unwrap_or(own);
    let number =
        Number { name, limits: ScheduleOptions::BETA, decimals: 6, step: 0.0001, look: number_look(width) };
    if number_ui(ui, &number, &mut value).changed() {
        *set = (value != own).then_some(value);
    }
}

fn train_steps_ui(ui: &mut Ui, width: f32, own: u32, set: &mut Option<u32>) {
    label_ui(ui, "Training steps");
    let mut value = f64::from(set.unwrap_or(own));
    let number = Number {
        name: "Training steps",
        limits: in_f64(&ScheduleOptions::TRAIN_STEPS),
        decimals: 0,
        step: 100.0,
        look: number_look(width),
    };
    if number_ui(ui, &number, &mut value).changed() {
        *set = (value as u32 != own).then_some(value as u32);
    }
}

fn number_look(width: f32) -> NumberLook {
    NumberLook { size: vec2(width, theme::FIELD_HEIGHT), align: Align::LEFT, ..NumberLook::default() }
}
