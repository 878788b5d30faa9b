//! Samplers: functions that walk down the sigmas.
//!
//! A diffusion model defines an ordinary differential equation, `dx/dsigma = (x - denoised) / sigma`,
//! that leads from noise to a picture. A sampler solves it in few steps. Read them beside
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

/// Latents at the last sigma, or why it was not reached.
type Sampled = Result<Latents, EngineError>;

/// Walks `x` down `sigmas` with the named sampler.
///
/// `x` holds noise of standard deviation `sigmas[0]`. The sigmas fall, and end in 0; they may be the
/// tail of a schedule (image to image). Samplers that [find their own](Sampler::finds_its_sigmas) take the
/// first from them and how many there are, and `x` holds one picture.
///
/// # Errors
/// [`EngineError::Stopped`] if the observer breaks, and whatever the model halts with.
///
/// # Panics
/// If the sigmas do not fall, or fall below 0.
pub fn sample(
    sampler: Sampler,
    options: &SamplerOptions,
    model: &mut dyn Denoiser,
    x: Latents,
    sigmas: &[f32],
    noise: &mut dyn Noise,
    observe: &mut Observer<'_>,
) -> Sampled {
    let falling = sigmas.is_sorted_by(|sigma, next| sigma > next && *next >= 0.0);
    assert!(falling, "sigmas fall to 0, unlike {sigmas:?}");
    let eta = || options.value(sampler, SamplerOption::Eta);
    let order = || options.value(sampler, SamplerOption::Order) as usize;
    match sampler {
        Sampler::Euler => euler(model, x, sigmas, observe),
        Sampler::EulerAncestral => euler_ancestral(model, x, sigmas, eta(), noise, observe),
        Sampler::Heun => heun(model, x, sigmas, observe),
        Sampler::Dpm2 => dpm2(model, x, sigmas, observe),
        Sampler::Dpm2Ancestral => dpm2_ancestral(model, x, sigmas, eta(), noise, observe),
        Sampler::Lms => lms(model, x, sigmas, order(), observe),
        Sampler::DpmPp2sAncestral => dpmpp_2s_ancestral(model, x, sigmas, eta(), noise, observe),
        Sampler::DpmPp2m => dpmpp_2m(model, x, sigmas, observe),
        Sampler::DpmPpSde => dpmpp_sde(model, x, sigmas, eta(), noise, observe),
        Sampler::DpmPp2mSde => dpmpp_2m_sde(model, x, sigmas, eta(), noise, observe),
        Sampler::DpmPp3mSde => dpmpp_3m_sde(model, x, sigmas, eta(), noise, observe),
        Sampler::DpmFast => dpm_fast(model, x, sigmas, eta(), noise, observe),
        Sampler::DpmAdaptive => dpm_adaptive(model, x, sigmas, eta(), noise, observe),
        Sampler::Ddim => ddim(model, x, sigmas, eta(), noise, observe),
        Sampler::Plms => plms(model, x, sigmas, observe),
        Sampler::UniPc => unipc(model, x, sigmas, observe),
        Sampler::Lcm => lcm(model, x, sigmas, noise, observe),
        Sampler::Ddpm => ddim(model, x, sigmas, 1.0, noise, observe),
        Sampler::Sgd | Sampler::Adam | Sampler::AdamW => {
            optimise(sampler, options, model, x, sigmas, observe)
        }
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
        ControlFlow::Break(()) => Err(EngineError::Stopped),
    }
}

/// `dx/dsigma` of the probability flow (equations 1 and 3 of Karras et al., 2022), which is also the
/// predicted noise.
fn derivative(x: &Latents, denoised: &Latents, sigma: f32) -> Latents {
    x.zip_with(denoised, |x, denoised| (x - denoised) / sigma)
}

/// How far an ancestral step goes below `next`, and how much noise brings it back up:
/// `sigma_down^2 + sigma_up^2 = next^2`. At an `eta` of 1 that noise has the variance of DDPM's steps (Ho et
/// al., 2020), at 0 there is none.
fn ancestral_step(sigma: f32, next: f32, eta: f32) -> (f32, f32) {
    if eta == 0.0 {
        return (next, 0.0);
    }
    let [sigma, next, eta] = [sigma, next, eta].map(f64::from); // squares lose digits
    let up_squared = (eta * next).powi(2) * (1.0 - (next / sigma).powi(2));
    let sigma_down = (next * next - up_squared).max(0.0).sqrt();
    (sigma_down as f32, up_squared.sqrt() as f32)
}

/// The noise that brings an ancestral step back up, if it goes down at all.
fn add_noise(x: Latents, sigma_up: f32, noise: &mut dyn Noise) -> Latents {
    if sigma_up == 0.0 {
        return x;
    }
    let fresh = noise.draw(x.shape);
    x.add_scaled(sigma_up, &fresh)
}

/// Where x goes if the prediction stays as it is while sigma falls to `part` of itself: the exact
/// solution of the differential equation for a constant `denoised`.
fn interpolate_to_denoised(x: Latents, denoised: &Latents, part: f32) -> Latents {
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
