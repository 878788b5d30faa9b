//! The options of a schedule: its shape, and the noise levels of the training.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::BetaSchedule;

/// The options that were set. Others have the schedule's default, or the model's own betas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScheduleOptions {
    /// The exponent of Karras and polyexponential, which distributes the steps over the noise levels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rho: Option<f32>,
    /// The variance of the noise that the first training step adds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta_start: Option<f64>,
    /// The variance of the noise that the last training step adds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta_end: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta_kind: Option<BetaSchedule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_steps: Option<u32>,
}

impl ScheduleOptions {
    pub const RHO: RangeInclusive<f32> = 0.1..=100.0;
    pub const BETA: RangeInclusive<f64> = 0.000_001..=0.999;
    pub const TRAIN_STEPS: RangeInclusive<u32> = 2..=100_000;
}
