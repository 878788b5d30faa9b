//! Multistep samplers: earlier predictions replace further model calls.

use std::collections::VecDeque;

use super::{SampleArgs, Sampled, SamplerOption, derivative, difference, interpolate_to_denoised, phi};
use crate::diffusion::Latents;

/// Linear multistep (Adams and Bashforth) of order 1 to 4: a polynomial through the latest derivatives,
/// integrated over the step. From k-diffusion; the sampler of the lesson.
pub(super) fn lms(mut args: SampleArgs<'_>, mut x: Latents) -> Sampled {
    let order = args.option(SamplerOption::Order) as usize;
    assert!((1..=4).contains(&order), "linear multistep of order {order}");
    let mut derivatives = VecDeque::with_capacity(order); // the latest first
    for (index, sigma, _) in args.steps() {
        let denoised = args.predict(&mut x, index, sigma)?;
        derivatives.truncate(order - 1);
        derivatives.push_front(derivative(&x, &denoised, sigma));
        for (back, d) in derivatives.iter().enumerate() {
            x = x.add_scaled(lms_coefficient(derivatives.len(), args.sigmas, index, back), d);
        }
    }
    Ok(x)
}

/// The integral, from `sigmas[index]` to the next, of the Lagrange basis polynomial that is 1 at the
/// sigma `back` steps ago and 0 at the `order - 1` others of the latest `order`.
fn lms_coefficient(order: usize, sigmas: &[f32], index: usize, back: usize) -> f32 {
    let t = |back| f64::from(sigmas[index - back]);
    let basis = |tau: f64| -> f64 {
        let others = (0..order).filter(|&k| k != back);
        others.map(|k| (tau - t(k)) / (t(back) - t(k))).product()
    };
    // Two-point Gauss-Legendre quadrature is exact to degree 3, and thus for order 4.
    let (from, to) = (t(0), f64::from(sigmas[index + 1]));
    let (middle, half) = (f64::midpoint(from, to), (to - from) / 2.0);
    let offset = half / 3f64.sqrt();
    (half * (basis(middle - offset) + basis(middle + offset))) as f32
}

/// DPM-Solver++(2M): algorithm 2 of Lu et al. (2022b), for sigmas, with `lambda = -ln sigma`.
pub(super) fn dpmpp_2m(mut args: SampleArgs<'_>, mut x: Latents) -> Sampled {
    let mut last: Option<(f32, Latents)> = None;
    for (index, sigma, next) in args.steps() {
        let denoised = args.predict(&mut x, index, sigma)?;
        let h = (sigma / next).ln();
        // The prediction extrapolated linearly to the midpoint of the step. A step to 0 is infinitely long
        // in lambda, and ends at the prediction itself.
        let midpoint = match &last {
            Some((h_last, denoised_last)) if next > 0.0 => {
                let r = h_last / h;
                let ahead = 1.0 / (2.0 * r);
                denoised.zip_with(denoised_last, |now, last| (1.0 + ahead) * now - ahead * last)
            }
            _ => denoised.clone(),
        };
        // exp(-h) = next / sigma
        x = x.scale(next / sigma).add_scaled(-(-h).exp_m1(), &midpoint);
        last = Some((h, denoised));
    }
    Ok(x)
}

/// Pseudo linear multistep of Liu et al. (2022), "Pseudo Numerical Methods for Diffusion Models on
/// Manifolds", as in Stable Diffusion's first release: the fourth-order Adams-Bashforth weights for even
/// steps, applied to the predicted noise even if the steps are uneven. The first step is one of [`heun`].
///
/// [`heun`]: super::second_order::heun
pub(super) fn plms(mut args: SampleArgs<'_>, mut x: Latents) -> Sampled {
    const WEIGHTS: [&[f32]; 4] = [
        &[1.0],
        &[3.0 / 2.0, -1.0 / 2.0],
        &[23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0],
        &[55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0],
    ];
    let mut history = VecDeque::with_capacity(WEIGHTS.len()); // the latest first
    for (index, sigma, next) in args.steps() {
        let denoised = args.predict(&mut x, index, sigma)?;
        let eps = derivative(&x, &denoised, sigma);
        let dt = next - sigma;
        if index == 0 && next > 0.0 {
            let x_2 = x.clone().add_scaled(dt, &eps);
            let eps_2 = derivative(&x_2, &args.model.denoise(&x_2, next)?, next);
            x = x.add_scaled(dt, &eps.zip_with(&eps_2, f32::midpoint));
            history.push_front(eps);
            continue;
        }
        history.truncate(WEIGHTS.len() - 1);
        history.push_front(eps);
        for (weight, eps) in WEIGHTS[history.len() - 1].iter().zip(&history) {
            x = x.add_scaled(dt * weight, eps);
        }
    }
    Ok(x)
}

/// UniPC of order 2 (algorithms 5 to 8 of Zhao et al., 2023, with their `B(h) = exp(h) - 1`): a step of
/// [`dpmpp_2m`], then a correction with the prediction at its end, which gives order 3. The correction moves x,
/// but the prediction is not repeated.
pub(super) fn unipc(mut args: SampleArgs<'_>, mut x: Latents) -> Sampled {
    /// The step before: its start, the prediction there, and its length in lambda.
    struct LastStep {
        x: Latents,
        denoised: Latents,
        h: f32,
        /// How the prediction changed over the step before that one, and its length in lambda.
        change: Option<(Latents, f32)>,
    }
    let mut last: Option<LastStep> = None;
    for (index, sigma, next) in args.steps() {
        let denoised = args.predict(&mut x, index, sigma)?;
        let mut change = None;
        if let Some(LastStep { x: start, denoised: denoised_last, h, change: change_last }) = last {
            let (phi_1, phi_2, phi_3) = phi(h);
            let change_now = difference(&denoised, &denoised_last);
            x = interpolate_to_denoised(start, &denoised_last, (-h).exp());
            x = if let Some((change_last, h_last)) = change_last {
                let r = h_last / h;
                let weight = (phi_2 + 2.0 * phi_3) / (1.0 + r);
                x.add_scaled(weight / r, &change_last).add_scaled(phi_2 - weight, &change_now)
            } else {
                x.add_scaled(phi_1 / 2.0, &change_now)
            };
            change = Some((change_now, h));
        }
        if next == 0.0 {
            return Ok(denoised);
        }
        let h = (sigma / next).ln();
        let start = x.clone();
        x = interpolate_to_denoised(x, &denoised, next / sigma);
        if let Some((change, h_last)) = &change {
            x = x.add_scaled((1.0 - next / sigma) * h / (2.0 * h_last), change);
        }
        last = Some(LastStep { x: start, denoised, h, change });
    }
    Ok(x)
}
