//! Multistep samplers: the history of predictions takes the place of further model calls.

use std::collections::VecDeque;

use super::{Sampled, derivative, difference, interpolate_to_denoised, phi, predict, steps};
use crate::diffusion::{Denoiser, Latents, Observer};

/// Linear multistep (Adams and Bashforth) of an order of 1 to 4: a polynomial through the latest
/// derivatives, integrated over the step. The lesson's sampler, from k-diffusion.
pub(super) fn lms(
    model: &mut dyn Denoiser,
    mut x: Latents,
    sigmas: &[f32],
    order: usize,
    observe: &mut Observer<'_>,
) -> Sampled {
    assert!((1..=4).contains(&order), "linear multistep of order {order}");
    let mut derivatives = VecDeque::with_capacity(order); // the latest first
    for (index, sigma, _) in steps(sigmas) {
        let denoised = predict(model, &x, index, sigma, observe)?;
        derivatives.truncate(order - 1);
        derivatives.push_front(derivative(&x, &denoised, sigma));
        for (back, d) in derivatives.iter().enumerate() {
            x = x.add_scaled(lms_coefficient(derivatives.len(), sigmas, index, back), d);
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
    // Gauss and Legendre's two points are exact to degree 3, so to order 4.
    let (from, to) = (t(0), f64::from(sigmas[index + 1]));
    let (middle, half) = (f64::midpoint(from, to), (to - from) / 2.0);
    let offset = half / 3f64.sqrt();
    (half * (basis(middle - offset) + basis(middle + offset))) as f32
}

/// DPM-Solver++(2M): algorithm 2 of Lu et al. (2022b), for sigmas, with `lambda = -ln sigma`.
pub(super) fn dpmpp_2m(
    model: &mut dyn Denoiser,
    mut x: Latents,
    sigmas: &[f32],
    observe: &mut Observer<'_>,
) -> Sampled {
    let mut last: Option<(f32, Latents)> = None;
    for (index, sigma, next) in steps(sigmas) {
        let denoised = predict(model, &x, index, sigma, observe)?;
        let h = (sigma / next).ln();
        // The prediction carried on in a straight line to the middle of the step. To 0 it is an
        // infinite step, and the prediction is what is left.
        let middle = match &last {
            Some((h_last, denoised_last)) if next > 0.0 => {
                let r = h_last / h;
                let ahead = 1.0 / (2.0 * r);
                denoised.zip_with(denoised_last, |now, last| (1.0 + ahead) * now - ahead * last)
            }
            _ => denoised.clone(),
        };
        // exp(-h) = next / sigma
        x = x.scale(next / sigma).add_scaled(-(-h).exp_m1(), &middle);
        last = Some((h, denoised));
    }
    Ok(x)
}

/// Pseudo linear multistep of Liu et al. (2022), "Pseudo Numerical Methods for Diffusion Models on
/// Manifolds", as in Stable Diffusion's first release: Adams and Bashforth's weights of order 4 for
/// even steps, whatever the steps are, on the predicted noise. The first step is made as by [`heun`].
///
/// [`heun`]: super::second_order::heun
pub(super) fn plms(
    model: &mut dyn Denoiser,
    mut x: Latents,
    sigmas: &[f32],
    observe: &mut Observer<'_>,
) -> Sampled {
    const WEIGHTS: [&[f32]; 4] = [
        &[1.0],
        &[3.0 / 2.0, -1.0 / 2.0],
        &[23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0],
        &[55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0],
    ];
    let mut history = VecDeque::with_capacity(WEIGHTS.len()); // the latest first
    for (index, sigma, next) in steps(sigmas) {
        let denoised = predict(model, &x, index, sigma, observe)?;
        let eps = derivative(&x, &denoised, sigma);
        let dt = next - sigma;
        if index == 0 && next > 0.0 {
            let x_2 = x.clone().add_scaled(dt, &eps);
            let eps_2 = derivative(&x_2, &model.denoise(&x_2, next)?, next);
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
/// [`dpmpp_2m`], which the prediction at its end then corrects. That moves x to where the next step
/// starts, and makes the order 3; the prediction itself is not made again.
pub(super) fn unipc(
    model: &mut dyn Denoiser,
    mut x: Latents,
    sigmas: &[f32],
    observe: &mut Observer<'_>,
) -> Sampled {
    /// A step: where it started, the prediction there, and its length in lambda.
    struct Taken {
        x: Latents,
        denoised: Latents,
        h: f32,
        /// The prediction's change in the step before, if there was one, and that step's length.
        change: Option<(Latents, f32)>,
    }
    let mut last: Option<Taken> = None;
    for (index, sigma, next) in steps(sigmas) {
        let denoised = predict(model, &x, index, sigma, observe)?;
        let mut change = None;
        if let Some(Taken { x: start, denoised: denoised_last, h, change: change_last }) = last {
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
        last = Some(Taken { x: start, denoised, h, change });
    }
    Ok(x)
}
