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
    let keep_on = &mut |_: Step<'_>| ControlFlow::Continue(());
    sample(sampler, &OWN, &mut gaussian, x, sigmas, &mut noise, keep_on).expect("nobody stops it")
}

/// Every option as the sampler has it by itself.
const OWN: SamplerOptions = SamplerOptions {
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
            let keep_on = &mut |_: Step<'_>| ControlFlow::Continue(());
            let end = lms(&mut gaussian, start(8.0), &sigmas, order.into(), keep_on);
            largest_difference(&end.expect("nobody stops it"), &exact(&start(8.0), 8.0, 0.5))
        };
        let measured = (error(32) / error(64)).log2();
        assert!((measured - f32::from(order)).abs() < 0.3, "order {order} is of order {measured}");
    }
}

#[test]
fn every_sampler_finds_the_picture_or_by_fresh_noise_or_long_steps_another_of_its_kind() {
    let sigma = |i: u16| (1.0 - f32::from(i) / 200.0).powi(3) * 10.0;
    let sigmas: Vec<f32> = (0..=200).map(sigma).collect();
    let picture = exact(&start(10.0), 10.0, 0.0);
    for sampler in Sampler::ALL {
        let ours = run(sampler, &sigmas);
        if sampler.is_stochastic() || sampler.default_of(SamplerOption::LearningRate).is_some() {
            assert!(largest_difference(&ours, &picture) > 0.1, "{sampler:?}");
            assert!(ours.data.iter().all(|value| (value - MEAN).abs() < 4.0 * STD));
        } else if sampler.is_adaptive() {
            // It is content with steps of its own, longer ones.
            assert!(largest_difference(&ours, &picture) < 0.1, "{sampler:?}");
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
        let x = sample(sampler, &OWN, &mut model, start(5.0), &sigmas, noise, &mut observe);
        assert!(x.expect("nobody stops it").is_finite());
        let indices = seen.iter().map(|(index, _)| *index);
        assert!(indices.eq(0..seen.len()), "{sampler:?} takes one step after the other");
        if !sampler.is_adaptive() {
            let visited: Vec<f32> = seen.iter().map(|(_, sigma)| *sigma).collect();
            assert_eq!(visited, sampler.visited_sigmas(&sigmas)[..visited.len()], "{sampler:?}");
            assert_eq!(visited.len() + 1, sampler.visited_sigmas(&sigmas).len(), "{sampler:?}");
            assert_eq!(calls, sampler.model_calls(3), "{sampler:?}");
        }
    }
}

#[test]
fn a_break_stops_and_a_failure_is_passed_on() {
    for sampler in Sampler::ALL {
        let run = |model: &mut dyn Denoiser, observe: &mut Observer<'_>| {
            let noise = &mut NoiseStreams::new(0, 1);
            sample(sampler, &OWN, model, start(5.0), &[5.0, 0.0], noise, observe)
        };
        let halt = run(&mut gaussian, &mut |_| ControlFlow::Break(()));
        assert_eq!(halt, Err(EngineError::Stopped));

        let failure = EngineError::Failed("The device was lost".into());
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

#[test]
fn a_picture_of_a_batch_is_the_same_picture_alone() {
    let sigmas = [5.0, 2.0, 0.5, 0.1, 0.0];
    let run = |sampler, seed, batch| {
        let mut noise = NoiseStreams::new(seed, batch);
        let x = noise.draw([batch, 4, 2, 2]).scale(sigmas[0]);
        let keep_on = &mut |_: Step<'_>| ControlFlow::Continue(());
        sample(sampler, &OWN, &mut gaussian, x, &sigmas, &mut noise, keep_on).expect("nobody stops it")
    };
    for sampler in Sampler::ALL.into_iter().filter(|sampler| !sampler.is_adaptive()) {
        assert_eq!(run(sampler, 10, 3).picture(2), run(sampler, 12, 1).picture(0), "{sampler:?}");
    }
}

#[test]
fn without_fresh_noise_ancestral_samplers_are_their_plain_siblings() {
    let sigmas = [10.0, 4.0, 1.5, 0.4, 0.1, 0.0];
    let options = SamplerOptions { eta: Some(0.0), ..OWN };
    for (sampler, sibling) in [
        (Sampler::EulerAncestral, Sampler::Euler),
        (Sampler::Dpm2Ancestral, Sampler::Dpm2),
        (Sampler::DpmPp2mSde, Sampler::DpmPp2m),
        (Sampler::DpmPpSde, Sampler::DpmPp2sAncestral),
    ] {
        let run = |sampler| {
            let noise = &mut NoiseStreams::new(0, 1);
            let keep_on = &mut |_: Step<'_>| ControlFlow::Continue(());
            sample(sampler, &options, &mut gaussian, start(10.0), &sigmas, noise, keep_on)
                .expect("nobody stops it")
        };
        let guidance_delta = largest_difference(&run(sampler), &run(sibling));
        assert!(guidance_delta < 1e-5, "{sampler:?} is {guidance_delta} from {sibling:?}");
    }
}

#[test]
fn noise_is_drawn_only_by_those_who_say_so() {
    let sigmas = [5.0, 2.0, 0.5, 0.0];
    for sampler in Sampler::ALL {
        let mut noise = NoiseStreams::new(0, 1);
        let keep_on = &mut |_: Step<'_>| ControlFlow::Continue(());
        let end = sample(sampler, &OWN, &mut gaussian, start(5.0), &sigmas, &mut noise, keep_on);
        assert!(end.is_ok());
        let untouched = noise.draw(SHAPE) == NoiseStreams::new(0, 1).draw(SHAPE);
        assert_eq!(untouched, !sampler.is_stochastic(), "{sampler:?}");
    }
}
