//! What can be set of a schedule: its shape, and the noise that the model is taken to be trained at.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::BetaSchedule;

/// What was set; whatever was not is the schedule's own, and for the betas the model's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScheduleOptions {
    /// The power of Karras and polyexponential: how the steps are spread over the noise levels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rho: Option<f32>,
    /// Variance that the first training step adds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta_start: Option<f64>,
    /// Variance that the last training step adds.
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
