//! Noise, sigmas, timesteps and samplers against PyTorch, diffusers and k-diffusion.
//!
//! The numbers were written down by `tests/golden/make.py`.

use std::ops::ControlFlow;

use crate::golden::Golden;
use engine::diffusion::{
    BetaSchedule, Denoiser, Halt, Latents, NoiseSchedule, NoiseStreams, Sampler, Schedule, TorchGenerator,
    sample,
};

const SEEDS: [u64; 3] = [0, 32, (1 << 32) + 5];
const STEPS: [usize; 7] = [1, 2, 10, 15, 20, 30, 50];

#[track_caller]
fn assert_close(what: &str, ours: &[f32], theirs: &[f32], relative: f32, absolute: f32) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (i, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        let tolerance = relative * theirs.abs() + absolute;
        assert!((ours - theirs).abs() <= tolerance, "{what}[{i}]: {ours} is not {theirs}");
    }
}

/// The same to the last bit, and to the sign of a zero.
#[track_caller]
fn assert_same_bits(what: &str, ours: &[f32], theirs: &[f32]) {
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(ours), bits(theirs), "{what}: {ours:?} is not {theirs:?}");
}

fn stable_diffusion() -> NoiseSchedule {
    NoiseSchedule::scaled_linear(0.00085, 0.012, 1000)
}

#[test]
fn noise_is_pytorchs_bit_for_bit() {
    let golden = Golden::open("noise.safetensors");
    let check = |name: &str, ours: &[f32]| {
        let thinned: Vec<f32> = ours.iter().copied().step_by(97).collect();
        assert_same_bits(name, &ours[..32], &golden.get(&format!("{name}.first")));
        assert_same_bits(name, &thinned, &golden.get(&format!("{name}.subset")));
    };
    let (square, small, odd) = (4 * 64 * 64, 4 * 16 * 16, 3 * 4 * 9 * 13);
    for seed in SEEDS {
        for (shape, n) in [("1x4x64x64", square), ("1x4x16x16", small), ("3x4x9x13", odd)] {
            check(&format!("seed{seed}.{shape}"), &TorchGenerator::new(seed).randn(n));
        }
    }
    let mut generator = TorchGenerator::new(32);
    for (draw, n) in [small, odd, small].into_iter().enumerate() {
        check(&format!("continued.{draw}"), &generator.randn(n));
    }
}

#[test]
fn short_draws_keep_the_second_of_a_pair_for_the_next() {
    let golden = Golden::open("noise.safetensors");
    let mut generator = TorchGenerator::new(0);
    for (draw, n) in [5, 16, 5, 15].into_iter().enumerate() {
        let name = format!("few.{draw}.n{n}");
        assert_same_bits(&name, &generator.randn(n), &golden.get(&name));
    }
    for n in [5, 15] {
        let name = format!("few.fresh.n{n}");
        assert_same_bits(&name, &TorchGenerator::new(0).randn(n), &golden.get(&name));
    }
}

#[test]
fn a_run_starts_where_the_reference_pipeline_starts() {
    let golden = Golden::open("demo-trajectories.safetensors");
    for (run, schedule, batch) in [
        ("text2img.euler.lesson", Schedule::Lesson, 1),
        ("text2img.euler.karras", Schedule::Karras, 1),
        ("text2img.euler-a.lesson.batch2", Schedule::Lesson, 2),
    ] {
        let sigma = schedule.sigmas(10, &stable_diffusion())[0];
        let ours = NoiseStreams::new(32, batch).draw([batch, 4, 16, 16]).scale(sigma);
        let theirs = golden.get(&format!("{run}.x"));
        assert_close(run, &ours.data, &theirs[..ours.data.len()], 1e-6, 0.0);
    }
}

#[test]
fn training_sigmas_are_those_of_diffusers() {
    let theirs = Golden::open("schedules.safetensors").get("train_sigmas");
    assert_close("train_sigmas", &stable_diffusion().training_sigmas, &theirs, 1.5e-7, 0.0);
}

#[test]
fn cosine_training_sigmas_are_those_of_diffusers() {
    let theirs = Golden::open("analytic.safetensors").get("cosine_train_sigmas");
    let ours = NoiseSchedule::new(BetaSchedule::Cosine, 0.0, 0.0, 1000);
    assert!(ours.is_sound());
    assert_close("cosine_train_sigmas", &ours.training_sigmas, &theirs, 1e-5, 0.0);
}

#[test]
fn schedules_visit_the_sigmas_and_timesteps_of_the_references() {
    let golden = Golden::open("schedules.safetensors");
    let noise = stable_diffusion();
    for schedule in [Schedule::Lesson, Schedule::Karras] {
        for steps in STEPS {
            let name = format!("{}.{steps}", schedule.name());
            let sigmas = golden.get(&format!("{name}.sigmas"));
            assert_close(&name, &schedule.sigmas(steps, &noise), &sigmas, 1e-6, 0.0);

            let ours = schedule.timesteps(steps, &noise);
            assert_close(&name, &ours, &golden.get(&format!("{name}.timesteps")), 0.0, 2e-3);
            if schedule == Schedule::Lesson {
                let theirs = golden.get(&format!("{name}.diffusers_timesteps"));
                assert_close(&name, &ours, &theirs, 0.0, 2e-3);
            }
        }
    }
}

#[test]
fn every_schedule_is_that_of_its_double_precision_reference() {
    let golden = Golden::open("analytic.safetensors");
    let noise = stable_diffusion();
    for schedule in Schedule::ALL {
        for steps in STEPS.into_iter().chain([38]) {
            let name = format!("{}.{steps}", schedule.name());
            let sigmas = golden.get(&format!("{name}.sigmas"));
            assert_close(&name, &schedule.sigmas(steps, &noise), &sigmas, 1e-6, 0.0);
            if schedule != Schedule::Lesson {
                let timesteps = golden.get(&format!("{name}.timesteps"));
                assert_close(&name, &schedule.timesteps(steps, &noise), &timesteps, 0.0, 2e-3);
            }
        }
    }
}

/// Gives LMS a derivative that is 1 in channel `index` of step `index` and 0 elsewhere, so that the
/// coefficients can be read off the steps it takes.
fn lms_coefficients(sigmas: &[f32]) -> Vec<f32> {
    let steps = sigmas.len() - 1;
    let mut index = 0;
    let mut unit_derivatives = |x: &Latents, sigma: f32| {
        let mut denoised = x.clone();
        denoised.data[index] -= sigma;
        index += 1;
        Ok(denoised)
    };
    let mut entered = Vec::new();
    let x = Latents::zeros([1, steps, 1, 1]);
    let noise = &mut NoiseStreams::new(0, 1);
    let last = sample(Sampler::Lms, &mut unit_derivatives, x, sigmas, noise, &mut |step| {
        entered.push(step.x.data.clone());
        ControlFlow::Continue(())
    });
    entered.push(last.expect("nobody stops it").data);

    let mut table = Vec::new();
    for (step, pair) in entered.windows(2).enumerate() {
        let moved = |channel: usize| pair[1][channel] - pair[0][channel];
        table.extend((0..4).map(|back| step.checked_sub(back).map_or(0.0, moved)));
    }
    table
}

#[test]
fn lms_weighs_derivatives_as_k_diffusion_does() {
    let golden = Golden::open("schedules.safetensors");
    for schedule in [Schedule::Lesson, Schedule::Karras] {
        for steps in STEPS {
            let name = format!("{}.{steps}", schedule.name());
            let sigmas = golden.get(&format!("{name}.sigmas"));
            let theirs = golden.get(&format!("{name}.lms_f64"));
            // Reading them off sums up to about 15 loses the digits of the small ones.
            assert_close(&name, &lms_coefficients(&sigmas), &theirs, 1e-5, 5e-6);
        }
    }
}

/// The perfect denoiser of pictures whose every number is drawn from one Gaussian mixture: the one of
/// `tests/golden/analytic.py`.
fn mixture(x: &Latents, sigma: f32) -> Result<Latents, Halt> {
    Ok(x.zip_with(x, |x, _| posterior_mean(x.into(), sigma.into()) as f32))
}

fn posterior_mean(x: f64, sigma: f64) -> f64 {
    const WEIGHTS_MEANS_STDS: [[f64; 3]; 3] = [[0.5, -1.0, 0.3], [0.3, 0.4, 0.2], [0.2, 1.5, 0.4]];
    let (mut sum, mut total) = (0.0, 0.0);
    for [weight, mean, std] in WEIGHTS_MEANS_STDS {
        let variance = std * std + sigma * sigma;
        let offset = x - mean;
        let share = weight / variance.sqrt() * (-offset * offset / (2.0 * variance)).exp();
        sum += share * (mean + std * std / variance * offset);
        total += share;
    }
    sum / total
}

fn run_on_the_mixture(sampler: Sampler, sigmas: &[f32]) -> Vec<f32> {
    let mut noise = NoiseStreams::new(32, 1);
    let x = noise.draw([1, 4, 4, 4]).scale(sigmas[0]);
    let model: &mut dyn Denoiser = &mut mixture;
    let end = sample(sampler, model, x, sigmas, &mut noise, &mut |_| ControlFlow::Continue(()));
    end.expect("nobody stops it").data
}

#[test]
fn a_name_in_a_file_is_the_name_on_the_command_line() {
    for sampler in Sampler::ALL {
        assert_eq!(serde_json::to_value(sampler).ok(), Some(sampler.name().into()));
    }
    for schedule in Schedule::ALL {
        assert_eq!(serde_json::to_value(schedule).ok(), Some(schedule.name().into()));
    }
}

#[test]
fn every_sampler_on_every_schedule_ends_where_its_reference_does() {
    let golden = Golden::open("analytic.safetensors");
    for schedule in Schedule::ALL {
        let sigmas = golden.get(&format!("{}.10.sigmas", schedule.name()));
        for sampler in Sampler::ALL {
            let name = format!("{}.{}", sampler.name(), schedule.name());
            assert_close(&name, &run_on_the_mixture(sampler, &sigmas), &golden.get(&name), 1e-4, 2e-6);
        }
    }
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

#[test]
fn twice_the_steps_divide_the_error_by_two_to_the_order_of_the_sampler() {
    let (from, to) = (8.0, 1.0f32);
    let start = NoiseStreams::new(32, 1).draw([1, 4, 4, 4]).scale(from);
    let exact: Vec<f32> = start.data.iter().map(|&x| solution(x, from.into(), to.into())).collect();
    let error = |sampler, steps: u16| {
        // The first steps are short, so that multistep samplers have a history before it matters.
        let sigma = |i| from * (to / from).powf((f32::from(i) / f32::from(steps)).powi(2));
        let sigmas: Vec<f32> = (0..=steps).map(sigma).collect();
        let squares =
            run_on_the_mixture(sampler, &sigmas).into_iter().zip(&exact).map(|(a, b)| (a - b).powi(2));
        squares.sum::<f32>().sqrt()
    };
    for (sampler, order) in [
        (Sampler::Euler, 1.0),
        (Sampler::Ddim, 1.0),
        (Sampler::Heun, 2.0),
        (Sampler::Dpm2, 2.0),
        (Sampler::DpmPp2m, 2.0),
        (Sampler::UniPc, 3.0), // the correction adds one
        (Sampler::Lms, 4.0),
    ] {
        let measured = (error(sampler, 40) / error(sampler, 80)).log2();
        println!("{} is of order {measured:.2}", sampler.label());
        assert!((measured - order).abs() < 0.3, "{} is of order {measured}, not {order}", sampler.label());
    }
}
