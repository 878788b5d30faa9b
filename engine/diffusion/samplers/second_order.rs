//! Second-order samplers of a single step: a second prediction, made on the way, corrects the first.

use super::{Sampled, add_noise, ancestral_step, derivative, interpolate_to_denoised, predict, steps};
use crate::diffusion::{Denoiser, Latents, Noise, Observer};

/// Algorithm 2 of Karras et al. (2022) without churn: an Euler step, made again with the mean of the
/// derivatives at its two ends.
pub(super) fn heun(
    model: &mut dyn Denoiser,
    mut x: Latents,
    sigmas: &[f32],
    observe: &mut Observer<'_>,
) -> Sampled {
    for (index, sigma, next) in steps(sigmas) {
        let denoised = predict(model, &x, index, sigma, observe)?;
        let d = derivative(&x, &denoised, sigma);
        let dt = next - sigma;
        let x_2 = x.clone().add_scaled(dt, &d);
        x = if next > 0.0 {
            let denoised_2 = model.denoise(&x_2, next)?;
            let d_2 = derivative(&x_2, &denoised_2, next);
            x.add_scaled(dt, &d.zip_with(&d_2, f32::midpoint))
        } else {
            x_2
        };
    }
    Ok(x)
}

/// k-diffusion's DPM2, after DPM-Solver-2 (algorithm 1 of Lu et al., 2022a): the whole step with the
/// derivative at its middle, which is the middle of `ln sigma`.
pub(super) fn dpm2(
    model: &mut dyn Denoiser,
    mut x: Latents,
    sigmas: &[f32],
    observe: &mut Observer<'_>,
) -> Sampled {
    for (index, sigma, next) in steps(sigmas) {
        let denoised = predict(model, &x, index, sigma, observe)?;
        x = dpm2_step(model, x, &denoised, sigma, next)?;
    }
    Ok(x)
}

/// [`dpm2`] to below the next sigma, and fresh noise back up to it.
pub(super) fn dpm2_ancestral(
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
        x = add_noise(dpm2_step(model, x, &denoised, sigma, sigma_down)?, sigma_up, noise);
    }
    Ok(x)
}

fn dpm2_step(model: &mut dyn Denoiser, x: Latents, denoised: &Latents, sigma: f32, next: f32) -> Sampled {
    let d = derivative(&x, denoised, sigma);
    if next == 0.0 {
        return Ok(x.add_scaled(-sigma, &d)); // has no middle
    }
    let middle = (sigma * next).sqrt();
    let x_2 = x.clone().add_scaled(middle - sigma, &d);
    let denoised_2 = model.denoise(&x_2, middle)?;
    let d_2 = derivative(&x_2, &denoised_2, middle);
    Ok(x.add_scaled(next - sigma, &d_2))
}

/// DPM-Solver++(2S), algorithm 1 of Lu et al. (2022b), with ancestral noise: the whole step with the
/// prediction at the middle of `ln sigma`.
pub(super) fn dpmpp_2s_ancestral(
    model: &mut dyn Denoiser,
    mut x: Latents,
    sigmas: &[f32],
    eta: f32,
    noise: &mut dyn Noise,
    observe: &mut Observer<'_>,
) -> Sampled {
    for (index, sigma, next) in steps(sigmas) {
        let denoised = predict(model, &x, index, sigma, observe)?;
        if next == 0.0 {
            return Ok(denoised);
        }
        let (sigma_down, sigma_up) = ancestral_step(sigma, next, eta);
        let middle = (sigma * sigma_down).sqrt();
        let x_2 = interpolate_to_denoised(x.clone(), &denoised, middle / sigma);
        let denoised_2 = model.denoise(&x_2, middle)?;
        x = add_noise(interpolate_to_denoised(x, &denoised_2, sigma_down / sigma), sigma_up, noise);
    }
    Ok(x)
}
