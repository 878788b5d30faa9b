//! Samplers: solvers of the diffusion ODE.
//!
//! A diffusion model defines an ordinary differential equation, `dx/dsigma = (x - denoised) / sigma`, whose
//! solutions lead from noise to a picture. A sampler solves it in few steps. Sources:
//! - Karras et al. (2022), "Elucidating the Design Space of Diffusion-Based Generative Models",
//! - Lu et al. (2022a), "DPM-Solver: A Fast ODE Solver for Diffusion Probabilistic Model Sampling",
//! - Lu et al. (2022b), "DPM-Solver++: Fast Solver for Guided Sampling",
//! - Song et al. (2021), "Score-Based Generative Modeling through Stochastic Differential Equations".

mod dpm_solver;
mod euler;
mod multistep;
mod optimisers;
mod options;
mod sampler;
mod sde;
mod second_order;

use std::ops::ControlFlow;

use super::{Denoiser, Latents, Noise, Observer, Step};
use crate::error::EngineError;
use dpm_solver::{dpm_adaptive, dpm_fast};
use euler::{ddim, euler, euler_ancestral, lcm};
use multistep::{dpmpp_2m, lms, plms, unipc};
use optimisers::optimise;
pub use options::{SamplerOption, SamplerOptions};
pub use sampler::Sampler;
use sde::{dpmpp_2m_sde, dpmpp_3m_sde, dpmpp_sde};
use second_order::{dpm2, dpm2_ancestral, dpmpp_2s_ancestral, heun};

/// Latents at the last sigma, or why sampling ended early.
type Sampled = Result<Latents, EngineError>;

/// What a sampler is given.
pub struct SampleArgs<'a> {
    pub sampler: Sampler,
    pub options: SamplerOptions,
    pub model: &'a mut dyn Denoiser,
    /// Falling, and ending in 0; they may be the end of a schedule (image to image). An
    /// [adaptive](Sampler::is_adaptive) sampler uses the first one and their number.
    pub sigmas: &'a [f32],
    /// For samplers that draw noise.
    pub noise: &'a mut dyn Noise,
    /// Called in each step.
    pub observe: &'a mut Observer<'a>,
}

/// Samples from `x`, which holds noise of standard deviation `sigmas[0]`, down the sigmas. For an
/// [adaptive](Sampler::is_adaptive) sampler `x` holds one picture.
///
/// # Errors
/// [`EngineError::Stopped`] if the observer breaks, and any error of the model.
///
/// # Panics
/// If the sigmas do not fall, or fall below 0.
pub fn sample(args: SampleArgs<'_>, x: Latents) -> Result<Latents, EngineError> {
    let is_falling = args.sigmas.is_sorted_by(|sigma, next| sigma > next && *next >= 0.0);
    assert!(is_falling, "sigmas fall to 0, unlike {:?}", args.sigmas);
    match args.sampler {
        Sampler::Euler => euler(args, x),
        Sampler::EulerAncestral => euler_ancestral(args, x),
        Sampler::Heun => heun(args, x),
        Sampler::Dpm2 => dpm2(args, x),
        Sampler::Dpm2Ancestral => dpm2_ancestral(args, x),
        Sampler::Lms => lms(args, x),
        Sampler::DpmPp2sAncestral => dpmpp_2s_ancestral(args, x),
        Sampler::DpmPp2m => dpmpp_2m(args, x),
        Sampler::DpmPpSde => dpmpp_sde(args, x),
        Sampler::DpmPp2mSde => dpmpp_2m_sde(args, x),
        Sampler::DpmPp3mSde => dpmpp_3m_sde(args, x),
        Sampler::DpmFast => dpm_fast(args, x),
        Sampler::DpmAdaptive => dpm_adaptive(args, x),
        Sampler::Ddim | Sampler::Ddpm => ddim(args, x),
        Sampler::Plms => plms(args, x),
        Sampler::UniPc => unipc(args, x),
        Sampler::Lcm => lcm(args, x),
        Sampler::Sgd | Sampler::Adam | Sampler::AdamW => optimise(args, x),
    }
}

impl<'a> SampleArgs<'a> {
    /// `(index, sigma, next sigma)` of every step.
    fn steps(&self) -> impl Iterator<Item = (usize, f32, f32)> + use<'a> {
        self.sigmas.windows(2).enumerate().map(|(index, pair)| (index, pair[0], pair[1]))
    }

    /// The first model call of a step, reported to the observer. It may move `x`: see [`Denoiser::denoise_step`].
    fn predict(&mut self, x: &mut Latents, index: usize, sigma: f32) -> Sampled {
        let denoised = self.model.denoise_step(x, sigma)?;
        match (self.observe)(Step { index, sigma, x, denoised: &denoised }) {
            ControlFlow::Continue(()) => Ok(denoised),
            ControlFlow::Break(()) => Err(EngineError::Stopped),
        }
    }

    fn option(&self, option: SamplerOption) -> f32 {
        self.options.value(self.sampler, option)
    }

    fn eta(&self) -> f32 {
        match self.sampler {
            Sampler::Ddpm => 1.0, // DDPM is DDIM with this eta
            _ => self.option(SamplerOption::Eta),
        }
    }
}

/// `dx/dsigma` of the probability flow (equations 1 and 3 of Karras et al., 2022), which is also the
/// predicted noise.
fn derivative(x: &Latents, denoised: &Latents, sigma: f32) -> Latents {
    x.zip_with(denoised, |x, denoised| (x - denoised) / sigma)
}

/// `(sigma_down, sigma_up)` of an ancestral step: the sigma below `next` that it goes to, and the noise that it
/// adds then, with `sigma_down^2 + sigma_up^2 = next^2`. At an `eta` of 1 the noise has the variance of DDPM's
/// steps (Ho et al., 2020), at 0 there is none.
fn ancestral_step(sigma: f32, next: f32, eta: f32) -> (f32, f32) {
    if eta == 0.0 {
        return (next, 0.0);
    }
    let [sigma, next, eta] = [sigma, next, eta].map(f64::from); // squares lose precision
    let up_squared = (eta * next).powi(2) * (1.0 - (next / sigma).powi(2));
    let sigma_down = (next * next - up_squared).max(0.0).sqrt();
    (sigma_down as f32, up_squared.sqrt() as f32)
}

/// Adds the noise of an ancestral step, if there is any.
fn add_noise(x: Latents, sigma_up: f32, noise: &mut dyn Noise) -> Latents {
    if sigma_up == 0.0 {
        return x;
    }
    let fresh = noise.draw(x.shape);
    x.add_scaled(sigma_up, &fresh)
}

/// The exact solution of the differential equation for a constant `denoised` while sigma is multiplied by
/// `ratio`.
fn interpolate_to_denoised(x: Latents, denoised: &Latents, ratio: f32) -> Latents {
    x.scale(ratio).add_scaled(1.0 - ratio, denoised)
}

/// The phi functions of exponential integrators, with k-diffusion's signs: `phi_1 = 1 - exp(-h)`,
/// `phi_2 = 1 - phi_1 / h` and `phi_3 = phi_2 / h - 1/2`.
fn phi(h: f32) -> (f32, f32, f32) {
    let h = f64::from(h); // they lose precision for small h
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
