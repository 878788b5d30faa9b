//! Resuming from a recorded step: with an unchanged recipe it is the same run, with a changed one a branch.

use engine::diffusion::{Latents, Sampler};
use engine::images::Provenance;
use engine::pipeline::StopFlag;
use engine::pipeline::{GenerateError, Generated, Pipeline, Progress};
use engine::recipe::{Branch, Guidance, Recipe, RecipeError, RecordedRun, Start};

use crate::support::models::{MODELS, pipeline};

const STEPS: u32 = 6;

fn recipe(pipeline: &Pipeline, sampler: Sampler) -> Recipe {
    let side = pipeline.info().vae_factor * 8;
    Recipe {
        prompt: "a lighthouse".into(),
        width: side,
        height: side,
        batch: if sampler.is_adaptive() { 1 } else { 2 },
        steps: STEPS,
        sampler,
        ..Recipe::default()
    }
}

/// A run from the beginning, and what it recorded.
struct Whole {
    latents: Latents,
    run: RecordedRun,
}

fn run(pipeline: &Pipeline, recipe: &Recipe) -> Whole {
    let mut run = RecordedRun::default();
    let made = pipeline.generate_from(&mut run, recipe, &StopFlag::default(), &mut |_| ());
    Whole { latents: made.expect("a picture").latents, run }
}

/// Resumes recorded steps, and returns the steps that were reported.
fn go_on(pipeline: &Pipeline, recipe: &Recipe, mut run: RecordedRun) -> (Generated, RecordedRun, Vec<usize>) {
    let mut told = Vec::new();
    let generated = pipeline.generate_from(&mut run, recipe, &StopFlag::default(), &mut |progress| {
        if let Progress::Step(frame) = progress {
            told.push(frame.step);
        }
    });
    (generated.expect("a picture"), run, told)
}

/// What a run has recorded when it was stopped after `steps` steps.
fn cut(run: &RecordedRun, steps: usize) -> RecordedRun {
    let mut run = run.clone();
    run.trajectory.steps.truncate(steps);
    run
}

#[test]
fn resumed_unchanged_every_sampler_ends_in_the_same_latents() {
    let pipeline = pipeline(MODELS[1]);
    for sampler in Sampler::ALL {
        let recipe = recipe(&pipeline, sampler);
        let whole = run(&pipeline, &recipe);
        for k in [1, 3, 5].into_iter().filter(|&k| k < whole.run.trajectory.steps.len()) {
            let (again, recorded, told) = go_on(&pipeline, &recipe, cut(&whole.run, k));
            assert_eq!(again.latents, whole.latents, "{} from step {k}", sampler.name());
            assert_eq!(recorded, whole.run, "{} from step {k}", sampler.name());
            assert!(told.iter().copied().eq(0..told.len()) && told.len() == recorded.trajectory.steps.len());
        }
    }
}

#[test]
fn a_run_that_was_stopped_between_two_answers_of_a_step_resumes_to_the_same_picture() {
    let pipeline = pipeline(MODELS[1]);
    let recipe = recipe(&pipeline, Sampler::Heun);
    let whole = run(&pipeline, &recipe);
    let mut recorded = cut(&whole.run, 3);
    recorded.trajectory.steps[2].later.clear();
    assert_eq!(go_on(&pipeline, &recipe, recorded).0.latents, whole.latents);
}

#[test]
fn a_stopped_run_leaves_the_steps_it_made() {
    let pipeline = pipeline(MODELS[1]);
    let recipe = recipe(&pipeline, Sampler::DpmPp2mSde);
    let (stop, mut recorded) = (StopFlag::default(), RecordedRun::default());
    let stopped = pipeline.generate_from(&mut recorded, &recipe, &stop, &mut |progress| {
        if let Progress::Step(frame) = progress
            && frame.step == 3
        {
            stop.raise();
        }
    });
    assert!(matches!(stopped, Err(GenerateError::Stopped)));
    assert_eq!(recorded.trajectory.steps.len(), 4);
    assert_eq!(go_on(&pipeline, &recipe, recorded).0.latents, run(&pipeline, &recipe).latents);
}

#[test]
fn a_branch_has_the_others_steps_and_then_its_own() {
    let pipeline = pipeline(MODELS[1]);
    let from = recipe(&pipeline, Sampler::DpmPp2mSde);
    let whole = run(&pipeline, &from);
    let changes = [
        Recipe { prompt: "a whale".into(), ..from.clone() },
        Recipe { guidance: Guidance { cfg_scale: 1.0 }, ..from.clone() },
        Recipe { sampler: Sampler::Heun, ..from.clone() },
        Recipe { seed: 7, ..from.clone() },
        Recipe { steps: 9, ..from.clone() },
    ];
    for changed in changes {
        let branch = changed.branching(&from, 3);
        let (made, recorded, told) = go_on(&pipeline, &branch, whole.run.clone());
        assert_eq!(recorded.trajectory.steps[..3], whole.run.trajectory.steps[..3]);
        assert_eq!(recorded.trajectory.steps[3].x, whole.run.trajectory.steps[3].x, "x is kept exactly");
        assert_ne!(made.latents, whole.latents, "{branch:?}");
        assert_eq!(recorded.trajectory.sigmas.len(), recorded.trajectory.steps.len() + 1);
        assert!(told.iter().copied().eq(0..recorded.trajectory.steps.len()));

        // The recipe alone determines the picture: without the recorded steps it is made once more.
        let (alone, _, told) = go_on(&pipeline, &branch, RecordedRun::default());
        assert_eq!(alone.latents, made.latents);
        assert!(told.iter().copied().eq(0..recorded.trajectory.steps.len()), "each step is told once");
    }
}

#[test]
fn only_the_noise_to_come_is_of_the_new_seed() {
    let pipeline = pipeline(MODELS[1]);
    let from = recipe(&pipeline, Sampler::EulerAncestral);
    let whole = run(&pipeline, &from);
    let reseeded = Recipe { seed: 7, ..from.clone() }.branching(&from, 2);
    let (_, recorded, _) = go_on(&pipeline, &reseeded, whole.run.clone());
    assert_eq!(
        recorded.trajectory.steps[2], whole.run.trajectory.steps[2],
        "the prediction is made before noise is added"
    );
    assert_ne!(recorded.trajectory.steps[3].x, whole.run.trajectory.steps[3].x);

    // A branch of a branch, back to the first seed for its last steps.
    let back = Recipe { seed: from.seed, ..reseeded.clone() }.branching(&reseeded, 4);
    let (made, again, _) = go_on(&pipeline, &back, recorded.clone());
    assert_eq!(again.trajectory.steps[4], recorded.trajectory.steps[4]);
    assert_ne!(again.trajectory.steps[5].x, recorded.trajectory.steps[5].x);
    assert_eq!(go_on(&pipeline, &back, RecordedRun::default()).0.latents, made.latents);
}

#[test]
fn a_run_from_a_picture_branches_and_resumes_like_any_other() {
    let pipeline = pipeline(MODELS[1]);
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("start.png");
    image::RgbImage::from_fn(96, 96, |x, y| image::Rgb([x as u8, y as u8, 90])).save(&path).expect("saves");
    let start = Start::Image { path, strength: 0.5 };
    let from = Recipe { start, steps: 8, ..recipe(&pipeline, Sampler::EulerAncestral) };
    let whole = run(&pipeline, &from);
    assert_eq!((whole.run.trajectory.start_step, whole.run.trajectory.steps.len()), (4, 4));
    let again = go_on(&pipeline, &from, cut(&whole.run, 2)).0;
    assert_eq!(again.latents, whole.latents);
    for changed in [Recipe { steps: 30, ..from.clone() }, Recipe { seed: 9, ..from.clone() }] {
        let branch = changed.branching(&from, 6);
        let (made, recorded, told) = go_on(&pipeline, &branch, whole.run.clone());
        assert_eq!(recorded.trajectory.steps[..2], whole.run.trajectory.steps[..2]);
        assert_eq!(recorded.trajectory.steps[2].x, whole.run.trajectory.steps[2].x);
        assert_eq!(told, (4..recorded.trajectory.sigmas.len() - 1).collect::<Vec<_>>());
        assert_eq!(go_on(&pipeline, &branch, RecordedRun::default()).0.latents, made.latents);
    }
}

#[test]
fn a_picture_of_a_branched_batch_is_the_same_picture_alone() {
    let pipeline = pipeline(MODELS[1]);
    let from = recipe(&pipeline, Sampler::EulerAncestral);
    let branch = Recipe { prompt: "a whale".into(), ..from.clone() }.branching(&from, 2);
    let (both, second) = (run(&pipeline, &branch), run(&pipeline, &branch.of_picture(1)));
    let near = both.latents.picture(1).iter().zip(second.latents.picture(0));
    assert!(near.into_iter().all(|(a, b)| (a - b).abs() < 1e-3), "batches differ in last bits alone");
}

#[test]
fn unchanged_a_branch_is_the_run_itself() {
    let from = Recipe { prompt: "a fox".into(), ..Recipe::default() };
    assert_eq!(from.clone().branching(&from, 3), from);
}

#[test]
fn a_branch_is_stored_with_its_picture_and_one_that_makes_no_sense_is_told_of() {
    let from = Recipe { prompt: "a fox".into(), steps: 10, ..Recipe::default() };
    let branch = Recipe { prompt: "an owl".into(), ..from.clone() }.branching(&from, 4);
    let stored = Provenance::new("m", branch.clone()).to_json();
    let found = Provenance::from_json(&stored).expect("a recipe");
    assert_eq!((found.provenance.recipe, found.notes.len()), (branch, 0));
    for (sound, broken) in [("\"steps\":10", "\"steps\":0"), ("\"step\":4", "\"step\":40")] {
        let found = Provenance::from_json(&stored.replace(sound, broken)).expect("a recipe");
        assert_eq!(found.provenance.recipe.branch, None, "{broken}");
        assert!(!found.notes.is_empty());
    }
}

#[test]
fn what_cannot_be_branched_from_is_said() {
    let from = Recipe { steps: 10, ..Recipe::default() };
    let branch = |recipe: Recipe, step| Recipe {
        branch: Some(Branch { from: Box::new(from.clone()), step, paint: None }),
        ..recipe
    };
    let other = Recipe { prompt: "a fox".into(), ..from.clone() };
    assert_eq!(branch(other.clone(), 9).check(), Ok(()));
    assert_eq!(
        branch(other.clone(), 10).check(),
        Err(RecipeError::BranchStep { step: 10, first: 0, last: 9 })
    );
    let wide = branch(Recipe { width: 256, ..other.clone() }, 3).check();
    assert_eq!(wide, Err(RecipeError::BranchSize { width: 128, height: 128, batch: 1 }));

    let broken = Branch { from: Box::new(Recipe { steps: 0, ..from.clone() }), step: 0, paint: None };
    let refused = Recipe { branch: Some(broken), ..other.clone() }.check();
    assert_eq!(refused, Err(RecipeError::BranchFrom(Box::new(RecipeError::Steps(0)))));

    let mut deep = other;
    for _ in 0..80 {
        deep = Recipe { branch: Some(Branch { from: Box::new(deep.clone()), step: 1, paint: None }), ..deep };
    }
    assert_eq!(deep.check(), Err(RecipeError::TooManyBranches));
}

#[test]
fn a_film_of_another_size_of_model_is_refused() {
    let pipeline = pipeline(MODELS[1]);
    let from = recipe(&pipeline, Sampler::Euler);
    let recorded = run(&pipeline, &from).run;
    let mut other = recorded.clone();
    for step in &mut other.trajectory.steps {
        step.x.shape = [2, 4, 16, 4];
    }
    let branch = Recipe { prompt: "a whale".into(), ..from.clone() }.branching(&from, 2);
    let refused = pipeline.generate_from(&mut other, &branch, &StopFlag::default(), &mut |_| ());
    assert!(matches!(refused, Err(GenerateError::OtherLatents { found: [2, 4, 16, 4], .. })));
}
