//! Samplers: functions that walk down the sigmas.
//!
//! A diffusion model defines an ordinary differential equation, `dx/dsigma = (x - denoised) / sigma`,
//! that leads from noise to a picture. A sampler solves it in few steps. Read them beside
//! - Karras et al. (2022), "Elucidating the Design Space of Diffusion-Based Generative Models",
//! - Lu et al. (2022b), "DPM-Solver++: Fast Solver for Guided Sampling",
//! - Song et al. (2021), "Score-Based Generative Modeling through Stochastic Differential Equations".

use std::collections::VecDeque;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::{Denoiser, Halt, Latents, NoiseStreams, Observer, Step};

/// The samplers that users know by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Sampler {
    #[default]
    #[serde(rename = "euler")]
    Euler,
    #[serde(rename = "euler-a")]
    EulerAncestral,
    #[serde(rename = "heun")]
    Heun,
    #[serde(rename = "lms")]
    Lms,
    #[serde(rename = "dpmpp-2m")]
    DpmPp2m,
}

impl Sampler {
    pub const ALL: [Self; 5] = [Self::Euler, Self::EulerAncestral, Self::Heun, Self::Lms, Self::DpmPp2m];

    /// Name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Euler => "euler",
            Self::EulerAncestral => "euler-a",
            Self::Heun => "heun",
            Self::Lms => "lms",
            Self::DpmPp2m => "dpmpp-2m",
        }
    }

    /// Name in the window, and in A1111's `parameters` text.
    pub fn label(self) -> &'static str {
        match self {
            Self::Euler => "Euler",
            Self::EulerAncestral => "Euler a",
            Self::Heun => "Heun",
            Self::Lms => "LMS",
            Self::DpmPp2m => "DPM++ 2M",
        }
    }

    /// One sentence for a tooltip.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Euler => "First order, one model call a step: plain and dependable",
            Self::EulerAncestral => "Euler with fresh noise at every step: varied, never settles",
            Self::Heun => "Second order, two model calls a step: fewer steps needed",
            Self::Lms => "Fourth order from the history of predictions: the lesson's sampler",
            Self::DpmPp2m => "Second order multistep, one model call a step: good in few steps",
        }
    }

    /// How often the model is asked over `steps` steps: what a run costs.
    pub fn model_calls(self, steps: usize) -> usize {
        match self {
            // The last step goes to 0, where there is nothing to ask.
            Self::Heun => (2 * steps).saturating_sub(1),
            Self::Euler | Self::EulerAncestral | Self::Lms | Self::DpmPp2m => steps,
        }
    }
}

/// Latents at the last sigma, or why it was not reached.
type Sampled = Result<Latents, Halt>;

/// Walks `x` down `sigmas` with the named sampler.
///
/// `x` holds noise of standard deviation `sigmas[0]`. The sigmas fall, and end in 0; they may be the
/// tail of a schedule (image to image). Only ancestral sampling draws from `noise`.
///
/// # Errors
/// [`Halt::Stopped`] if the observer breaks, and whatever the model halts with.
///
/// # Panics
/// If the sigmas do not fall, or fall below 0.
pub fn sample(
    sampler: Sampler,
    model: &mut dyn Denoiser,
    x: Latents,
    sigmas: &[f32],
    noise: &mut NoiseStreams,
    observe: &mut Observer<'_>,
) -> Sampled {
    let falling = sigmas.is_sorted_by(|sigma, next| sigma > next && *next >= 0.0);
    assert!(falling, "sigmas fall to 0, unlike {sigmas:?}");
    match sampler {
        Sampler::Euler => euler(model, x, sigmas, observe),
        Sampler::EulerAncestral => euler_ancestral(model, x, sigmas, noise, observe),
        Sampler::Heun => heun(model, x, sigmas, observe),
        Sampler::Lms => lms(model, x, sigmas, observe),
        Sampler::DpmPp2m => dpmpp_2m(model, x, sigmas, observe),
    }
}

/// Algorithm 2 of Karras et al. (2022) with Euler steps and without churn.
fn euler(model: &mut dyn Denoiser, mut x: Latents, sigmas: &[f32], observe: &mut Observer<'_>) -> Sampled {
    for (index, sigma, next) in steps(sigmas) {
        let denoised = predict(model, &x, index, sigma, observe)?;
        let d = derivative(&x, &denoised, sigma);
        x = x.add_scaled(next - sigma, &d);
    }
    Ok(x)
}

/// Ancestral sampling (Song et al., 2021, appendix F) as k-diffusion's Euler steps with eta 1: a step
/// goes below the next sigma and adds noise back up to it, `sigma_down^2 + sigma_up^2 = next^2`.
fn euler_ancestral(
    model: &mut dyn Denoiser,
    mut x: Latents,
    sigmas: &[f32],
    noise: &mut NoiseStreams,
    observe: &mut Observer<'_>,
) -> Sampled {
    for (index, sigma, next) in steps(sigmas) {
        let denoised = predict(model, &x, index, sigma, observe)?;
        let sigma_down = next * next / sigma;
        let sigma_up = (next * next - sigma_down * sigma_down).sqrt();
        let d = derivative(&x, &denoised, sigma);
        x = x.add_scaled(sigma_down - sigma, &d);
        if next > 0.0 {
            let fresh = noise.draw(x.shape);
            x = x.add_scaled(sigma_up, &fresh);
        }
    }
    Ok(x)
}

/// Algorithm 2 of Karras et al. (2022) without churn: an Euler step, made again with the mean of the
/// derivatives at its two ends.
fn heun(model: &mut dyn Denoiser, mut x: Latents, sigmas: &[f32], observe: &mut Observer<'_>) -> Sampled {
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

/// Linear multistep (Adams and Bashforth) of order 4: a polynomial through the latest derivatives,
/// integrated over the step. The lesson's sampler, from k-diffusion.
fn lms(model: &mut dyn Denoiser, mut x: Latents, sigmas: &[f32], observe: &mut Observer<'_>) -> Sampled {
    const ORDER: usize = 4;
    let mut derivatives = VecDeque::with_capacity(ORDER); // the latest first
    for (index, sigma, _) in steps(sigmas) {
        let denoised = predict(model, &x, index, sigma, observe)?;
        derivatives.truncate(ORDER - 1);
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
fn dpmpp_2m(model: &mut dyn Denoiser, mut x: Latents, sigmas: &[f32], observe: &mut Observer<'_>) -> Sampled {
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

/// `(index, sigma, next sigma)` of every step.
fn steps(sigmas: &[f32]) -> impl Iterator<Item = (usize, f32, f32)> {
    sigmas.windows(2).enumerate().map(|(index, pair)| (index, pair[0], pair[1]))
}

/// The first model call of a step, shown to the observer.
fn predict(
    model: &mut dyn Denoiser,
    x: &Latents,
    index: usize,
    sigma: f32,
    observe: &mut Observer<'_>,
) -> Sampled {
    let denoised = model.denoise(x, sigma)?;
    match observe(Step { index, sigma, x, denoised: &denoised }) {
        ControlFlow::Continue(()) => Ok(denoised),
        ControlFlow::Break(()) => Err(Halt::Stopped),
    }
}

/// `dx/dsigma` of the probability flow (equations 1 and 3 of Karras et al., 2022), which is also the
/// predicted noise.
fn derivative(x: &Latents, denoised: &Latents, sigma: f32) -> Latents {
    x.zip_with(denoised, |x, denoised| (x - denoised) / sigma)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [usize; 4] = [1, 4, 2, 2];
    const MEAN: f32 = 0.3;
    const STD: f32 = 0.7;

    /// The perfect denoiser of pictures whose every number is drawn from one Gaussian.
    fn gaussian(x: &Latents, sigma: f32) -> Sampled {
        let keep = STD * STD / (STD * STD + sigma * sigma);
        Ok(x.zip_with(x, |x, _| MEAN + keep * (x - MEAN)))
    }

    /// Where that denoiser's differential equation leads.
    fn exact(x: &Latents, sigma: f32, next: f32) -> Latents {
        let shrink = STD.hypot(next) / STD.hypot(sigma);
        x.zip_with(x, |x, _| MEAN + shrink * (x - MEAN))
    }

    fn start(sigma: f32) -> Latents {
        NoiseStreams::new(32, 1).draw(SHAPE).scale(sigma)
    }

    fn run(sampler: Sampler, sigmas: &[f32]) -> Latents {
        let mut noise = NoiseStreams::new(32, 1);
        let x = noise.draw(SHAPE).scale(sigmas[0]);
        sample(sampler, &mut gaussian, x, sigmas, &mut noise, &mut |_| ControlFlow::Continue(()))
            .expect("nobody stops it")
    }

    fn largest_difference(a: &Latents, b: &Latents) -> f32 {
        a.zip_with(b, |a, b| (a - b).abs()).data.into_iter().fold(0.0, f32::max)
    }

    #[test]
    fn every_sampler_takes_k_diffusions_steps() {
        // k-diffusion 0.1.1 from the same noise; Euler a draws on from the same generator.
        let sigmas = [10.0, 4.0, 1.5, 0.4, 0.1, 0.0];
        let numbers: [(Sampler, [f32; 4]); 5] = [
            (Sampler::Euler, [-0.593_038, 0.101_637, 0.779_057, -0.591_596]),
            (Sampler::EulerAncestral, [0.611_241, 0.296_241, 0.004_609, 0.397_976]),
            (Sampler::Heun, [-1.209_939, -0.035_391, 1.109_983, -1.207_501]),
            (Sampler::Lms, [-0.704_509, 0.076_876, 0.838_853, -0.702_887]),
            (Sampler::DpmPp2m, [-0.899_801, 0.033_498, 0.943_615, -0.897_863]),
        ];
        for (sampler, theirs) in numbers {
            let ours = run(sampler, &sigmas);
            for (ours, theirs) in ours.data.iter().zip(theirs) {
                assert!((ours - theirs).abs() < 2e-6, "{sampler:?}: {ours} is not {theirs}");
            }
        }
    }

    #[test]
    fn twice_the_steps_divide_the_error_by_two_to_the_order() {
        let error = |sampler, steps: u16| {
            let sigma = |i| 8.0 * (0.5f32 / 8.0).powf(f32::from(i) / f32::from(steps));
            let sigmas: Vec<f32> = (0..=steps).map(sigma).collect();
            largest_difference(&run(sampler, &sigmas), &exact(&start(8.0), 8.0, 0.5))
        };
        for (sampler, order) in [
            (Sampler::Euler, 1.0),
            (Sampler::Heun, 2.0),
            (Sampler::DpmPp2m, 2.0),
            (Sampler::Lms, 3.0), // of 4, but its first steps have no history
        ] {
            let measured = (error(sampler, 24) / error(sampler, 48)).log2();
            assert!(measured > order - 0.15, "{sampler:?} is of order {measured}");
        }
    }

    #[test]
    fn every_sampler_finds_the_picture_and_ancestral_steps_another_of_its_kind() {
        let sigma = |i: u16| (1.0 - f32::from(i) / 200.0).powi(3) * 10.0;
        let sigmas: Vec<f32> = (0..=200).map(sigma).collect();
        let picture = exact(&start(10.0), 10.0, 0.0);
        for sampler in Sampler::ALL {
            let ours = run(sampler, &sigmas);
            if sampler == Sampler::EulerAncestral {
                assert!(largest_difference(&ours, &picture) > 0.1);
                assert!(ours.data.iter().all(|value| (value - MEAN).abs() < 4.0 * STD));
            } else {
                assert!(largest_difference(&ours, &picture) < 0.03, "{sampler:?}");
            }
        }
    }

    #[test]
    fn the_observer_sees_each_step_once_and_the_model_is_asked_as_often_as_promised() {
        let sigmas = [5.0, 2.0, 0.5, 0.0];
        for sampler in Sampler::ALL {
            let (mut calls, mut seen) = (0, Vec::new());
            let mut model = |x: &Latents, sigma: f32| {
                calls += 1;
                gaussian(x, sigma)
            };
            let mut observe = |step: Step<'_>| {
                assert_eq!(gaussian(step.x, step.sigma).as_ref(), Ok(step.denoised));
                seen.push((step.index, step.sigma));
                ControlFlow::Continue(())
            };
            let noise = &mut NoiseStreams::new(0, 1);
            let x = sample(sampler, &mut model, start(5.0), &sigmas, noise, &mut observe);
            assert!(x.expect("nobody stops it").is_finite());
            assert_eq!(seen, [(0, 5.0), (1, 2.0), (2, 0.5)]);
            assert_eq!(calls, sampler.model_calls(3), "{sampler:?}");
        }
    }

    #[test]
    fn a_break_stops_and_a_failure_is_passed_on() {
        for sampler in Sampler::ALL {
            let run = |model: &mut dyn Denoiser, observe: &mut Observer<'_>| {
                let noise = &mut NoiseStreams::new(0, 1);
                sample(sampler, model, start(5.0), &[5.0, 0.0], noise, observe)
            };
            let halt = run(&mut gaussian, &mut |_| ControlFlow::Break(()));
            assert_eq!(halt, Err(Halt::Stopped));

            let failure = Halt::Failed("The device was lost".into());
            let mut broken = |_: &Latents, _: f32| Err(failure.clone());
            let halt = run(&mut broken, &mut |_| ControlFlow::Continue(()));
            assert_eq!(halt, Err(failure));
        }
    }

    #[test]
    fn no_steps_change_nothing_and_one_step_is_the_prediction() {
        for sampler in Sampler::ALL {
            assert_eq!(run(sampler, &[5.0]), start(5.0));
            let prediction = gaussian(&start(5.0), 5.0).expect("it never fails");
            assert!(largest_difference(&run(sampler, &[5.0, 0.0]), &prediction) < 1e-6);
        }
    }
}
