//! Whole runs, prompt to latents, against diffusers' networks under k-diffusion's samplers.

use std::path::Path;

use engine::diffusion::{Sampler, Schedule, Trajectory};
use engine::pipeline::StopFlag;
use engine::pipeline::{Generated, Pipeline};
use engine::recipe::{Guidance, Recipe, RecordedRun, Start, strength_of};
use serde_json::Value;

use crate::support::models::{MODELS, pipeline};
use crate::support::numbers::{Golden, assert_near, notes};

/// Measured: within 2e-5 of the largest latent. Ten steps at guidance 7.5 amplify every difference before
/// them.
const TOLERANCE: f32 = 2e-4;

/// The start picture of the references, from its formula.
fn write_start_picture(path: &Path, width: u32, height: u32) {
    let picture = image::RgbImage::from_fn(width, height, |x, y| {
        let red = 255 * x / (width - 1);
        let green = 255 * y / (height - 1);
        let blue = 255 - (red + green) / 2;
        let blue = if (x / 16 + y / 16) % 2 == 1 { 255 - blue } else { blue };
        image::Rgb([red as u8, green as u8, blue as u8])
    });
    picture.save(path).expect("a folder to write in");
}

fn run(pipeline: &Pipeline, recipe: &Recipe) -> (Generated, Trajectory) {
    let mut run = RecordedRun::default();
    let made = pipeline.generate_from(&mut run, recipe, &StopFlag::default(), &mut |_| ());
    (made.expect("a picture"), run.trajectory)
}

#[test]
fn every_run_ends_in_the_references_latents() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for model in MODELS {
        let golden = Golden::open(&format!("{model}-trajectories.safetensors"));
        let notes = notes(&format!("{model}-trajectories.json"));
        let number = |name: &str| notes[name].as_u64().expect(name) as u32;
        let pipeline = pipeline(model);
        let factor = pipeline.info().vae_factor;
        let (width, height) = (number("latent_width") * factor, number("latent_height") * factor);
        let start = folder.path().join(format!("{model}.png"));
        write_start_picture(&start, width, height);

        let mut checked = 0;
        for name in notes["tensors"].as_object().expect("tensors").keys() {
            let parts: Vec<&str> = name.split('.').collect();
            let [mode, sampler, schedule, .., "latents"] = parts[..] else { continue };
            let recipe = Recipe {
                prompt: notes["settings"]["prompt"].as_str().expect("a prompt").into(),
                width,
                height,
                seed: 32,
                batch: if parts.contains(&"batch2") { 2 } else { 1 },
                steps: 10,
                sampler: Sampler::from_name(sampler).expect("a sampler"),
                schedule: Schedule::from_name(schedule).expect("a schedule"),
                guidance: Guidance { cfg_scale: 7.5 },
                start: match mode {
                    "img2img" => {
                        Start::Image { path: start.clone(), strength: strength_of(number("start_step"), 10) }
                    }
                    _ => Start::Noise,
                },
                ..Recipe::default()
            };
            let (made, trajectory) = run(&pipeline, &recipe);
            let what = format!("{model} {name}");
            assert_near(&what, &made.latents.data, &golden.get(name), 1, TOLERANCE);
            // Every step on the way, not only its end.
            let x: Vec<f32> = trajectory.steps.iter().flat_map(|step| step.x.data.iter().copied()).collect();
            assert_near(&what, &x, &golden.get(&name.replace(".latents", ".x")), 1, TOLERANCE);
            if name == "text2img.euler.lesson.latents" {
                let picture = "text2img.euler.lesson.image";
                let stride = notes["tensors"][picture]["stride"].as_u64().expect("a stride") as usize;
                assert_near(picture, &made.image.data, &golden.get(picture), stride, TOLERANCE);
            }
            checked += 1;
        }
        assert!(checked >= 10, "{model} has {checked} runs");
    }
}

#[test]
fn the_picture_is_that_of_diffusers_own_pipeline() {
    let (golden, notes) = (Golden::open("demo-trajectories.safetensors"), notes("demo-trajectories.json"));
    let recipe = Recipe {
        prompt: notes["settings"]["prompt"].as_str().expect("a prompt").into(),
        steps: 10,
        ..Recipe::default()
    };
    let (made, _) = run(&pipeline("demo"), &recipe);
    let stride = notes["tensors"]["diffusers.image"]["stride"].as_u64().expect("a stride") as usize;
    let theirs = golden.get("diffusers.image");
    let ours: Vec<f32> = made.image.data.into_iter().step_by(stride).collect();
    assert_eq!(ours.len(), theirs.len());
    let squares =
        ours.iter().zip(&theirs).map(|(ours, theirs)| f64::from(ours - theirs).powi(2)).sum::<f64>();
    let decibels = -10.0 * (squares / ours.len() as f64).log10();
    assert!(decibels >= 40.0, "{decibels:.1} dB");
}

#[test]
fn a_picture_of_a_batch_is_the_same_picture_alone() {
    let pipeline = pipeline("demo");
    let together = Recipe { batch: 3, steps: 4, sampler: Sampler::EulerAncestral, ..Recipe::default() };
    let (made, _) = run(&pipeline, &together);
    for index in 0..3 {
        let (alone, _) = run(&pipeline, &together.of_picture(index));
        let picture = made.latents.picture(index as usize);
        assert_near(&format!("picture {index}"), &alone.latents.data, picture, 1, 1e-5);
    }
}

#[test]
fn guidance_of_one_asks_the_model_for_the_prompt_alone() {
    let pipeline = pipeline("demo");
    let recipe = Recipe { steps: 3, guidance: Guidance { cfg_scale: 1.0 }, ..Recipe::default() };
    let (made, _) = run(&pipeline, &recipe);
    assert!(made.uncond.is_none());
    // A scale that differs from 1 by rounding takes the other way to the same latents.
    let nearly = Recipe { guidance: Guidance { cfg_scale: 1.000_000_1 }, ..recipe };
    assert_near("latents", &run(&pipeline, &nearly).0.latents.data, &made.latents.data, 1, 1e-4);
}

#[test]
fn sides_that_are_not_powers_of_two_work() {
    let pipeline = pipeline("demo");
    for (width, height) in [(72, 136), (8, 8), (200, 64)] {
        let (made, _) = run(&pipeline, &Recipe { width, height, steps: 1, ..Recipe::default() });
        assert_eq!((made.pictures[0].width, made.pictures[0].height), (width, height));
    }
}

#[test]
fn start_step_and_strength_are_one_number() {
    for steps in [1, 7, 10, 20, 30, 50, 1000] {
        for start_step in 0..steps {
            let start = Start::Image { path: "x.png".into(), strength: strength_of(start_step, steps) };
            let recipe = Recipe { steps, start, ..Recipe::default() };
            assert_eq!(recipe.start_step(), start_step, "{start_step} of {steps}");
        }
    }
    assert_eq!(notes("demo-trajectories.json")["start_step"], Value::from(4));
}
