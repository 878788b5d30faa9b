//! Samplers on pictures of one Gaussian, whose differential equation has a known solution.

use super::*;
use crate::diffusion::NoiseStreams;

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
    run_with(sampler, DEFAULTS, x, sigmas, &mut noise)
}

fn run_with(
    sampler: Sampler,
    options: SamplerOptions,
    x: Latents,
    sigmas: &[f32],
    noise: &mut NoiseStreams,
) -> Latents {
    let observe = &mut |_: Step<'_>| ControlFlow::Continue(());
    let args = SampleArgs { sampler, options, model: &mut gaussian, sigmas, noise, observe };
    sample(args, x).expect("neither the model nor the observer ends it")
}

/// Every option at its default.
const DEFAULTS: SamplerOptions = SamplerOptions {
    eta: None,
    order: None,
    learning_rate: None,
    momentum: None,
    weight_decay: None,
    stop_below: None,
};

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
fn linear_multistep_converges_as_its_order_says() {
    for order in 1..=4u8 {
        let error = |steps: u16| {
            // The first steps are short, so that a history is there before it matters.
            let sigma = |i| 8.0 * (0.5f32 / 8.0).powf((f32::from(i) / f32::from(steps)).powi(2));
            let sigmas: Vec<f32> = (0..=steps).map(sigma).collect();
            let options = SamplerOptions { order: Some(order.into()), ..DEFAULTS };
            let end = run_with(Sampler::Lms, options, start(8.0), &sigmas, &mut NoiseStreams::new(0, 1));
            largest_difference(&end, &exact(&start(8.0), 8.0, 0.5))
        };
        let measured = (error(32) / error(64)).log2();
        assert!((measured - f32::from(order)).abs() < 0.3, "order {order} is of order {measured}");
    }
}

#[test]
fn every_sampler_ends_at_the_exact_solution_or_with_fresh_noise_in_the_distribution() {
    let sigma = |i: u16| (1.0 - f32::from(i) / 200.0).powi(3) * 10.0;
    let sigmas: Vec<f32> = (0..=200).map(sigma).collect();
    let picture = exact(&start(10.0), 10.0, 0.0);
    for sampler in Sampler::ALL {
        let ours = run(sampler, &sigmas);
        if sampler.is_stochastic() || sampler.accepts(SamplerOption::LearningRate) {
            assert!(largest_difference(&ours, &picture) > 0.1, "{sampler:?}");
            assert!(ours.data.iter().all(|value| (value - MEAN).abs() < 4.0 * STD));
        } else if sampler.is_adaptive() {
            // It chooses longer steps.
            assert!(largest_difference(&ours, &picture) < 0.1, "{sampler:?}");
        } else {
            assert!(largest_difference(&ours, &picture) < 0.03, "{sampler:?}");
        }
    }
}

#[test]
fn the_observer_sees_each_step_once_and_model_calls_are_as_many_as_predicted() {
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
        let (sigmas, options, noise) = (&sigmas, DEFAULTS, &mut NoiseStreams::new(0, 1));
        let args = SampleArgs { sampler, options, model: &mut model, sigmas, noise, observe: &mut observe };
        assert!(sample(args, start(5.0)).expect("neither ends it").is_finite());
        let indices = seen.iter().map(|(index, _)| *index);
        assert!(indices.eq(0..seen.len()), "{sampler:?} takes one step after the other");
        if !sampler.is_adaptive() {
            let visited: Vec<f32> = seen.iter().map(|(_, sigma)| *sigma).collect();
            assert_eq!(visited, sampler.visited_sigmas(sigmas)[..visited.len()], "{sampler:?}");
            assert_eq!(visited.len() + 1, sampler.visited_sigmas(sigmas).len(), "{sampler:?}");
            assert_eq!(calls, sampler.model_calls(3), "{sampler:?}");
        }
    }
}

#[test]
fn a_break_stops_and_a_failure_is_passed_on() {
    for sampler in Sampler::ALL {
        fn run<'a>(sampler: Sampler, model: &'a mut dyn Denoiser, observe: &'a mut Observer<'a>) -> Sampled {
            let (sigmas, noise) = (&[5.0, 0.0], &mut NoiseStreams::new(0, 1));
            sample(SampleArgs { sampler, options: DEFAULTS, model, sigmas, noise, observe }, start(5.0))
        }
        let halt = run(sampler, &mut gaussian, &mut |_| ControlFlow::Break(()));
        assert_eq!(halt, Err(EngineError::Stopped));

        let failure = EngineError::Failed("The device was lost".into());
        let mut broken = |_: &Latents, _: f32| Err(failure.clone());
        let halt = run(sampler, &mut broken, &mut |_| ControlFlow::Continue(()));
        assert_eq!(halt, Err(failure));
    }
}

#[test]
fn zero_steps_return_x_and_one_step_returns_the_prediction() {
    for sampler in Sampler::ALL {
        assert_eq!(run(sampler, &[5.0]), start(5.0));
        let prediction = gaussian(&start(5.0), 5.0).expect("it never fails");
        assert!(largest_difference(&run(sampler, &[5.0, 0.0]), &prediction) < 1e-6);
    }
}

#[test]
fn a_picture_of_a_batch_is_the_same_picture_alone() {
    let sigmas = [5.0, 2.0, 0.5, 0.1, 0.0];
    let run = |sampler, seed, batch| {
        let mut noise = NoiseStreams::new(seed, batch);
        let x = noise.draw([batch, 4, 2, 2]).scale(sigmas[0]);
        run_with(sampler, DEFAULTS, x, &sigmas, &mut noise)
    };
    for sampler in Sampler::ALL.into_iter().filter(|sampler| !sampler.is_adaptive()) {
        assert_eq!(run(sampler, 10, 3).picture(2), run(sampler, 12, 1).picture(0), "{sampler:?}");
    }
}

#[test]
fn at_eta_0_ancestral_samplers_equal_their_deterministic_ones() {
    let sigmas = [10.0, 4.0, 1.5, 0.4, 0.1, 0.0];
    let options = SamplerOptions { eta: Some(0.0), ..DEFAULTS };
    for (sampler, sibling) in [
        (Sampler::EulerAncestral, Sampler::Euler),
        (Sampler::Dpm2Ancestral, Sampler::Dpm2),
        (Sampler::DpmPp2mSde, Sampler::DpmPp2m),
        (Sampler::DpmPpSde, Sampler::DpmPp2sAncestral),
    ] {
        let run = |sampler| run_with(sampler, options, start(10.0), &sigmas, &mut NoiseStreams::new(0, 1));
        let difference = largest_difference(&run(sampler), &run(sibling));
        assert!(difference < 1e-5, "{sampler:?} is {difference} from {sibling:?}");
    }
}

#[test]
fn only_stochastic_samplers_draw_noise() {
    let sigmas = [5.0, 2.0, 0.5, 0.0];
    for sampler in Sampler::ALL {
        let mut noise = NoiseStreams::new(0, 1);
        run_with(sampler, DEFAULTS, start(5.0), &sigmas, &mut noise);
        let untouched = noise.draw(SHAPE) == NoiseStreams::new(0, 1).draw(SHAPE);
        assert_eq!(untouched, !sampler.is_stochastic(), "{sampler:?}");
    }
}
