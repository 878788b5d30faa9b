//! Painting on a step, and the branch that continues from it.

use engine::diffusion::{Latents, NoiseStreams, Sampler, Schedule};
use engine::images::{Pixels, Provenance};
use engine::losses::Mask;
use engine::paint::{FreshNoise, Layer, Paint};
use engine::pipeline::{GenerateError, Generated, Pipeline, Progress, StopFlag};
use engine::recipe::{Recipe, RecipeError, RecordedRun};

use crate::support::models::{MODELS, pipeline};

const STEPS: u32 = 6;

fn recipe(pipeline: &Pipeline, sampler: Sampler) -> Recipe {
    let side = pipeline.info().vae_factor * 8;
    Recipe {
        prompt: "a lighthouse".into(),
        width: side,
        height: side,
        steps: STEPS,
        sampler,
        ..Recipe::default()
    }
}

fn run(pipeline: &Pipeline, recipe: &Recipe) -> (Generated, RecordedRun) {
    go_on(pipeline, recipe, RecordedRun::default())
}

fn go_on(pipeline: &Pipeline, recipe: &Recipe, mut run: RecordedRun) -> (Generated, RecordedRun) {
    let made = pipeline.generate_from(&mut run, recipe, &StopFlag::default(), &mut |_| ());
    (made.expect("a picture"), run)
}

/// A disc of a colour; `center` and `radius` are parts of the side.
fn disc(side: u32, center: [f32; 2], radius: f32, color: [u8; 3]) -> Layer {
    let mut rgba = Vec::new();
    for at in 0..side * side {
        let [x, y] = [at % side, at / side].map(|at| (at as f32 + 0.5) / side as f32);
        let inside = (x - center[0]).hypot(y - center[1]) < radius;
        rgba.extend([color[0], color[1], color[2], if inside { 255 } else { 0 }]);
    }
    Layer::new(side, side, rgba)
}

fn of_layer(layer: Layer) -> Option<Paint> {
    Some(Paint { layer: Some(layer), ..Paint::default() })
}

/// White on the left half.
fn left_half(side: u32) -> Mask {
    Mask::new(
        side,
        side,
        (0..side * side).map(|at| if at % side < side / 2 { 255 } else { 0 }).collect::<Vec<u8>>(),
    )
}

#[test]
fn an_unpainted_branch_is_the_run_itself() {
    let from = Recipe { prompt: "a fox".into(), ..Recipe::default() };
    let nothing = Layer::new(2, 2, [7, 7, 7, 0].repeat(4));
    let nowhere = FreshNoise { mask: Mask::new(2, 2, vec![0; 4]), seed: 1 };
    for paint in
        [None, Some(Paint::default()), Some(Paint { layer: Some(nothing), noise: Some(nowhere), hold: 1.0 })]
    {
        assert_eq!(from.clone().branching_painted(&from, 3, paint), from);
    }
}

#[test]
fn latents_far_from_the_paint_are_bit_for_bit_those_of_the_run() {
    let pipeline = pipeline(MODELS[1]);
    for sampler in Sampler::ALL {
        let from = recipe(&pipeline, sampler);
        let (unpainted, parent) = run(&pipeline, &from);
        let step = 2.min(parent.trajectory.steps.len() - 1);
        // On the first latents of the first rows alone.
        let layer = disc(from.width, [0.0, 0.0], 0.15, [255, 0, 0]);
        let branch = from.clone().branching_painted(&from, step as u32, of_layer(layer));
        let (made, recorded) = go_on(&pipeline, &branch, parent.clone());
        let (before, after) = (&parent.trajectory.steps[step], &recorded.trajectory.steps[step]);
        assert_eq!(recorded.trajectory.steps[..step], parent.trajectory.steps[..step], "{sampler:?}");
        let moved = moved(&before.x, &after.x);
        assert!(moved.contains(&[0, 0]), "{sampler:?}");
        let are_near = |moved: &[[usize; 2]]| moved.iter().all(|[row, column]| *row < 3 && *column < 3);
        assert!(are_near(&moved), "{sampler:?}: {moved:?}");
        let moved = self::moved(&unpainted.latents, &made.latents);
        // Its steps depend on the whole picture.
        assert!(sampler.is_adaptive() || are_near(&moved), "{sampler:?} at the end: {moved:?}");

        // The recipe alone determines the picture, and a resumed branch is the same branch.
        assert_eq!(run(&pipeline, &branch).0.latents, made.latents, "{sampler:?}");
        for steps in [step, step + 1, step + 2] {
            let mut half = recorded.clone();
            half.trajectory.steps.truncate(steps);
            assert_eq!(go_on(&pipeline, &branch, half).0.latents, made.latents, "{sampler:?} from {steps}");
        }
    }
}

#[test]
fn a_painted_branch_with_another_prompt_is_free_far_from_the_paint() {
    let pipeline = pipeline(MODELS[1]);
    let from = recipe(&pipeline, Sampler::Euler);
    let (before, parent) = run(&pipeline, &from);
    let paint = of_layer(disc(from.width, [0.0, 0.0], 0.15, [255, 0, 0]));
    let branch = Recipe { prompt: "a whale".into(), ..from.clone() }.branching_painted(&from, 2, paint);
    let after = go_on(&pipeline, &branch, parent).0;
    assert!(moved(&before.latents, &after.latents).contains(&[7, 7]));
}

#[test]
fn a_painted_branch_of_a_run_that_was_stopped_is_that_of_the_whole_run() {
    let pipeline = pipeline(MODELS[1]);
    for sampler in [Sampler::Euler, Sampler::Heun, Sampler::DpmPp2mSde] {
        let from = recipe(&pipeline, sampler);
        let (_, whole) = run(&pipeline, &from);
        let paint = of_layer(disc(from.width, [0.5, 0.5], 0.3, [255, 0, 0]));
        let branch = from.clone().branching_painted(&from, 2, paint);
        let mut stopped = whole.clone();
        stopped.trajectory.steps.truncate(3);
        stopped.trajectory.steps[2].later.clear();
        let expected = go_on(&pipeline, &branch, whole).0.latents;
        assert_eq!(go_on(&pipeline, &branch, stopped).0.latents, expected, "{sampler:?}");
    }
}

/// `[row, column]` of latents that differ.
fn moved(before: &Latents, after: &Latents) -> Vec<[usize; 2]> {
    let [_, _, height, width] = before.shape;
    let differs = before.data.iter().zip(&after.data).enumerate().filter(|(_, (a, b))| a != b);
    differs.map(|(at, _)| [at / width % height, at % width]).collect()
}

#[test]
fn a_branch_of_a_painted_branch_keeps_the_paint() {
    let pipeline = pipeline(MODELS[1]);
    for sampler in [Sampler::Euler, Sampler::DpmPp2mSde] {
        let from = recipe(&pipeline, sampler);
        let layer = disc(from.width, [0.5, 0.5], 0.3, [255, 0, 0]);
        let painted = from.clone().branching_painted(&from, 2, of_layer(layer));
        let (_, recorded) = run(&pipeline, &painted);
        let later = Recipe { prompt: "a whale".into(), ..painted.clone() }.branching(&painted, 4);
        let (made, again) = go_on(&pipeline, &later, recorded.clone());
        assert_eq!(again.trajectory.steps[..4], recorded.trajectory.steps[..4]);
        assert_eq!(again.trajectory.steps[4].x, recorded.trajectory.steps[4].x);
        assert_eq!(run(&pipeline, &later).0.latents, made.latents);
    }
}

#[test]
fn a_branch_with_another_sampler_starts_from_the_painted_step() {
    let pipeline = pipeline(MODELS[1]);
    let from = recipe(&pipeline, Sampler::Euler);
    let paint = of_layer(disc(from.width, [0.5, 0.5], 0.3, [255, 0, 0]));
    let same = run(&pipeline, &from.clone().branching_painted(&from, 3, paint.clone())).1;
    let other = Recipe { sampler: Sampler::Heun, ..from.clone() }.branching_painted(&from, 3, paint);
    assert_eq!(run(&pipeline, &other).1.trajectory.steps[3].x, same.trajectory.steps[3].x);
}

/// `x = x0 + sigma * eps`, with the noise of the seed where the mask is and the run's own elsewhere.
#[test]
fn fresh_noise_is_that_of_its_seed_inside_the_mask_and_outside_nothing_changes() {
    let pipeline = pipeline(MODELS[1]);
    let from = Recipe { batch: 2, ..recipe(&pipeline, Sampler::Euler) };
    let (_, parent) = run(&pipeline, &from);
    let noise = Some(FreshNoise { mask: left_half(8), seed: 77 });
    let paint = Some(Paint { noise, ..Paint::default() });
    let branch = from.clone().branching_painted(&from, 3, paint);
    let (_, recorded) = go_on(&pipeline, &branch, parent.clone());
    let (before, after) = (&parent.trajectory.steps[3], &recorded.trajectory.steps[3]);
    let fresh = NoiseStreams::new(77, 2).draw(before.x.shape);
    for (at, after) in after.x.data.iter().enumerate() {
        if at % 8 < 4 {
            let expected = before.denoised.data[at] + before.sigma * fresh.data[at];
            assert!((after - expected).abs() < 1e-4 * (1.0 + before.sigma), "{after} is not {expected}");
        } else {
            assert_eq!(*after, before.x.data[at]);
        }
    }
    let second = run(&pipeline, &branch.of_picture(1)).1;
    let apart = second.trajectory.steps[3].x.data.iter().zip(after.x.picture(1));
    assert!(
        apart.into_iter().all(|(a, b)| (a - b).abs() < 1e-3),
        "a picture of the batch alone has its noise"
    );
}

#[test]
fn noise_that_is_half_anew_has_the_variance_of_both() {
    let pipeline = pipeline(MODELS[1]);
    let from = Recipe { batch: 4, steps: 2, ..recipe(&pipeline, Sampler::Euler) };
    let noise = Some(FreshNoise { mask: Mask::new(1, 1, vec![128]), seed: 77 });
    let paint = Some(Paint { noise, ..Paint::default() });
    let parent = run(&pipeline, &from).1.trajectory;
    let branch = run(&pipeline, &from.clone().branching_painted(&from, 0, paint)).1.trajectory;
    let eps = |x: &Latents| {
        x.zip_with(&parent.steps[0].denoised, |x, denoised| (x - denoised) / parent.steps[0].sigma)
    };
    let (before, after) = (eps(&parent.steps[0].x), eps(&branch.steps[0].x));
    // The variance of a sum of independent noise, over the square of the length of its two weights.
    let (kept, fresh) = (127.0f64 / 255.0, 128.0f64 / 255.0);
    let expected = ((kept * before.root_mean_square()).powi(2) + fresh * fresh).sqrt() / kept.hypot(fresh);
    let ratio = after.root_mean_square() / expected;
    assert!((ratio - 1.0).abs() < 0.1, "{ratio}");
}

#[test]
fn the_model_cannot_paint_over_a_layer_that_is_held() {
    let pipeline = pipeline(MODELS[1]);
    let from = recipe(&pipeline, Sampler::Heun);
    let (_, parent) = run(&pipeline, &from);
    for (hold, held_steps) in [(0.0, 0), (0.5, 2), (1.0, 4)] {
        let layer = Some(disc(from.width, [0.5, 0.5], 0.3, [255, 0, 0]));
        let paint = Some(Paint { layer, hold, noise: None });
        let branch = from.clone().branching_painted(&from, 2, paint);
        let (made, recorded) = go_on(&pipeline, &branch, parent.clone());
        let steps = &recorded.trajectory.steps;
        let middle = |latents: &Latents| latents.data[4 * 8 + 4];
        let is_held: Vec<bool> =
            steps[2..].iter().map(|step| middle(&step.denoised) == middle(&steps[2].denoised)).collect();
        let expected: Vec<bool> = (0..4).map(|step| step < held_steps.max(1)).collect();
        assert_eq!(is_held, expected, "{hold}");
        for made_steps in 3..6 {
            let mut half = recorded.clone();
            half.trajectory.steps.truncate(made_steps);
            assert_eq!(go_on(&pipeline, &branch, half).0.latents, made.latents, "{hold} from {made_steps}");
        }
    }
}

#[test]
fn a_layer_of_another_size_is_resized() {
    let pipeline = pipeline(MODELS[1]);
    let from = recipe(&pipeline, Sampler::Euler);
    let all = |side: u32| of_layer(Layer::new(side, side, [200, 10, 10, 255].repeat((side * side) as usize)));
    let branch = |paint| run(&pipeline, &from.clone().branching_painted(&from, 3, paint)).0.latents;
    let same = branch(all(from.width));
    for side in [1, from.width / 2, 3 * from.width] {
        let other = branch(all(side));
        let apart = same.data.iter().zip(&other.data).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(apart < 1e-3, "{side}: {apart}");
    }
}

#[test]
fn a_branch_that_is_stopped_while_it_is_painted_resumes_to_the_same_picture() {
    let pipeline = pipeline(MODELS[1]);
    let from = recipe(&pipeline, Sampler::DpmPp2mSde);
    let (_, parent) = run(&pipeline, &from);
    let paint = of_layer(disc(from.width, [0.5, 0.5], 0.3, [255, 0, 0]));
    let branch = from.clone().branching_painted(&from, 3, paint);
    let (stop, mut recorded) = (StopFlag::default(), parent.clone());
    let stopped = pipeline.generate_from(&mut recorded, &branch, &stop, &mut |progress| {
        if matches!(progress, Progress::Started { .. }) {
            stop.raise();
        }
    });
    assert!(matches!(stopped, Err(GenerateError::Stopped)));
    assert_eq!(recorded.trajectory.steps, parent.trajectory.steps[..3], "the shared steps are not lost");
    assert_eq!(go_on(&pipeline, &branch, recorded).0.latents, run(&pipeline, &branch).0.latents);
}

#[test]
fn paint_is_stored_with_its_picture_and_more_than_one_can_hold_is_refused() {
    let from = Recipe { prompt: "a fox".into(), ..Recipe::default() };
    let noise = Some(FreshNoise { mask: left_half(4), seed: 9 });
    let paint = Paint { layer: Some(disc(16, [0.5, 0.5], 0.3, [255, 0, 0])), hold: 0.25, noise };
    let branch = from.clone().branching_painted(&from, 4, Some(paint));
    let stored = Provenance::new("m", branch.clone()).to_json();
    let found = Provenance::from_json(&stored).expect("a recipe");
    assert_eq!((found.provenance.recipe, found.notes.len()), (branch, 0));

    // Noise cannot be compressed.
    let noise = NoiseStreams::new(0, 1).draw([1, 4, 512, 512]);
    let rgba = noise.data.iter().map(|value| (value * 1000.0) as i32 as u8).collect::<Vec<u8>>();
    let photo = of_layer(Layer::new(512, 512, rgba));
    let first = from.clone().branching_painted(&from, 4, photo.clone());
    let second = first.clone().branching_painted(&first, 5, photo);
    assert_eq!(first.check(), Ok(()));
    assert_eq!(second.check(), Err(RecipeError::TooMuchPaint));
}

/// The mean of each channel over the pixels for which `is_meant` holds, by row and column from 0 to 1.
fn mean_color(picture: &Pixels, is_meant: impl Fn([f32; 2]) -> bool) -> [f32; 3] {
    let (mut sum, mut count) = ([0.0; 3], 0.0);
    for (at, pixel) in picture.rgb.chunks_exact(3).enumerate() {
        let at = [at as u32 % picture.width, at as u32 / picture.width];
        if is_meant(at.map(|at| (at as f32 + 0.5) / picture.width as f32)) {
            sum.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += f32::from(*value) / 255.0);
            count += 1.0;
        }
    }
    sum.map(|sum| sum / count)
}

/// The mean change of each block of 8 x 8 pixels, which is what a latent is decoded to, with the block's centre.
fn changes(before: &Pixels, after: &Pixels) -> Vec<([f32; 2], f32)> {
    const SIDE: usize = 8;
    let [width, height] = [before.width, before.height].map(|side| side as usize);
    let blocks = (0..height / SIDE).flat_map(|row| (0..width / SIDE).map(move |column| [column, row]));
    let change = |[column, row]: [usize; 2]| {
        let rows = (row * SIDE..(row + 1) * SIDE).map(|y| 3 * (y * width + column * SIDE));
        let bytes = rows.flat_map(|start| start..start + 3 * SIDE);
        let sum: u32 = bytes.map(|at| u32::from(before.rgb[at].abs_diff(after.rgb[at]))).sum();
        sum as f32 / (255 * 3 * SIDE * SIDE) as f32
    };
    let center = |block: [usize; 2]| block.map(|at| (at * SIDE + SIDE / 2) as f32 / width as f32);
    blocks.map(|block| (center(block), change(block))).collect()
}

#[test]
fn a_painted_disc_is_still_there_when_the_picture_is_done() {
    const CENTER: [f32; 2] = [0.5, 0.5];
    const RADIUS: f32 = 0.2;
    let pipeline = pipeline("demo");
    let from_center = |at: [f32; 2]| (at[0] - CENTER[0]).hypot(at[1] - CENTER[1]);
    let euler = (Sampler::Euler, Schedule::Linspace);
    let dpm = (Sampler::DpmPp2m, Schedule::Karras);
    for (prompt, color, (sampler, schedule), steps) in [
        ("a puppy", [230, 30, 30], euler, 20),
        ("a fox in the snow", [40, 70, 220], dpm, 20),
        ("a parrot in the forest", [240, 200, 40], euler, 50),
    ] {
        let (mut kept, mut mean_changes, mut largest_changes) = (0, Vec::new(), Vec::new());
        for seed in 0..10 {
            let from = Recipe { prompt: prompt.into(), seed, sampler, schedule, steps, ..Recipe::default() };
            assert_eq!(from.guidance.cfg_scale, 7.5);
            let (before, recorded) = run(&pipeline, &from);
            let paint = of_layer(disc(from.width, CENTER, RADIUS, color));
            let branch = from.clone().branching_painted(&from, steps / 3, paint);
            let (after, _) = go_on(&pipeline, &branch, recorded);
            let (before, after) = (&before.pictures[0], &after.pictures[0]);
            let seen = mean_color(after, |at| from_center(at) < RADIUS * 0.8);
            let apart = seen.iter().zip(color).map(|(seen, color)| (seen - f32::from(color) / 255.0).abs());
            kept += u32::from(apart.fold(0.0, f32::max) < 0.15);
            let changes = changes(before, after);
            let far = changes.iter().filter(|(center, _)| from_center(*center) > RADIUS + 0.2);
            let far: Vec<f32> = far.map(|(_, change)| *change).collect();
            mean_changes.push(far.iter().sum::<f32>() / far.len() as f32);
            largest_changes.push(far.into_iter().fold(0.0, f32::max));
        }
        let what = format!("{prompt}, {sampler:?}, {steps} steps");
        assert!(kept >= 8, "{what}: {kept} of 10");
        // What is far from the disc stays as it was, without a blotch anywhere.
        assert!(mean_changes.iter().all(|change| *change < 0.05), "{what}: {mean_changes:?}");
        assert!(largest_changes.iter().all(|change| *change < 0.1), "{what}: {largest_changes:?}");
    }
}
