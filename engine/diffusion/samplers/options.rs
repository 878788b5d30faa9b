//! What can be set of a sampler beside its steps.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::Sampler;

/// What was set; whatever was not is the sampler's [own](Sampler::own).
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

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SamplerOption {
    /// How much of the noise is drawn anew at every step.
    Eta,
    /// How many predictions a multistep sampler looks back on.
    Order,
    LearningRate,
    Momentum,
    WeightDecay,
    /// The predicted noise at which an optimiser has finished.
    StopBelow,
}

impl SamplerOption {
    pub const ALL: [Self; 6] =
        [Self::Eta, Self::Order, Self::LearningRate, Self::Momentum, Self::WeightDecay, Self::StopBelow];

    /// Name in the window.
    pub fn label(self) -> &'static str {
        match self {
            Self::Eta => "Eta",
            Self::Order => "Order",
            Self::LearningRate => "Learning rate",
            Self::Momentum => "Momentum",
            Self::WeightDecay => "Weight decay",
            Self::StopBelow => "Stop below",
        }
    }

    pub fn with_article(self) -> &'static str {
        match self {
            Self::Eta => "An eta",
            Self::Order => "An order",
            Self::LearningRate => "A learning rate",
            Self::Momentum => "A momentum",
            Self::WeightDecay => "A weight decay",
            Self::StopBelow => "A noise to stop below",
        }
    }

    /// One sentence for a tooltip.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Eta => {
                "How much of the noise is drawn anew at every step: none at 0, all that can be at 1."
            }
            Self::Order => "How many of the last predictions make a step: 1 is Euler, 4 the lesson's.",
            Self::LearningRate => "The part of the predicted noise that a step takes away.",
            Self::Momentum => "How much of the last steps' direction is kept in the next one.",
            Self::WeightDecay => "How strongly the latents are drawn to 0, which is grey.",
            Self::StopBelow => {
                "Stops early when no more noise than this is predicted; the picture has about 1."
            }
        }
    }

    /// The values that make sense.
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

    /// The value that counts: what was set, or the sampler's own.
    ///
    /// # Panics
    /// If the sampler does not listen to this option.
    pub(super) fn of(&self, sampler: Sampler, option: SamplerOption) -> f32 {
        let own = sampler.own(option).expect("a sampler asks for options that it listens to");
        self.get(option).unwrap_or(own)
    }
}
