//! The samplers by name: what users choose from.

use super::dpm_solver::dpm_fast_sigmas;
use super::options::{SamplerOption, SamplerOptions};
use crate::choice::{impl_choice, impl_serde_by_name};

/// The samplers that users know by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sampler {
    #[default]
    Euler,
    EulerAncestral,
    Heun,
    Dpm2,
    Dpm2Ancestral,
    Lms,
    DpmPp2sAncestral,
    DpmPp2m,
    DpmPpSde,
    DpmPp2mSde,
    DpmPp3mSde,
    DpmFast,
    DpmAdaptive,
    Ddim,
    Plms,
    UniPc,
    Lcm,
    Ddpm,
    Sgd,
    Adam,
    AdamW,
}

impl_choice!(Sampler);
impl_serde_by_name!(Sampler);

impl Sampler {
    /// The label is also the name in A1111's `parameters` text. The hint gives the order, the model calls per
    /// step and the source.
    #[rustfmt::skip]
    const TABLE: [(Self, &str, &str, &str); 21] = [
        (Self::Euler, "euler", "Euler", "First order, one model call per step: simple and reliable (Karras et al., 2022)"),
        (Self::EulerAncestral, "euler-a", "Euler a", "First order, one model call per step, with fresh noise: varied, never settles (k-diffusion)"),
        (Self::Heun, "heun", "Heun", "Second order, two model calls per step: needs fewer steps (Karras et al., 2022)"),
        (Self::Dpm2, "dpm2", "DPM2", "Second order, two model calls per step, the second one at its midpoint (k-diffusion)"),
        (Self::Dpm2Ancestral, "dpm2-a", "DPM2 a", "Second order, two model calls per step: DPM2 with fresh noise (k-diffusion)"),
        (Self::Lms, "lms", "LMS", "Fourth order multistep, one model call per step: the lesson's sampler (k-diffusion)"),
        (Self::DpmPp2sAncestral, "dpmpp-2s-a", "DPM++ 2S a", "Second order, two model calls per step, with fresh noise (Lu et al., 2022)"),
        (Self::DpmPp2m, "dpmpp-2m", "DPM++ 2M", "Second order multistep, one model call per step: good in few steps (Lu et al., 2022)"),
        (Self::DpmPpSde, "dpmpp-sde", "DPM++ SDE", "Second order, two model calls per step, fresh noise after each (k-diffusion)"),
        (Self::DpmPp2mSde, "dpmpp-2m-sde", "DPM++ 2M SDE", "Second order multistep, one model call per step: DPM++ 2M with fresh noise (Lu et al., 2022)"),
        (Self::DpmPp3mSde, "dpmpp-3m-sde", "DPM++ 3M SDE", "Third order multistep, one model call per step, with fresh noise (k-diffusion)"),
        (Self::DpmFast, "dpm-fast", "DPM fast", "Third order, three model calls per step on its own even sigmas, and in total as many calls as there are steps (Lu et al., 2022)"),
        (Self::DpmAdaptive, "dpm-adaptive", "DPM adaptive", "Third order, three model calls per step: takes as many steps as the picture needs and ignores the number of steps (Lu et al., 2022)"),
        (Self::Ddim, "ddim", "DDIM", "First order, one model call per step; the original DDIM, equal to Euler at eta 0 (Song et al., 2020)"),
        (Self::Plms, "plms", "PLMS", "Fourth order multistep, one model call per step and two in the first (Liu et al., 2022)"),
        (Self::UniPc, "unipc", "UniPC", "Third order, one model call per step: DPM++ 2M with a correction of each step (Zhao et al., 2023)"),
        (Self::Lcm, "lcm", "LCM", "For latent consistency models, one model call per step: adds new noise to each prediction (Luo et al., 2023)"),
        (Self::Ddpm, "ddpm", "DDPM", "First order, one model call per step, with fresh noise: the original diffusion sampler (Ho et al., 2020)"),
        (Self::Sgd, "sgd", "SGD", "Gradient descent along the predicted noise, one model call per step, without a schedule (Permenter and Yuan, 2023)"),
        (Self::Adam, "adam", "Adam", "An optimiser that follows the predicted noise, one model call per step, without a schedule (Kingma and Ba, 2015)"),
        (Self::AdamW, "adamw", "AdamW", "Adam with weight decay, which pulls the latents towards 0; one model call per step, without a schedule (Loshchilov and Hutter, 2019)"),
    ];

    /// The default of an option, or `None` if this sampler ignores the option. Eta and order have the defaults
    /// of k-diffusion and diffusers; those of the optimisers were tuned on the built-in model at 15 steps.
    pub fn default_of(self, option: SamplerOption) -> Option<f32> {
        use SamplerOption::{Eta, LearningRate, Momentum, Order, StopBelow, WeightDecay};
        let value = match (self, option) {
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
        Some(value)
    }

    /// Whether the sampler uses an option.
    pub fn accepts(self, option: SamplerOption) -> bool {
        self.default_of(option).is_some()
    }

    /// The theoretical order of convergence for short steps: doubling the steps divides the error by two to this
    /// power. `None` where fresh noise, a schedule of its own, or weights meant for even steps give no
    /// meaningful order.
    pub fn order(self, options: &SamplerOptions) -> Option<f32> {
        match self {
            Self::Euler | Self::Ddim => Some(1.0),
            Self::Heun | Self::Dpm2 | Self::DpmPp2m => Some(2.0),
            Self::UniPc => Some(3.0), // the corrector adds one
            Self::Lms => Some(options.value(self, SamplerOption::Order)),
            _ => None,
        }
    }

    /// Whether it chooses its noise levels while it samples, from the latents: it takes only the first sigma and
    /// the number of steps from the schedule, and each picture needs its own run.
    pub fn is_adaptive(self) -> bool {
        matches!(self, Self::DpmAdaptive | Self::Sgd | Self::Adam | Self::AdamW)
    }

    /// The noise levels that its steps visit, given those of a schedule. They differ for [`Sampler::DpmFast`]
    /// only; an [adaptive](Sampler::is_adaptive) sampler chooses its own later.
    pub fn visited_sigmas(self, sigmas: &[f32]) -> Vec<f32> {
        match self {
            Self::DpmFast => dpm_fast_sigmas(sigmas),
            _ => sigmas.to_vec(),
        }
    }

    /// Model calls over `steps` steps, the last of which ends at 0: the cost of a run. An
    /// [adaptive](Sampler::is_adaptive) sampler may need fewer or more.
    pub fn model_calls(self, steps: usize) -> usize {
        match self {
            // The last step ends at 0 and needs no second call.
            Self::Heun | Self::Dpm2 | Self::Dpm2Ancestral | Self::DpmPp2sAncestral | Self::DpmPpSde => {
                (2 * steps).saturating_sub(1)
            }
            // The first step calls twice, unless it is also the last.
            Self::Plms => steps + usize::from(steps > 1),
            // One more call removes the remaining noise.
            Self::DpmFast => steps + usize::from(steps > 1),
            _ => steps,
        }
    }

    /// Whether it draws noise while it samples by default, so that a different number of steps gives a different
    /// picture. An eta above 0 makes any sampler that accepts eta stochastic; 0 makes it deterministic.
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

/// The lowest noise level that Stable Diffusion was trained at: below it there is no noise left to remove.
const STOP_BELOW: f32 = 0.03;
