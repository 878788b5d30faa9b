//! A denoiser that is known in closed form, and what samplers are worth on it.
//!
//! Pictures whose every number is drawn from one mixture of Gaussians have a perfect denoiser, the mean of
//! what x can have been. Where its differential equation leads can be computed as exactly as one likes, and so
//! can the error of a sampler.

use std::ops::ControlFlow;

use super::samplers::{Sampler, SamplerOptions, sample};
use super::{Latents, NoiseStreams, Step};
use crate::error::EngineError;

/// Weight, mean and standard deviation of each.
const MIXTURE: [[f64; 3]; 3] = [[0.5, -1.0, 0.3], [0.3, 0.4, 0.2], [0.2, 1.5, 0.4]];

/// The perfect [`Denoiser`](super::Denoiser) of the mixture's pictures.
pub fn denoise_mixture(x: &Latents, sigma: f32) -> Result<Latents, EngineError> {
    Ok(x.zip_with(x, |x, _| posterior_mean(x.into(), sigma.into()) as f32))
}

fn posterior_mean(x: f64, sigma: f64) -> f64 {
    let (mut sum, mut total) = (0.0, 0.0);
    for [weight, mean, std] in MIXTURE {
        let variance = std * std + sigma * sigma;
        let offset = x - mean;
        let share = weight / variance.sqrt() * (-offset * offset / (2.0 * variance)).exp();
        sum += share * (mean + std * std / variance * offset);
        total += share;
    }
    sum / total
}

/// Where the mixture's differential equation leads from `x`: Runge and Kutta's fourth-order method in
/// double precision, by many even steps of `lambda = -ln sigma`.
fn solution(x: f32, sigma: f64, end: f64) -> f32 {
    const STEPS: u16 = 4000;
    let h = (sigma / end).ln() / f64::from(STEPS);
    let mut x = f64::from(x);
    for step in 0..STEPS {
        let slope = |x: f64, part: f64| posterior_mean(x, sigma * (-h * (f64::from(step) + part)).exp()) - x;
        let k_1 = slope(x, 0.0);
        let k_2 = slope(x + h / 2.0 * k_1, 0.5);
        let k_3 = slope(x + h / 2.0 * k_2, 0.5);
        let k_4 = slope(x + h * k_3, 1.0);
        x += h / 6.0 * (k_1 + 2.0 * k_2 + 2.0 * k_3 + k_4);
    }
    x as f32
}

/// The order of convergence of a sampler as it shows on the mixture: twice the steps divide its error by two
/// to this power.
pub fn measured_order(sampler: Sampler, options: &SamplerOptions) -> f32 {
    const STEPS: u16 = 40;
    (error(sampler, options, STEPS) / error(sampler, options, 2 * STEPS)).log2()
}

/// Root of the summed squares over a few numbers.
fn error(sampler: Sampler, options: &SamplerOptions, steps: u16) -> f32 {
    const FROM: f32 = 8.0;
    const TO: f32 = 1.0;
    // The first steps are short, so that multistep samplers have a history before it matters.
    let sigma = |i| FROM * (TO / FROM).powf((f32::from(i) / f32::from(steps)).powi(2));
    let sigmas: Vec<f32> = (0..=steps).map(sigma).collect();
    let mut noise = NoiseStreams::new(32, 1);
    let x = noise.draw([1, 4, 4, 4]).scale(FROM);
    let exact = x.zip_with(&x, |x, _| solution(x, FROM.into(), TO.into()));
    let keep_on = &mut |_: Step<'_>| ControlFlow::Continue(());
    let end = sample(sampler, options, &mut denoise_mixture, x, &sigmas, &mut noise, keep_on);
    let end = end.expect("neither the mixture nor the observer halts it");
    end.data.iter().zip(&exact.data).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt()
}
