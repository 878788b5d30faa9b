//! First-order samplers: each step follows one prediction in a straight line.

use super::{SampleArgs, Sampled, add_noise, ancestral_step, derivative, interpolate_to_denoised};
use crate::diffusion::Latents;

/// Algorithm 2 of Karras et al. (2022) with Euler steps and without churn.
pub(super) fn euler(mut args: SampleArgs<'_>, mut x: Latents) -> Sampled {
    for (index, sigma, next) in args.steps() {
        let denoised = args.predict(&mut x, index, sigma)?;
        let d = derivative(&x, &denoised, sigma);
        x = x.add_scaled(next - sigma, &d);
    }
    Ok(x)
}

/// Ancestral sampling (Song et al., 2021, appendix F) as in k-diffusion: an Euler step to a sigma below the
/// next one, and noise up to it, `sigma_down^2 + sigma_up^2 = next^2`.
pub(super) fn euler_ancestral(mut args: SampleArgs<'_>, mut x: Latents) -> Sampled {
    for (index, sigma, next) in args.steps() {
        let denoised = args.predict(&mut x, index, sigma)?;
        let (sigma_down, sigma_up) = ancestral_step(sigma, next, args.eta());
        let d = derivative(&x, &denoised, sigma);
        x = add_noise(x.add_scaled(sigma_down - sigma, &d), sigma_up, args.noise);
    }
    Ok(x)
}

/// Equation 12 of Song et al. (2020), "Denoising Diffusion Implicit Models", for sigmas: the
/// prediction with noise of the next sigma, a part of which is fresh. At an eta of 0 none of it is, which is an
/// Euler step; at 1 it is DDPM (Ho et al., 2020).
pub(super) fn ddim(mut args: SampleArgs<'_>, mut x: Latents) -> Sampled {
    for (index, sigma, next) in args.steps() {
        let denoised = args.predict(&mut x, index, sigma)?;
        let (sigma_down, sigma_up) = ancestral_step(sigma, next, args.eta());
        x = add_noise(interpolate_to_denoised(x, &denoised, sigma_down / sigma), sigma_up, args.noise);
    }
    Ok(x)
}

/// Algorithm 1 of Song et al. (2023), "Consistency Models", as for latent consistency models (Luo et al., 2023):
/// each prediction gets new noise.
pub(super) fn lcm(mut args: SampleArgs<'_>, mut x: Latents) -> Sampled {
    for (index, sigma, next) in args.steps() {
        x = args.predict(&mut x, index, sigma)?;
        if next > 0.0 {
            let fresh = args.noise.draw(x.shape);
            x = x.add_scaled(next, &fresh);
        }
    }
    Ok(x)
}
