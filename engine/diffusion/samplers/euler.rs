//! First-order samplers: one prediction a step, followed in a straight line.

use super::{Sampled, add_noise, ancestral_step, derivative, interpolate_to_denoised, predict, steps};
use crate::diffusion::{Denoiser, Latents, Noise, Observer};

/// Algorithm 2 of Karras et al. (2022) with Euler steps and without churn.
pub(super) fn euler(
    model: &mut dyn Denoiser,
    mut x: Latents,
    sigmas: &[f32],
    observe: &mut Observer<'_>,
) -> Sampled {
    for (index, sigma, next) in steps(sigmas) {
        let denoised = predict(model, &x, index, sigma, observe)?;
        let d = derivative(&x, &denoised, sigma);
        x = x.add_scaled(next - sigma, &d);
    }
    Ok(x)
}

/// Ancestral sampling (Song et al., 2021, appendix F) as k-diffusion's Euler steps: a step goes below the
/// next sigma and adds noise back up to it, `sigma_down^2 + sigma_up^2 = next^2`.
pub(super) fn euler_ancestral(
    model: &mut dyn Denoiser,
    mut x: Latents,
    sigmas: &[f32],
    eta: f32,
    noise: &mut dyn Noise,
    observe: &mut Observer<'_>,
) -> Sampled {
    for (index, sigma, next) in steps(sigmas) {
        let denoised = predict(model, &x, index, sigma, observe)?;
        let (sigma_down, sigma_up) = ancestral_step(sigma, next, eta);
        let d = derivative(&x, &denoised, sigma);
        x = add_noise(x.add_scaled(sigma_down - sigma, &d), sigma_up, noise);
    }
    Ok(x)
}

/// Equation 12 of Song et al. (2020), "Denoising Diffusion Implicit Models", for sigmas: the
/// prediction, and as much noise as the next sigma has. Of that, `eta` says how much is fresh: none at
/// 0, which makes it an Euler step, and at 1 as much as in DDPM (Ho et al., 2020).
pub(super) fn ddim(
    model: &mut dyn Denoiser,
    mut x: Latents,
    sigmas: &[f32],
    eta: f32,
    noise: &mut dyn Noise,
    observe: &mut Observer<'_>,
) -> Sampled {
    for (index, sigma, next) in steps(sigmas) {
        let denoised = predict(model, &x, index, sigma, observe)?;
        let (kept, fresh) = ancestral_step(sigma, next, eta);
        x = add_noise(interpolate_to_denoised(x, &denoised, kept / sigma), fresh, noise);
    }
    Ok(x)
}

/// Algorithm 1 of Song et al. (2023), "Consistency Models", with which latent consistency models (Luo
/// et al., 2023) are sampled: each prediction is noised anew.
pub(super) fn lcm(
    model: &mut dyn Denoiser,
    mut x: Latents,
    sigmas: &[f32],
    noise: &mut dyn Noise,
    observe: &mut Observer<'_>,
) -> Sampled {
    for (index, sigma, next) in steps(sigmas) {
        x = predict(model, &x, index, sigma, observe)?;
        if next > 0.0 {
            let fresh = noise.draw(x.shape);
            x = x.add_scaled(next, &fresh);
        }
    }
    Ok(x)
}
