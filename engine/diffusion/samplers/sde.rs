//! Samplers of the stochastic differential equation: DPM-Solver++ with noise.
//!
//! k-diffusion takes their noise from a Brownian tree, so that runs of different steps see the same
//! path. Here every step draws its own: normal noise of the variance that the step has lost, which is
//! the same distribution of pictures, but not the same picture as there.
//!
//! Lu et al. (2022b), "DPM-Solver++: Fast Solver for Guided Sampling", section 6 and appendix; as
//! `lambda = -ln sigma`, a step of `h` in lambda multiplies sigma by `exp(-h)`.

use super::{Sampled, add_noise, ancestral_step, difference, interpolate_to_denoised, phi, predict, steps};
use crate::diffusion::{Denoiser, Latents, Noise, Observer};

/// DPM-Solver++ (stochastic), as k-diffusion has it: to the middle of the step in lambda
/// with the first prediction, then all of it with the one made there, noise added both times.
pub(super) fn dpmpp_sde(
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
        let middle = (sigma * next).sqrt();
        let (down, up) = ancestral_step(sigma, middle, eta);
        let x_2 = add_noise(interpolate_to_denoised(x.clone(), &denoised, down / sigma), up, noise);
        let denoised_2 = model.denoise(&x_2, middle)?;

        let (down, up) = ancestral_step(sigma, next, eta);
        x = add_noise(interpolate_to_denoised(x, &denoised_2, down / sigma), up, noise);
    }
    Ok(x)
}

/// SDE-DPM-Solver++(2M) in its midpoint form: the prediction carried on in a straight line from the
/// one before, as in [`dpmpp_2m`](super::multistep::dpmpp_2m), and noise.
pub(super) fn dpmpp_2m_sde(
    model: &mut dyn Denoiser,
    mut x: Latents,
    sigmas: &[f32],
    eta: f32,
    noise: &mut dyn Noise,
    observe: &mut Observer<'_>,
) -> Sampled {
    let mut last: Option<(f32, Latents)> = None;
    for (index, sigma, next) in steps(sigmas) {
        let denoised = predict(model, &x, index, sigma, observe)?;
        if next == 0.0 {
            return Ok(denoised);
        }
        let h = (sigma / next).ln();
        let h_eta = h * (1.0 + eta);
        let lost = -(-h_eta).exp_m1();
        x = x.scale((-h_eta).exp()).add_scaled(lost, &denoised);
        if let Some((h_last, denoised_last)) = &last {
            let r = h_last / h;
            x = x.add_scaled(lost / (2.0 * r), &difference(&denoised, denoised_last));
        }
        x = add_noise(x, next * fresh_share(h, eta), noise);
        last = Some((h, denoised));
    }
    Ok(x)
}

/// SDE-DPM-Solver++(3M), k-diffusion's third-order sibling of [`dpmpp_2m_sde`]: a parabola through the
/// last three predictions.
pub(super) fn dpmpp_3m_sde(
    model: &mut dyn Denoiser,
    mut x: Latents,
    sigmas: &[f32],
    eta: f32,
    noise: &mut dyn Noise,
    observe: &mut Observer<'_>,
) -> Sampled {
    // Divided differences of the predictions reach back one and two steps of lambda.
    let mut last: Option<(f32, Latents)> = None;
    let mut slope_last: Option<(f32, Latents)> = None;
    for (index, sigma, next) in steps(sigmas) {
        let denoised = predict(model, &x, index, sigma, observe)?;
        if next == 0.0 {
            return Ok(denoised);
        }
        let h = (sigma / next).ln();
        let h_eta = h * (1.0 + eta);
        let (phi_1, phi_2, phi_3) = phi(h_eta);
        x = x.scale((-h_eta).exp()).add_scaled(phi_1, &denoised);
        if let Some((h_1, denoised_last)) = last.take() {
            // Per unit of lambda, so that it means the same in the next step.
            let slope = difference(&denoised, &denoised_last).scale(1.0 / h_1);
            if let Some((h_2, slope_last)) = &slope_last {
                let bend = difference(&slope, slope_last).scale(1.0 / (h_1 + h_2));
                let slope_here = slope.clone().add_scaled(h_1, &bend);
                x = x.add_scaled(h * phi_2, &slope_here).add_scaled(-h * h * phi_3, &bend);
            } else {
                x = x.add_scaled(h * phi_2, &slope);
            }
            slope_last = Some((h_1, slope));
        }
        x = add_noise(x, next * fresh_share(h, eta), noise);
        last = Some((h, denoised));
    }
    Ok(x)
}

/// How much of the noise after a step of `h` is fresh, as a part of its standard deviation.
fn fresh_share(h: f32, eta: f32) -> f32 {
    (-(-2.0 * eta * h).exp_m1()).sqrt()
}
