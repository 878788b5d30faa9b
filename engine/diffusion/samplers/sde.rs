//! Samplers of the stochastic differential equation: DPM-Solver++ with noise.
//!
//! k-diffusion takes the noise from a Brownian tree, so that runs with different steps follow the same path.
//! Here each step draws its own normal noise with the variance that the step has removed, which gives the same
//! distribution of pictures but not the same picture.
//!
//! Lu et al. (2022b), "DPM-Solver++: Fast Solver for Guided Sampling", section 6 and appendix; as
//! `lambda = -ln sigma`, a step of `h` in lambda multiplies sigma by `exp(-h)`.

use super::{SampleArgs, Sampled, add_noise, ancestral_step, difference, interpolate_to_denoised, phi};
use crate::diffusion::Latents;

/// DPM-Solver++ (stochastic) as in k-diffusion: with the first prediction to the midpoint of the step in lambda,
/// then the whole step with the prediction made there, with noise added both times.
pub(super) fn dpmpp_sde(mut args: SampleArgs<'_>, mut x: Latents) -> Sampled {
    for (index, sigma, next) in args.steps() {
        let denoised = args.predict(&mut x, index, sigma)?;
        if next == 0.0 {
            return Ok(denoised);
        }
        let midpoint = (sigma * next).sqrt();
        let (down, up) = ancestral_step(sigma, midpoint, args.eta());
        let x_2 = add_noise(interpolate_to_denoised(x.clone(), &denoised, down / sigma), up, args.noise);
        let denoised_2 = args.model.denoise(&x_2, midpoint)?;

        let (down, up) = ancestral_step(sigma, next, args.eta());
        x = add_noise(interpolate_to_denoised(x, &denoised_2, down / sigma), up, args.noise);
    }
    Ok(x)
}

/// SDE-DPM-Solver++(2M) in its midpoint form: the prediction extrapolated linearly from the one before, as in
/// [`dpmpp_2m`](super::multistep::dpmpp_2m), and noise.
pub(super) fn dpmpp_2m_sde(mut args: SampleArgs<'_>, mut x: Latents) -> Sampled {
    let eta = args.eta();
    let mut last: Option<(f32, Latents)> = None;
    for (index, sigma, next) in args.steps() {
        let denoised = args.predict(&mut x, index, sigma)?;
        if next == 0.0 {
            return Ok(denoised);
        }
        let h = (sigma / next).ln();
        let h_eta = h * (1.0 + eta);
        let phi_1 = -(-h_eta).exp_m1();
        x = x.scale((-h_eta).exp()).add_scaled(phi_1, &denoised);
        if let Some((h_last, denoised_last)) = &last {
            let r = h_last / h;
            x = x.add_scaled(phi_1 / (2.0 * r), &difference(&denoised, denoised_last));
        }
        x = add_noise(x, next * fresh_noise(h, eta), args.noise);
        last = Some((h, denoised));
    }
    Ok(x)
}

/// SDE-DPM-Solver++(3M), k-diffusion's third-order sibling of [`dpmpp_2m_sde`]: a parabola through the
/// last three predictions.
pub(super) fn dpmpp_3m_sde(mut args: SampleArgs<'_>, mut x: Latents) -> Sampled {
    let eta = args.eta();
    // Divided differences of the predictions over one and two steps of lambda.
    let mut last: Option<(f32, Latents)> = None;
    let mut slope_last: Option<(f32, Latents)> = None;
    for (index, sigma, next) in args.steps() {
        let denoised = args.predict(&mut x, index, sigma)?;
        if next == 0.0 {
            return Ok(denoised);
        }
        let h = (sigma / next).ln();
        let h_eta = h * (1.0 + eta);
        let (phi_1, phi_2, phi_3) = phi(h_eta);
        x = x.scale((-h_eta).exp()).add_scaled(phi_1, &denoised);
        if let Some((h_1, denoised_last)) = last.take() {
            // Per unit of lambda, so that the next step can use it.
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
        x = add_noise(x, next * fresh_noise(h, eta), args.noise);
        last = Some((h, denoised));
    }
    Ok(x)
}

/// The standard deviation of the fresh noise after a step of `h`, as a part of the next sigma.
fn fresh_noise(h: f32, eta: f32) -> f32 {
    (-(-2.0 * eta * h).exp_m1()).sqrt()
}
