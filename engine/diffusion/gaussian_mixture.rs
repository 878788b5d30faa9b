//! A denoiser in closed form, on which the error of a sampler can be measured.
//!
//! If every number of a picture is drawn from one mixture of Gaussians, the perfect denoiser is the posterior
//! mean. The solution of its differential equation can be computed to any precision.

use std::ops::ControlFlow;

use super::samplers::{SampleArgs, Sampler, SamplerOptions, sample};
use super::{Latents, NoiseStreams};
use crate::error::EngineError;

/// Weight, mean and standard deviation of each Gaussian.
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

/// The solution of the mixture's differential equation from `x`: the fourth-order Runge-Kutta method in double
/// precision, with many even steps of `lambda = -ln sigma`.
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

/// The order of convergence of a sampler, measured on the mixture: doubling the steps divides the error by two
/// to this power.
pub fn measured_order(sampler: Sampler, options: &SamplerOptions) -> f32 {
    const STEPS: u16 = 40;
    (error(sampler, options, STEPS) / error(sampler, options, 2 * STEPS)).log2()
}

/// The Euclidean norm of the error over a few numbers.
fn error(sampler: Sampler, options: &SamplerOptions, steps: u16) -> f32 {
    const FROM: f32 = 8.0;
    const TO: f32 = 1.0;
    // The first steps are short, so that multistep samplers have a history before the error grows.
    let sigma = |i| FROM * (TO / FROM).powf((f32::from(i) / f32::from(steps)).powi(2));
    let sigmas: Vec<f32> = (0..=steps).map(sigma).collect();
    let mut noise = NoiseStreams::new(32, 1);
    let x = noise.draw([1, 4, 4, 4]).scale(FROM);
    let exact = x.zip_with(&x, |x, _| solution(x, FROM.into(), TO.into()));
    let args = SampleArgs {
        sampler,
        options: *options,
        model: &mut denoise_mixture,
        sigmas: &sigmas,
        noise: &mut noise,
        observe: &mut |_| ControlFlow::Continue(()),
    };
    let end = sample(args, x).expect("neither the mixture nor the observer ends it");
    end.data.iter().zip(&exact.data).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt()
}
