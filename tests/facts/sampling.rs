//! Noise, sigmas, timesteps and samplers against PyTorch, diffusers and k-diffusion.
//!
//! The numbers were written down by `tests/golden/make.py`.

use std::ops::ControlFlow;

use engine::checkpoint::SchedulerConfig;
use engine::diffusion::{
    BetaSchedule, Latents, NoiseSchedule, NoiseSource, NoiseStreams, NvidiaGenerator, SampleArgs, Sampler,
    SamplerOptions, Schedule, ScheduleOptions, TorchGenerator, sample,
};
use engine::recipe::Recipe;

use crate::support::numbers::{Golden, assert_close};

const SEEDS: [u64; 3] = [0, 32, (1 << 32) + 5];
const STEPS: [usize; 7] = [1, 2, 10, 15, 20, 30, 50];

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
fn nvidias_noise_is_that_of_philox_done_by_hand() {
    let golden = Golden::open("nvidia-noise.safetensors");
    for seed in SEEDS.into_iter().chain([u64::MAX]) {
        let mut generator = NvidiaGenerator::new(seed);
        let mut streams = NoiseStreams::of(NoiseSource::Nvidia, seed, 1);
        for draw in 0..3 {
            let name = format!("seed{seed}.{draw}");
            let theirs = golden.get(&name);
            assert_same_bits(&name, &generator.randn(256), &theirs);
            assert_same_bits(&name, &streams.draw([1, 4, 8, 8]).data, &theirs);
        }
    }
}

#[test]
fn a_run_starts_where_the_reference_pipeline_starts() {
    let golden = Golden::open("demo-trajectories.safetensors");
    for (run, schedule, batch) in [
        ("text2img.euler.lesson", Schedule::Linspace, 1),
        ("text2img.euler.karras", Schedule::Karras, 1),
        ("text2img.euler-a.lesson.batch2", Schedule::Linspace, 2),
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
    assert!(ours.is_valid());
    assert_close("cosine_train_sigmas", &ours.training_sigmas, &theirs, 1e-5, 0.0);
}

#[test]
fn other_betas_give_the_training_sigmas_of_diffusers() {
    let golden = Golden::open("options.safetensors");
    for (name, kind, start, end, steps) in [
        ("scaled_linear.0.0001.0.02.500", BetaSchedule::ScaledLinear, 0.0001, 0.02, 500),
        ("linear.0.00085.0.012.1000", BetaSchedule::Linear, 0.00085, 0.012, 1000),
        ("linear.0.0001.0.02.400", BetaSchedule::Linear, 0.0001, 0.02, 400),
        ("squaredcos_cap_v2.0.00085.0.012.300", BetaSchedule::Cosine, 0.00085, 0.012, 300),
    ] {
        let options = ScheduleOptions {
            beta_start: Some(start),
            beta_end: Some(end),
            beta_kind: Some(kind),
            train_steps: Some(steps),
            rho: None,
        };
        let recipe = Recipe { schedule_options: options, ..Recipe::default() };
        let ours = recipe.noise_schedule(&SchedulerConfig::default()).expect("sound betas");
        let theirs = golden.get(&format!("train_sigmas.{name}"));
        // 1 - abar loses four digits in f32, here and there.
        assert_close(name, &ours.training_sigmas, &theirs, 1e-5, 0.0);
    }
}

#[test]
fn default_options_leave_files_as_they_were() {
    let json = serde_json::to_value(Recipe::default()).expect("a recipe is JSON");
    for field in ["sampler_options", "schedule_options", "noise"] {
        assert!(json.get(field).is_none(), "{field}");
    }
    let mut recipe = Recipe::default();
    recipe.sampler_options.eta = Some(0.25);
    recipe.schedule_options.beta_end = Some(0.015);
    recipe.noise = NoiseSource::Nvidia;
    let json = serde_json::to_string(&recipe).expect("a recipe is JSON");
    assert!(json.contains(r#""sampler_options":{"eta":0.25}"#), "{json}");
    assert_eq!(serde_json::from_str::<Recipe>(&json).ok(), Some(recipe));
}

#[test]
fn another_rho_gives_the_sigmas_of_k_diffusion() {
    let golden = Golden::open("options.safetensors");
    let rhos = [1.0, 3.0, 12.0].map(|rho| (Schedule::Karras, rho));
    for (schedule, rho) in rhos.into_iter().chain([0.5, 2.0].map(|rho| (Schedule::Polyexponential, rho))) {
        let name = format!("{}.rho{rho:?}.10.sigmas", schedule.name());
        let ours = schedule.sigmas_with_rho(Some(rho), 10, &stable_diffusion());
        assert_close(&name, &ours, &golden.get(&name), 2e-6, 0.0);
    }
}

#[test]
fn schedules_visit_the_sigmas_and_timesteps_of_the_references() {
    let golden = Golden::open("schedules.safetensors");
    let noise = stable_diffusion();
    for schedule in [Schedule::Linspace, Schedule::Karras] {
        for steps in STEPS {
            let name = format!("{}.{steps}", schedule.name());
            let sigmas = golden.get(&format!("{name}.sigmas"));
            assert_close(&name, &schedule.sigmas(steps, &noise), &sigmas, 1e-6, 0.0);

            let ours = schedule.timesteps(steps, &noise);
            assert_close(&name, &ours, &golden.get(&format!("{name}.timesteps")), 0.0, 2e-3);
            if schedule == Schedule::Linspace {
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
            if schedule != Schedule::Linspace {
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
    let args = SampleArgs {
        sampler: Sampler::Lms,
        options: SamplerOptions::default(),
        model: &mut unit_derivatives,
        sigmas,
        noise: &mut NoiseStreams::new(0, 1),
        observe: &mut |step| {
            entered.push(step.x.data.clone());
            ControlFlow::Continue(())
        },
    };
    let last = sample(args, x);
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
    for schedule in [Schedule::Linspace, Schedule::Karras] {
        for steps in STEPS {
            let name = format!("{}.{steps}", schedule.name());
            let sigmas = golden.get(&format!("{name}.sigmas"));
            let theirs = golden.get(&format!("{name}.lms_f64"));
            // Reading them off sums up to about 15 loses the digits of the small ones.
            assert_close(&name, &lms_coefficients(&sigmas), &theirs, 1e-5, 5e-6);
        }
    }
}

#[test]
fn a_name_in_a_file_is_the_name_on_the_command_line() {
    for sampler in Sampler::ALL {
        assert_eq!(serde_json::to_value(sampler).ok(), Some(sampler.name().into()));
    }
    for schedule in Schedule::ALL {
        assert_eq!(serde_json::to_value(schedule).ok(), Some(schedule.name().into()));
    }
    for noise in NoiseSource::ALL {
        assert_eq!(serde_json::to_value(noise).ok(), Some(noise.name().into()));
    }
}
