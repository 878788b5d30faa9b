//! Second-order single-step samplers: a second prediction within the step corrects the first.

use super::{SampleArgs, Sampled, add_noise, ancestral_step, derivative, interpolate_to_denoised};
use crate::diffusion::Latents;

/// Algorithm 2 of Karras et al. (2022) without churn: an Euler step, repeated with the mean of the
/// derivatives at both of its ends.
pub(super) fn heun(mut args: SampleArgs<'_>, mut x: Latents) -> Sampled {
    for (index, sigma, next) in args.steps() {
        let denoised = args.predict(&mut x, index, sigma)?;
        let d = derivative(&x, &denoised, sigma);
        let dt = next - sigma;
        let x_2 = x.clone().add_scaled(dt, &d);
        x = if next > 0.0 {
            let denoised_2 = args.model.denoise(&x_2, next)?;
            let d_2 = derivative(&x_2, &denoised_2, next);
            x.add_scaled(dt, &d.zip_with(&d_2, f32::midpoint))
        } else {
            x_2
        };
    }
    Ok(x)
}

/// k-diffusion's DPM2, after DPM-Solver-2 (algorithm 1 of Lu et al., 2022a): the whole step with the
/// derivative at its midpoint in `ln sigma`.
pub(super) fn dpm2(mut args: SampleArgs<'_>, mut x: Latents) -> Sampled {
    for (index, sigma, next) in args.steps() {
        let denoised = args.predict(&mut x, index, sigma)?;
        x = dpm2_step(&mut args, x, &denoised, sigma, next)?;
    }
    Ok(x)
}

/// [`dpm2`] to a sigma below the next one, and fresh noise up to it.
pub(super) fn dpm2_ancestral(mut args: SampleArgs<'_>, mut x: Latents) -> Sampled {
    for (index, sigma, next) in args.steps() {
        let denoised = args.predict(&mut x, index, sigma)?;
        let (sigma_down, sigma_up) = ancestral_step(sigma, next, args.eta());
        x = add_noise(dpm2_step(&mut args, x, &denoised, sigma, sigma_down)?, sigma_up, args.noise);
    }
    Ok(x)
}

fn dpm2_step(args: &mut SampleArgs<'_>, x: Latents, denoised: &Latents, sigma: f32, next: f32) -> Sampled {
    let d = derivative(&x, denoised, sigma);
    if next == 0.0 {
        return Ok(x.add_scaled(-sigma, &d)); // a step to 0 has no midpoint in ln sigma
    }
    let midpoint = (sigma * next).sqrt();
    let x_2 = x.clone().add_scaled(midpoint - sigma, &d);
    let denoised_2 = args.model.denoise(&x_2, midpoint)?;
    let d_2 = derivative(&x_2, &denoised_2, midpoint);
    Ok(x.add_scaled(next - sigma, &d_2))
}

/// DPM-Solver++(2S), algorithm 1 of Lu et al. (2022b), with ancestral noise: the whole step with the
/// prediction at its midpoint in `ln sigma`.
pub(super) fn dpmpp_2s_ancestral(mut args: SampleArgs<'_>, mut x: Latents) -> Sampled {
    for (index, sigma, next) in args.steps() {
        let denoised = args.predict(&mut x, index, sigma)?;
        if next == 0.0 {
            return Ok(denoised);
        }
        let (sigma_down, sigma_up) = ancestral_step(sigma, next, args.eta());
        let midpoint = (sigma * sigma_down).sqrt();
        let x_2 = interpolate_to_denoised(x.clone(), &denoised, midpoint / sigma);
        let denoised_2 = args.model.denoise(&x_2, midpoint)?;
        x = add_noise(interpolate_to_denoised(x, &denoised_2, sigma_down / sigma), sigma_up, args.noise);
    }
    Ok(x)
}
