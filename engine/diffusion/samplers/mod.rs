//! Samplers: functions that walk down the sigmas.
//!
//! A diffusion model defines an ordinary differential equation, `dx/dsigma = (x - denoised) / sigma`,
//! that leads from noise to a picture. A sampler solves it in few steps. Read them beside
//! - Karras et al. (2022), "Elucidating the Design Space of Diffusion-Based Generative Models",
//! - Lu et al. (2022a), "DPM-Solver: A Fast ODE Solver for Diffusion Probabilistic Model Sampling",
//! - Lu et al. (2022b), "DPM-Solver++: Fast Solver for Guided Sampling",
//! - Song et al. (2021), "Score-Based Generative Modeling through Stochastic Differential Equations".

mod euler;
mod multistep;
mod sde;
mod second_order;

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::{Denoiser, Halt, Latents, Noise, Observer, Step};
use euler::{ddim, euler, euler_ancestral, lcm};
use multistep::{dpmpp_2m, lms, plms, unipc};
use sde::{dpmpp_2m_sde, dpmpp_3m_sde, dpmpp_sde};
use second_order::{dpm2, dpm2_ancestral, dpmpp_2s_ancestral, heun};

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
}

impl Sampler {
    pub const ALL: [Self; 16] = [
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
        Self::Ddim,
        Self::Plms,
        Self::UniPc,
        Self::Lcm,
        Self::Ddpm,
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
            Self::Ddim => "ddim",
            Self::Plms => "plms",
            Self::UniPc => "unipc",
            Self::Lcm => "lcm",
            Self::Ddpm => "ddpm",
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
            Self::Ddim => "DDIM",
            Self::Plms => "PLMS",
            Self::UniPc => "UniPC",
            Self::Lcm => "LCM",
            Self::Ddpm => "DDPM",
        }
    }

    /// One sentence for a tooltip.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Euler => "First order, one model call a step: plain and dependable",
            Self::EulerAncestral => "Euler with fresh noise at every step: varied, never settles",
            Self::Heun => "Second order, two model calls a step: fewer steps needed",
            Self::Dpm2 => "Second order, two model calls a step, the second at its middle (k-diffusion)",
            Self::Dpm2Ancestral => "DPM2 with fresh noise at every step, two model calls each (k-diffusion)",
            Self::Lms => "Fourth order from the history of predictions: the lesson's sampler",
            Self::DpmPp2sAncestral => {
                "Second order, two model calls a step, with fresh noise (Lu et al., 2022)"
            }
            Self::DpmPp2m => "Second order multistep, one model call a step: good in few steps",
            Self::DpmPpSde => "Second order, two model calls a step, noise added to both (k-diffusion)",
            Self::DpmPp2mSde => "DPM++ 2M with fresh noise, one model call a step (Lu et al., 2022)",
            Self::DpmPp3mSde => "Third order multistep with fresh noise, one model call a step (k-diffusion)",
            Self::Ddim => "First order, one model call a step: Euler by its first name (Song et al., 2020)",
            Self::Plms => "Fourth order multistep, one model call a step and one more (Liu et al., 2022)",
            Self::UniPc => {
                "DPM++ 2M with each step corrected after it, one model call a step (Zhao et al., 2023)"
            }
            Self::Lcm => "For latent consistency models: every prediction is noised anew (Luo et al., 2023)",
            Self::Ddpm => {
                "First order with fresh noise: how diffusion began, in many steps (Ho et al., 2020)"
            }
        }
    }

    /// How often the model is asked over `steps` steps, the last of them to 0: what a run costs.
    pub fn model_calls(self, steps: usize) -> usize {
        match self {
            // The last step goes to 0, where there is nothing to ask.
            Self::Heun | Self::Dpm2 | Self::Dpm2Ancestral | Self::DpmPp2sAncestral | Self::DpmPpSde => {
                (2 * steps).saturating_sub(1)
            }
            // The first step asks twice, unless it is the last.
            Self::Plms => steps + usize::from(steps > 1),
            _ => steps,
        }
    }

    /// Whether it draws noise on the way, so that more steps make another picture.
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

/// Latents at the last sigma, or why it was not reached.
type Sampled = Result<Latents, Halt>;

/// Walks `x` down `sigmas` with the named sampler.
///
/// `x` holds noise of standard deviation `sigmas[0]`. The sigmas fall, and end in 0; they may be the
/// tail of a schedule (image to image). Only a sampler that [is stochastic](Sampler::is_stochastic)
/// draws from `noise`.
///
/// # Errors
/// [`Halt::Stopped`] if the observer breaks, and whatever the model halts with.
///
/// # Panics
/// If the sigmas do not fall, or fall below 0.
pub fn sample(
    sampler: Sampler,
    model: &mut dyn Denoiser,
    x: Latents,
    sigmas: &[f32],
    noise: &mut dyn Noise,
    observe: &mut Observer<'_>,
) -> Sampled {
    let falling = sigmas.is_sorted_by(|sigma, next| sigma > next && *next >= 0.0);
    assert!(falling, "sigmas fall to 0, unlike {sigmas:?}");
    match sampler {
        Sampler::Euler => euler(model, x, sigmas, observe),
        Sampler::EulerAncestral => euler_ancestral(model, x, sigmas, noise, observe),
        Sampler::Heun => heun(model, x, sigmas, observe),
        Sampler::Dpm2 => dpm2(model, x, sigmas, observe),
        Sampler::Dpm2Ancestral => dpm2_ancestral(model, x, sigmas, noise, observe),
        Sampler::Lms => lms(model, x, sigmas, 4, observe),
        Sampler::DpmPp2sAncestral => dpmpp_2s_ancestral(model, x, sigmas, noise, observe),
        Sampler::DpmPp2m => dpmpp_2m(model, x, sigmas, observe),
        Sampler::DpmPpSde => dpmpp_sde(model, x, sigmas, noise, observe),
        Sampler::DpmPp2mSde => dpmpp_2m_sde(model, x, sigmas, noise, observe),
        Sampler::DpmPp3mSde => dpmpp_3m_sde(model, x, sigmas, noise, observe),
        Sampler::Ddim => ddim(model, x, sigmas, 0.0, noise, observe),
        Sampler::Plms => plms(model, x, sigmas, observe),
        Sampler::UniPc => unipc(model, x, sigmas, observe),
        Sampler::Lcm => lcm(model, x, sigmas, noise, observe),
        Sampler::Ddpm => ddim(model, x, sigmas, 1.0, noise, observe),
    }
}

/// `(index, sigma, next sigma)` of every step.
fn steps(sigmas: &[f32]) -> impl Iterator<Item = (usize, f32, f32)> {
    sigmas.windows(2).enumerate().map(|(index, pair)| (index, pair[0], pair[1]))
}

/// The first model call of a step, shown to the observer.
fn predict(
    model: &mut dyn Denoiser,
    x: &Latents,
    index: usize,
    sigma: f32,
    observe: &mut Observer<'_>,
) -> Sampled {
    let denoised = model.denoise(x, sigma)?;
    match observe(Step { index, sigma, x, denoised: &denoised }) {
        ControlFlow::Continue(()) => Ok(denoised),
        ControlFlow::Break(()) => Err(Halt::Stopped),
    }
}

/// `dx/dsigma` of the probability flow (equations 1 and 3 of Karras et al., 2022), which is also the
/// predicted noise.
fn derivative(x: &Latents, denoised: &Latents, sigma: f32) -> Latents {
    x.zip_with(denoised, |x, denoised| (x - denoised) / sigma)
}

/// How far an ancestral step goes below `next`, and how much noise brings it back up:
/// `sigma_down^2 + sigma_up^2 = next^2`, at k-diffusion's eta of 1.
fn ancestral_step(sigma: f32, next: f32) -> (f32, f32) {
    let sigma_down = next * next / sigma;
    let sigma_up = (next * next - sigma_down * sigma_down).sqrt();
    (sigma_down, sigma_up)
}

/// Where x goes if the prediction stays as it is while sigma falls to `part` of itself: the exact
/// solution of the differential equation for a constant `denoised`.
fn carry_on(x: Latents, denoised: &Latents, part: f32) -> Latents {
    x.scale(part).add_scaled(1.0 - part, denoised)
}

/// `1 - exp(-h)`, `1 - (1 - exp(-h)) / h` and the next of their kind, `phi_2 / h - 1/2`.
fn phi(h: f32) -> (f32, f32, f32) {
    let h = f64::from(h); // they lose digits where h is small
    let phi_1 = -(-h).exp_m1();
    let phi_2 = 1.0 - phi_1 / h;
    let phi_3 = phi_2 / h - 0.5;
    (phi_1 as f32, phi_2 as f32, phi_3 as f32)
}

fn difference(a: &Latents, b: &Latents) -> Latents {
    a.zip_with(b, |a, b| a - b)
}

#[cfg(test)]
mod tests;
