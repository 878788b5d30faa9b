//! Samplers and their options against k-diffusion, diffusers and `torch.optim`, on a denoiser in closed form.
//!
//! The numbers were written down by `tests/golden/analytic.py`.

use std::ops::ControlFlow;

use engine::diffusion::{
    NoiseStreams, SampleArgs, Sampler, SamplerOption, SamplerOptions, Schedule, denoise_mixture,
    measured_order, sample,
};
use engine::pipeline::StopFlag;
use engine::recipe::{Recipe, RecordedRun};

use crate::support::models::pipeline;
use crate::support::numbers::{Golden, assert_close, assert_near};

/// The end of a run, and the noise levels that it visited.
fn run(sampler: Sampler, options: &SamplerOptions, sigmas: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let mut noise = NoiseStreams::new(32, 1);
    let x = noise.draw([1, 4, 4, 4]).scale(sigmas[0]);
    let mut visited = Vec::new();
    let args = SampleArgs {
        sampler,
        options: *options,
        model: &mut denoise_mixture,
        sigmas,
        noise: &mut noise,
        observe: &mut |step| {
            visited.push(step.sigma);
            ControlFlow::Continue(())
        },
    };
    let end = sample(args, x);
    (end.expect("nobody stops it").data, visited)
}

fn sigmas_of(schedule: Schedule) -> Vec<f32> {
    Golden::open("analytic.safetensors").get(&format!("{}.10.sigmas", schedule.name()))
}

#[track_caller]
fn check(golden: &Golden, name: &str, sampler: Sampler, options: &SamplerOptions, sigmas: &[f32]) {
    let (end, visited) = run(sampler, options, sigmas);
    // Without fresh noise the error of its first steps is the difference of nearly equal numbers, and it
    // determines the length of the next ones: k-diffusion itself ends 4e-3 apart in f32 and f64.
    let loose = sampler == Sampler::DpmAdaptive && options.eta.is_none();
    let (tolerance, of_sigmas) = if loose { (5e-3, 1e-3) } else { (1e-4, 1e-4) };
    if sampler.visited_sigmas(sigmas) != sigmas || sampler.is_adaptive() {
        let theirs = golden.get(&format!("{name}.visited"));
        assert_close(&format!("{name}, visited"), &visited, &theirs, of_sigmas, 0.0);
    } else {
        assert_eq!(visited, sigmas[..10], "{name}");
    }
    assert_close(name, &end, &golden.get(name), tolerance, 2e-6);
}

#[test]
fn every_sampler_on_every_schedule_ends_where_its_reference_does() {
    let golden = Golden::open("analytic.safetensors");
    for schedule in Schedule::ALL {
        for sampler in Sampler::ALL {
            let name = format!("{}.{}", sampler.name(), schedule.name());
            check(&golden, &name, sampler, &SamplerOptions::default(), &sigmas_of(schedule));
        }
    }
}

#[test]
fn every_sampler_takes_its_eta_and_its_order_as_the_reference_does() {
    let golden = Golden::open("options.safetensors");
    for schedule in [Schedule::Linspace, Schedule::Karras] {
        let sigmas = sigmas_of(schedule);
        for sampler in Sampler::ALL {
            let etas: &[f32] = match sampler.default_of(SamplerOption::Eta) {
                Some(1.0) => &[0.0, 0.5],
                Some(_) => &[0.5, 1.0],
                None => &[],
            };
            for &eta in etas {
                let name = format!("{}.{}.eta{eta:?}", sampler.name(), schedule.name());
                let options = SamplerOptions { eta: Some(eta), ..SamplerOptions::default() };
                check(&golden, &name, sampler, &options, &sigmas);
            }
        }
        for order in 1..=4u8 {
            let name = format!("lms.{}.order{order}", schedule.name());
            let options = SamplerOptions { order: Some(order.into()), ..SamplerOptions::default() };
            check(&golden, &name, Sampler::Lms, &options, &sigmas);
        }
    }
}

#[test]
fn optimisers_take_the_steps_of_torch_optim() {
    let golden = Golden::open("options.safetensors");
    let own = SamplerOptions::default();
    let rate = SamplerOptions { learning_rate: Some(0.15), momentum: Some(0.4), ..own };
    for (sampler, name, options) in [
        (Sampler::Sgd, "learning-rate0.15.momentum0.4", rate),
        (Sampler::Sgd, "weight-decay0.05", SamplerOptions { weight_decay: Some(0.05), ..own }),
        (Sampler::Adam, "momentum0.9", SamplerOptions { momentum: Some(0.9), ..own }),
        (Sampler::Adam, "weight-decay0.05", SamplerOptions { weight_decay: Some(0.05), ..own }),
        (Sampler::AdamW, "weight-decay0.005", SamplerOptions { weight_decay: Some(0.005), ..own }),
        (Sampler::Sgd, "stop-below1", SamplerOptions { stop_below: Some(1.0), ..own }),
    ] {
        let name = format!("{}.lesson.{name}", sampler.name());
        check(&golden, &name, sampler, &options, &sigmas_of(Schedule::Linspace));
    }
}

#[test]
fn on_the_built_in_model_every_sampler_ends_where_its_reference_does() {
    let golden = Golden::open("demo-samplers.safetensors");
    let pipeline = pipeline("demo");
    for sampler in Sampler::ALL {
        let recipe =
            Recipe { prompt: "a large fox in the snow".into(), steps: 10, sampler, ..Recipe::default() };
        let made = pipeline.generate(&recipe, &StopFlag::default(), &mut |_| ()).expect("a picture");
        assert_near(sampler.name(), &made.latents.data, &golden.get(sampler.name()), 1, 5e-3);
    }
}

/// Root mean square of the difference.
fn apart(ours: &[f32], theirs: &[f32]) -> f32 {
    let squares: f32 = ours.iter().zip(theirs).map(|(a, b)| (a - b).powi(2)).sum();
    (squares / ours.len() as f32).sqrt()
}

#[test]
fn optimisers_make_the_picture_of_fifty_steps_in_fifteen_or_less() {
    let pipeline = pipeline("demo");
    let latents = |prompt: &str, sampler, steps, stop_below| {
        let sampler_options = SamplerOptions { stop_below, ..SamplerOptions::default() };
        let recipe = Recipe { prompt: prompt.into(), steps, sampler, sampler_options, ..Recipe::default() };
        let mut run = RecordedRun::default();
        let made =
            pipeline.generate_from(&mut run, &recipe, &StopFlag::default(), &mut |_| ()).expect("a picture");
        (made.latents.data, run.trajectory.steps.len())
    };
    for prompt in ["an owl", "a red boat"] {
        let euler = |steps| latents(prompt, Sampler::Euler, steps, None).0;
        let picture = euler(50);
        let rough = apart(&euler(4), &picture);
        for sampler in [Sampler::Sgd, Sampler::Adam, Sampler::AdamW] {
            let (made, steps) = latents(prompt, sampler, 15, None);
            let off = apart(&made, &picture);
            assert!(off < rough / 2.0, "{prompt}: {sampler:?} is {off} off, four Euler steps {rough}");
            let (early, fewer) = latents(prompt, sampler, 15, Some(0.6));
            let off = apart(&early, &picture);
            assert!(fewer < steps, "{sampler:?} stops after {fewer} of {steps} steps");
            assert!(off < rough, "{prompt}: {sampler:?}, stopped early, is {off} off, not {rough}");
        }
    }
}

#[test]
fn an_optimiser_stops_when_little_noise_is_predicted() {
    let sigmas =
        Schedule::Normal.sigmas(1000, &engine::checkpoint::SchedulerConfig::default().noise_schedule());
    for sampler in [Sampler::Sgd, Sampler::Adam, Sampler::AdamW] {
        let steps = |stop_below| {
            let options = SamplerOptions { stop_below: Some(stop_below), ..SamplerOptions::default() };
            run(sampler, &options, &sigmas).1.len()
        };
        let (early, late) = (steps(1.0), steps(0.1));
        assert!(2 < early && early < late && late < 100, "{sampler:?} takes {early} and {late} steps");
    }
}

#[test]
fn twice_the_steps_divide_the_error_by_two_to_the_order_of_the_sampler() {
    for sampler in Sampler::ALL {
        let orders = if sampler == Sampler::Lms { 1..=4u8 } else { 4..=4 };
        for order in orders {
            let options = SamplerOptions { order: Some(order.into()), ..SamplerOptions::default() };
            let Some(order) = sampler.order(&options) else { continue };
            let measured = measured_order(sampler, &options);
            println!("{} is of order {measured:.2}, by theory {order}", sampler.label());
            assert!(
                (measured - order).abs() < 0.3,
                "{} is of order {measured}, not {order}",
                sampler.label()
            );
        }
    }
}
