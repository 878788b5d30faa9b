//! The options of the samplers.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::Sampler;
use crate::choice::impl_choice;

/// The options that were set. Others have the sampler's [default](Sampler::default_of).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SamplerOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_below: Option<f32>,
}

/// An option of a sampler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SamplerOption {
    /// The share of the noise that each step draws anew.
    Eta,
    /// How many predictions a multistep sampler uses.
    Order,
    LearningRate,
    Momentum,
    WeightDecay,
    /// The level of predicted noise at which an optimiser stops.
    StopBelow,
}

impl_choice!(SamplerOption);

impl SamplerOption {
    #[rustfmt::skip]
    const TABLE: [(Self, &str, &str, &str); 6] = [
        (Self::Eta, "eta", "Eta", "The share of the noise that each step draws anew: none at 0, as much as possible at 1."),
        (Self::Order, "order", "Order", "How many of the last predictions a step uses: 1 is Euler, the lesson uses 4."),
        (Self::LearningRate, "learning-rate", "Learning rate", "The share of the predicted noise that a step removes."),
        (Self::Momentum, "momentum", "Momentum", "How much of the previous steps' direction the next step keeps."),
        (Self::WeightDecay, "weight-decay", "Weight decay", "How strongly the latents are pulled towards 0, which is grey."),
        (Self::StopBelow, "stop-below", "Stop below", "Stops early when the predicted noise is below this level; a picture's own level is about 1."),
    ];

    /// The values that can be used.
    pub fn range(self) -> RangeInclusive<f32> {
        match self {
            Self::Eta | Self::WeightDecay => 0.0..=1.0,
            Self::Order => 1.0..=4.0,
            Self::LearningRate => 0.01..=1.0,
            Self::Momentum => 0.0..=0.99,
            Self::StopBelow => 0.0..=10.0,
        }
    }

    pub fn allows(self, value: f32) -> bool {
        self.range().contains(&value) && (self != Self::Order || value.fract() == 0.0)
    }
}

impl SamplerOptions {
    pub fn get(&self, option: SamplerOption) -> Option<f32> {
        let mut copy = *self;
        *copy.get_mut(option)
    }

    pub fn get_mut(&mut self, option: SamplerOption) -> &mut Option<f32> {
        match option {
            SamplerOption::Eta => &mut self.eta,
            SamplerOption::Order => &mut self.order,
            SamplerOption::LearningRate => &mut self.learning_rate,
            SamplerOption::Momentum => &mut self.momentum,
            SamplerOption::WeightDecay => &mut self.weight_decay,
            SamplerOption::StopBelow => &mut self.stop_below,
        }
    }

    /// The value that was set, or else the sampler's default.
    ///
    /// # Panics
    /// If the sampler does not accept this option.
    pub(super) fn value(&self, sampler: Sampler, option: SamplerOption) -> f32 {
        let default = sampler.default_of(option).expect("a sampler reads only options that it accepts");
        self.get(option).unwrap_or(default)
    }
}
