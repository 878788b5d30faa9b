//! The sampling controls: steps, guidance, strength, batch, sampler, schedule.

use std::ops::RangeInclusive;

use egui::{RichText, Ui, vec2};
use engine::diffusion::{Sampler, Schedule};
use engine::recipe::{DEFAULT_STRENGTH, Guidance, Recipe, Start, start_step_of, strength_of};

use super::sampler_options::{noise_and_betas_ui, sampler_options_ui};
use super::size_and_seed::{seed_field_ui, size_ui};
use crate::features::command::Command;
use crate::features::errors::ErrorSlot;
use crate::features::state::Shared;
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{
    Number, NumberLook, SelectItem, SliderRow, label_ui, menu_item_ui, number_ui, problem_ui, real_slider_ui,
    select_ui, whole_slider_ui,
};

pub fn controls_ui(ui: &mut Ui, shared: &Shared, recipe: &mut Recipe, commands: &mut Vec<Command>) {
    sliders_ui(ui, shared, recipe);
    ui.add_space(theme::GAP_M);
    let width = (ui.available_width() - theme::GAP_M) / 2.0;
    ui.horizontal_top(|ui| {
        column_ui(ui, width, |ui| {
            label_ui(ui, "Sampler");
            sampler_ui(ui, width, &mut recipe.sampler);
        });
        column_ui(ui, width, |ui| {
            label_ui(ui, "Schedule");
            schedule_ui(ui, shared, width, recipe);
        });
    });
    sampler_options_ui(ui, shared, recipe);
    ui.add_space(theme::GAP_M);
    ui.horizontal_top(|ui| {
        column_ui(ui, width, |ui| size_ui(ui, shared, width, recipe));
        column_ui(ui, width, |ui| seed_field_ui(ui, shared, width, recipe, commands));
    });
    place_ui(ui, shared, ErrorSlot::Size);
}

pub(crate) fn column_ui(ui: &mut Ui, width: f32, contents: impl FnOnce(&mut Ui)) {
    ui.allocate_ui(vec2(width, 0.0), |ui| {
        ui.set_width(width);
        ui.vertical(contents);
    });
}

/// The error of a field, below it.
pub(crate) fn place_ui(ui: &mut Ui, shared: &Shared, place: ErrorSlot) {
    if let Some(text) = shared.error_at(place) {
        problem_ui(ui, &text, false);
    }
}

fn sliders_ui(ui: &mut Ui, shared: &Shared, recipe: &mut Recipe) {
    let tokens = Tokens::of(ui);
    let defaults = Recipe::default();

    let steps = SliderRow {
        name: "Steps",
        sentence: "Number of sampling steps. 20 suits most samplers.",
        track: 1.0..=50.0,
        limits: in_f64(&Recipe::STEPS),
        default: defaults.steps.into(),
        step: 1.0,
        decimals: 0,
        hue: tokens.accent,
    };
    whole_slider_ui(ui, &steps, &mut recipe.steps);
    place_ui(ui, shared, ErrorSlot::Steps);

    let guidance = SliderRow {
        name: "Guidance",
        sentence: "How strictly the picture follows the prompt (CFG scale). 7.5 suits most models. At 1 \
            there is no guidance, and each step takes half the time.",
        track: 1.0..=15.0,
        limits: f64::from(*Recipe::CFG_SCALE.start())..=f64::from(*Recipe::CFG_SCALE.end()),
        default: Guidance::default().cfg_scale.into(),
        step: 0.5,
        decimals: 1,
        hue: tokens.accent,
    };
    real_slider_ui(ui, &guidance, &mut recipe.guidance.cfg_scale);
    place_ui(ui, shared, ErrorSlot::Guidance);

    let steps = recipe.steps;
    if let Start::Image { strength, .. } = &mut recipe.start {
        strength_ui(ui, steps, strength);
        place_ui(ui, shared, ErrorSlot::Strength);
    }

    let pictures = SliderRow {
        name: "Pictures",
        sentence: "Number of pictures per run, each from the next seed.",
        track: in_f64(&Recipe::BATCH),
        limits: in_f64(&Recipe::BATCH),
        default: 1.0,
        step: 1.0,
        decimals: 0,
        hue: tokens.accent,
    };
    whole_slider_ui(ui, &pictures, &mut recipe.batch);
    place_ui(ui, shared, ErrorSlot::Pictures);
}

/// Strength and start step: two views of one number.
fn strength_ui(ui: &mut Ui, steps: u32, strength: &mut f32) {
    let tokens = Tokens::of(ui);
    let row = SliderRow {
        name: "Strength",
        sentence: "How much the start image changes: at 0 it stays as it is, at 1 nothing of it is left.",
        track: 0.0..=1.0,
        limits: 0.0..=1.0,
        default: DEFAULT_STRENGTH.into(),
        step: 0.05,
        decimals: 2,
        hue: tokens.coral,
    };
    real_slider_ui(ui, &row, strength);
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 5.0;
        ui.add_space(102.0 - 5.0);
        let word = |ui: &mut Ui, text: String| {
            ui.label(RichText::new(text).font(theme::small()).color(tokens.dim));
        };
        word(ui, "starts at step".to_owned());
        let mut start_step = f64::from(start_step_of(*strength, steps));
        let number = Number {
            name: "Start step",
            limits: 0.0..=f64::from(steps.saturating_sub(1)),
            decimals: 0,
            step: 1.0,
            look: NumberLook { size: vec2(38.0, 20.0), ..NumberLook::default() },
        };
        if number_ui(ui, &number, &mut start_step).changed() {
            *strength = strength_of(start_step as u32, steps);
        }
        word(ui, format!("of {steps}"));
    });
    ui.add_space(2.0);
}

pub(crate) fn in_f64(range: &RangeInclusive<u32>) -> RangeInclusive<f64> {
    f64::from(*range.start())..=f64::from(*range.end())
}

fn sampler_ui(ui: &mut Ui, width: f32, chosen: &mut Sampler) {
    let before = *chosen;
    select_ui(ui, "Sampler", before.label(), before.hint(), width, |ui| {
        for sampler in Sampler::ALL {
            let item = SelectItem { label: sampler.label(), hint: sampler.hint(), chosen: sampler == before };
            if menu_item_ui(ui, item) {
                *chosen = sampler;
            }
        }
    });
}

fn schedule_ui(ui: &mut Ui, shared: &Shared, width: f32, recipe: &mut Recipe) {
    let before = recipe.schedule;
    select_ui(ui, "Schedule", before.label(), before.hint(), width, |ui| {
        for schedule in Schedule::ALL {
            let item =
                SelectItem { label: schedule.label(), hint: schedule.hint(), chosen: schedule == before };
            if menu_item_ui(ui, item) {
                recipe.schedule = schedule;
            }
        }
        noise_and_betas_ui(ui, shared, recipe);
    });
}
