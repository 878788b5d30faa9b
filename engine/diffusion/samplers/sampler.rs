//! The samplers by name: what users choose from.

use serde::{Deserialize, Serialize};

use super::dpm_solver::dpm_fast_sigmas;
use super::options::{SamplerOption, SamplerOptions};

/// The samplers that users know by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Sampler {
    #[default]
    #[serde(rename = "euler")]
    Euler,
    #[serde(rename = "euler-a")]
    EulerAncestral,
    #[serde(rename = "heun")]
    Heun,
    #[serde(rename = "dpm2")]
    Dpm2,
    #[serde(rename = "dpm2-a")]
    Dpm2Ancestral,
    #[serde(rename = "lms")]
    Lms,
    #[serde(rename = "dpmpp-2s-a")]
    DpmPp2sAncestral,
    #[serde(rename = "dpmpp-2m")]
    DpmPp2m,
    #[serde(rename = "dpmpp-sde")]
    DpmPpSde,
    #[serde(rename = "dpmpp-2m-sde")]
    DpmPp2mSde,
    #[serde(rename = "dpmpp-3m-sde")]
    DpmPp3mSde,
    #[serde(rename = "dpm-fast")]
    DpmFast,
    #[serde(rename = "dpm-adaptive")]
    DpmAdaptive,
    #[serde(rename = "ddim")]
    Ddim,
    #[serde(rename = "plms")]
    Plms,
    #[serde(rename = "unipc")]
    UniPc,
    #[serde(rename = "lcm")]
    Lcm,
    #[serde(rename = "ddpm")]
    Ddpm,
    #[serde(rename = "sgd")]
    Sgd,
    #[serde(rename = "adam")]
    Adam,
    #[serde(rename = "adamw")]
    AdamW,
}

impl Sampler {
    pub const ALL: [Self; 21] = [
        Self::Euler,
        Self::EulerAncestral,
        Self::Heun,
        Self::Dpm2,
        Self::Dpm2Ancestral,
        Self::Lms,
        Self::DpmPp2sAncestral,
        Self::DpmPp2m,
        Self::DpmPpSde,
        Self::DpmPp2mSde,
        Self::DpmPp3mSde,
        Self::DpmFast,
        Self::DpmAdaptive,
        Self::Ddim,
        Self::Plms,
        Self::UniPc,
        Self::Lcm,
        Self::Ddpm,
        Self::Sgd,
        Self::Adam,
        Self::AdamW,
    ];

    /// Name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Euler => "euler",
            Self::EulerAncestral => "euler-a",
            Self::Heun => "heun",
            Self::Dpm2 => "dpm2",
            Self::Dpm2Ancestral => "dpm2-a",
            Self::Lms => "lms",
            Self::DpmPp2sAncestral => "dpmpp-2s-a",
            Self::DpmPp2m => "dpmpp-2m",
            Self::DpmPpSde => "dpmpp-sde",
            Self::DpmPp2mSde => "dpmpp-2m-sde",
            Self::DpmPp3mSde => "dpmpp-3m-sde",
            Self::DpmFast => "dpm-fast",
            Self::DpmAdaptive => "dpm-adaptive",
            Self::Ddim => "ddim",
            Self::Plms => "plms",
            Self::UniPc => "unipc",
            Self::Lcm => "lcm",
            Self::Ddpm => "ddpm",
            Self::Sgd => "sgd",
            Self::Adam => "adam",
            Self::AdamW => "adamw",
        }
    }

    /// Name in the window, and in A1111's `parameters` text.
    pub fn label(self) -> &'static str {
        match self {
            Self::Euler => "Euler",
            Self::EulerAncestral => "Euler a",
            Self::Heun => "Heun",
            Self::Dpm2 => "DPM2",
            Self::Dpm2Ancestral => "DPM2 a",
            Self::Lms => "LMS",
            Self::DpmPp2sAncestral => "DPM++ 2S a",
            Self::DpmPp2m => "DPM++ 2M",
            Self::DpmPpSde => "DPM++ SDE",
            Self::DpmPp2mSde => "DPM++ 2M SDE",
            Self::DpmPp3mSde => "DPM++ 3M SDE",
            Self::DpmFast => "DPM fast",
            Self::DpmAdaptive => "DPM adaptive",
            Self::Ddim => "DDIM",
            Self::Plms => "PLMS",
            Self::UniPc => "UniPC",
            Self::Lcm => "LCM",
            Self::Ddpm => "DDPM",
            Self::Sgd => "SGD",
            Self::Adam => "Adam",
            Self::AdamW => "AdamW",
        }
    }

    /// Order, model calls a step and source, in one line for a tooltip.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Euler => "First order, one model call a step: plain and dependable (Karras et al., 2022)",
            Self::EulerAncestral => {
                "First order, one model call a step, with fresh noise: varied, never settles (k-diffusion)"
            }
            Self::Heun => "Second order, two model calls a step: fewer steps needed (Karras et al., 2022)",
            Self::Dpm2 => "Second order, two model calls a step, the second at its middle (k-diffusion)",
            Self::Dpm2Ancestral => {
                "Second order, two model calls a step: DPM2 with fresh noise (k-diffusion)"
            }
            Self::Lms => "Fourth order multistep, one model call a step: the lesson's sampler (k-diffusion)",
            Self::DpmPp2sAncestral => {
                "Second order, two model calls a step, with fresh noise (Lu et al., 2022)"
            }
            Self::DpmPp2m => {
                "Second order multistep, one model call a step: good in few steps (Lu et al., 2022)"
            }
            Self::DpmPpSde => "Second order, two model calls a step, fresh noise added to both (k-diffusion)",
            Self::DpmPp2mSde => {
                "Second order multistep, one model call a step: DPM++ 2M with fresh noise (Lu et al., 2022)"
            }
            Self::DpmPp3mSde => {
                "Third order multistep, one model call a step, with fresh noise (k-diffusion)"
            }
            Self::DpmFast => {
                "Third order, three model calls a step: spends as many calls as there are steps, on even \
                 sigmas of its own (Lu et al., 2022)"
            }
            Self::DpmAdaptive => {
                "Third order, three model calls a step: takes as many steps as the picture needs, whatever \
                 the number of steps (Lu et al., 2022)"
            }
            Self::Ddim => "First order, one model call a step: Euler by its first name (Song et al., 2020)",
            Self::Plms => "Fourth order multistep, one model call a step and one more (Liu et al., 2022)",
            Self::UniPc => {
                "Third order, one model call a step: DPM++ 2M, each step corrected after it (Zhao et al., 2023)"
            }
            Self::Lcm => {
                "For latent consistency models, one model call a step: every prediction is noised anew (Luo \
                 et al., 2023)"
            }
            Self::Ddpm => {
                "First order, one model call a step, with fresh noise: how diffusion began (Ho et al., 2020)"
            }
            Self::Sgd => {
                "Gradient descent along the predicted noise, one model call a step, on no schedule (Permenter \
                 and Yuan, 2023)"
            }
            Self::Adam => {
                "An optimiser along the predicted noise, one model call a step, on no schedule (Kingma and \
                 Ba, 2015)"
            }
            Self::AdamW => {
                "Adam that draws the latents to 0 as it goes, one model call a step, on no schedule \
                 (Loshchilov and Hutter, 2019)"
            }
        }
    }

    /// The value that an option has when it is not given; `None` of one that it does not listen to. Eta and
    /// order are k-diffusion's and diffusers'; those of the optimisers were found on the built-in model, for 15
    /// steps.
    pub fn own(self, option: SamplerOption) -> Option<f32> {
        use SamplerOption::{Eta, LearningRate, Momentum, Order, StopBelow, WeightDecay};
        let own = match (self, option) {
            (Self::Ddim | Self::DpmFast | Self::DpmAdaptive, Eta) => 0.0,
            (
                Self::EulerAncestral
                | Self::Dpm2Ancestral
                | Self::DpmPp2sAncestral
                | Self::DpmPpSde
                | Self::DpmPp2mSde
                | Self::DpmPp3mSde,
                Eta,
            ) => 1.0,
            (Self::Lms, Order) => 4.0,
            (Self::Sgd | Self::Adam | Self::AdamW, StopBelow) => STOP_BELOW,
            (Self::Sgd, LearningRate) => 0.25,
            (Self::Sgd, Momentum) => 0.0,
            (Self::Adam | Self::AdamW, LearningRate | Momentum) => 0.3,
            (Self::AdamW, WeightDecay) => 0.001,
            (Self::Sgd | Self::Adam, WeightDecay) => 0.0,
            _ => return None,
        };
        Some(own)
    }

    /// The order of convergence that it has by theory on a schedule of short steps: twice the steps divide its
    /// error by two to this power. `None` where fresh noise, a schedule of its own, or weights made for even
    /// steps leave none to speak of.
    pub fn order(self, options: &SamplerOptions) -> Option<f32> {
        match self {
            Self::Euler | Self::Ddim => Some(1.0),
            Self::Heun | Self::Dpm2 | Self::DpmPp2m => Some(2.0),
            Self::UniPc => Some(3.0), // its correction adds one
            Self::Lms => Some(options.of(self, SamplerOption::Order)),
            _ => None,
        }
    }

    /// Whether it finds its noise levels on the way, from the picture itself: a schedule gives it the first
    /// one and the number of steps alone, and each picture needs a run of its own.
    pub fn is_adaptive(self) -> bool {
        matches!(self, Self::DpmAdaptive | Self::Sgd | Self::Adam | Self::AdamW)
    }

    /// The noise levels that its steps visit, given those of a schedule: other ones only for
    /// [`Sampler::DpmFast`]. One that [finds its own](Sampler::finds_its_sigmas) does so later.
    pub fn visited_sigmas(self, sigmas: &[f32]) -> Vec<f32> {
        match self {
            Self::DpmFast => dpm_fast_sigmas(sigmas),
            _ => sigmas.to_vec(),
        }
    }

    /// How often the model is asked over `steps` steps, the last of them to 0: what a run costs. One that
    /// [finds its sigmas](Sampler::finds_its_sigmas) may need fewer, or, if it is adaptive, more.
    pub fn model_calls(self, steps: usize) -> usize {
        match self {
            // The last step goes to 0, where there is nothing to ask.
            Self::Heun | Self::Dpm2 | Self::Dpm2Ancestral | Self::DpmPp2sAncestral | Self::DpmPpSde => {
                (2 * steps).saturating_sub(1)
            }
            // The first step asks twice, unless it is the last.
            Self::Plms => steps + usize::from(steps > 1),
            // The last one takes what noise is left.
            Self::DpmFast => steps + usize::from(steps > 1),
            _ => steps,
        }
    }

    /// Whether it draws noise on the way by itself, so that more steps make another picture. An eta above 0
    /// makes it so, and an eta of 0 makes it deterministic.
    pub fn is_stochastic(self) -> bool {
        matches!(
            self,
            Self::EulerAncestral
                | Self::Dpm2Ancestral
                | Self::DpmPp2sAncestral
                | Self::DpmPpSde
                | Self::DpmPp2mSde
                | Self::DpmPp3mSde
                | Self::Lcm
                | Self::Ddpm
        )
    }
}

/// The least noise that Stable Diffusion was trained at: below it there is nothing left to remove.
const STOP_BELOW: f32 = 0.03;
