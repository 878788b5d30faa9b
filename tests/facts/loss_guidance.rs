//! Guidance by a loss, against torch's autograd on diffusers' networks.

use engine::diffusion::{Sampler, Trajectory};
use engine::losses::{GradientPath, GuideError, Loss, LossGuide};
use engine::pipeline::{Generated, Pipeline, StopFlag};
use engine::prompt::TextOptions;
use engine::recipe::{Guidance, Recipe, RecordedRun};

use crate::support::models::pipeline;
use crate::support::numbers::{Golden, assert_near, notes};

/// Of gradients and losses, relative to the largest. Measured: 2e-5.
const TOLERANCE: f32 = 1e-3;
/// Of latents at the end: what the gradients of several steps and guidance make of it.
const END_TOLERANCE: f32 = 1e-2;

fn run(pipeline: &Pipeline, recipe: &Recipe) -> (Generated, Trajectory) {
    let mut run = RecordedRun::default();
    let made = pipeline.generate_from(&mut run, recipe, &StopFlag::default(), &mut |_| ());
    (made.expect("a picture"), run.trajectory)
}

fn guide(text: &str) -> LossGuide {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn guided(text: &str) -> Recipe {
    Recipe {
        prompt: "a large fox in the snow".into(),
        width: 64,
        height: 64,
        steps: 4,
        guides: vec![guide(text)],
        ..Recipe::default()
    }
}

#[test]
fn losses_gradients_and_latents_are_those_of_torch() {
    let (golden, notes) = (Golden::open("guidance.safetensors"), notes("guidance.json"));
    let models = ["demo", "velocity"].map(|name| (name, pipeline(name)));
    let mut checked = Vec::new();
    for (index, settings) in notes["runs"].as_object().expect("runs") {
        let text = |name: &str| settings[name].as_str().expect(name).to_owned();
        let number = |name: &str| settings[name].as_f64().expect(name);
        let Some(through) = GradientPath::from_name(&text("through")) else { continue };
        let (_, pipeline) = models.iter().find(|(name, _)| *name == text("model")).expect("a model");
        let guide = LossGuide {
            scale: number("scale") as f32,
            every: number("every") as u32,
            through,
            ..guide(&text("loss"))
        };
        let recipe = Recipe {
            prompt: text("prompt"),
            text: TextOptions::PLAIN,
            seed: 32,
            steps: number("steps") as u32,
            sampler: Sampler::from_name(&text("sampler")).expect("a sampler"),
            guidance: Guidance { cfg_scale: number("guidance") as f32 },
            width: if text("model") == "demo" { 64 } else { 96 },
            height: 64,
            guides: vec![guide],
            ..Recipe::default()
        };
        let recipe = Recipe { width: recipe.width / 8 * pipeline.info().vae_factor, ..recipe };
        let recipe = Recipe { height: recipe.height / 8 * pipeline.info().vae_factor, ..recipe };
        let (made, trajectory) = run(pipeline, &recipe);
        let what = format!("{index}: {} of {}", recipe.guides[0], text("model"));
        for (step, recorded) in trajectory.steps.iter().enumerate() {
            let is_guided = step.is_multiple_of(number("every") as usize);
            assert_eq!(recorded.loss_guidance.is_some(), is_guided, "{what}, step {step}");
            let Some(guidance) = &recorded.loss_guidance else { continue };
            let loss = guidance.losses[0].as_ref().expect("the only loss guides");
            // The first step starts from the same latents as torch's; what follows carries their difference on.
            let tolerance = if step == 0 { TOLERANCE } else { END_TOLERANCE };
            assert_near(&what, loss, &golden.get(&format!("{index}.loss.{step}")), 1, tolerance);
            let gradient = golden.get(&format!("{index}.grad.{step}"));
            assert_near(&what, &guidance.gradient.data, &gradient, 1, tolerance);
        }
        assert_near(&what, &made.latents.data, &golden.get(&format!("{index}.latents")), 1, END_TOLERANCE);
        checked.push(text("loss").split([':', '=']).next().expect("a name").to_owned());
    }
    for loss in Loss::examples() {
        assert!(checked.iter().any(|checked| checked == loss.name()), "{loss} has a reference");
    }
}

#[test]
fn a_guide_is_written_as_it_is_read() {
    for text in [
        "channel:blue=0.9,scale=200,every=5,through=decoder",
        "channel:red=0,scale=-3.5,every=1,from=2,to=9,through=preview",
        "palette:#1d3557+#e63946,scale=500,every=5,through=decoder",
        "symmetry:left-right,scale=1000,every=5,through=preview",
        "smoothness,scale=200,every=2,through=decoder",
    ] {
        assert_eq!(guide(text).to_string(), text);
        let recipe = guided(text);
        let json = serde_json::to_string(&recipe).expect("JSON");
        assert_eq!(serde_json::from_str::<Recipe>(&json).expect(text), recipe, "{json}");
    }
    for loss in Loss::examples() {
        assert_eq!(guide(&loss.to_string()), LossGuide::new(loss));
    }
}

#[test]
fn a_guide_that_cannot_be_read_is_refused_by_its_part() {
    type Expected = fn(&GuideError) -> bool;
    let cases: [(&str, Expected); 12] = [
        ("", |error| matches!(error, GuideError::NoSuchLoss(_))),
        ("blue=0.9", |error| matches!(error, GuideError::NoSuchLoss(_))),
        ("channel", |error| matches!(error, GuideError::Loss { .. })),
        ("channel:pink=0.5", |error| matches!(error, GuideError::Loss { .. })),
        ("channel:blue=2", |error| matches!(error, GuideError::Loss { .. })),
        ("channel:blue=NaN", |error| matches!(error, GuideError::Loss { .. })),
        ("palette:", |error| matches!(error, GuideError::Loss { .. })),
        ("palette:#12345", |error| matches!(error, GuideError::Loss { .. })),
        ("tile=3", |error| matches!(error, GuideError::Loss { .. })),
        ("tile,often=3", |error| matches!(error, GuideError::NoSuchOption(_))),
        ("tile,every=0", |error| matches!(error, GuideError::Value { option: "every", .. })),
        ("tile,scale=inf", |error| matches!(error, GuideError::Value { option: "scale", .. })),
    ];
    for (text, expected) in cases {
        let error = text.parse::<LossGuide>().expect_err(text);
        assert!(expected(&error), "{text}: {error:?}");
    }
}

#[test]
fn a_guided_run_continues_from_its_recorded_steps_as_if_it_had_not_stopped() {
    let pipeline = pipeline("demo");
    for sampler in [Sampler::Lms, Sampler::Heun, Sampler::DpmPp2mSde] {
        let recipe = Recipe { steps: 6, sampler, ..guided("channel:blue=0.9,every=2,through=preview") };
        let (whole, trajectory) = run(&pipeline, &recipe);
        let mut half = RecordedRun { recipe: recipe.clone(), trajectory };
        half.trajectory.steps.truncate(3);
        let continued =
            pipeline.generate_from(&mut half, &recipe, &StopFlag::default(), &mut |_| ()).expect("a picture");
        assert_eq!(continued.latents, whole.latents, "{sampler:?}");
    }
}

#[test]
fn an_unguided_step_is_the_step_of_a_run_without_guides() {
    let pipeline = pipeline("demo");
    let recipe = guided("brightness=0.2,every=2,from=1,to=2");
    let (_, steps) = run(&pipeline, &recipe);
    let (_, plain) = run(&pipeline, &Recipe { guides: Vec::new(), ..recipe });
    let is_guided: Vec<bool> = steps.steps.iter().map(|step| step.loss_guidance.is_some()).collect();
    assert_eq!(is_guided, [false, false, true, false]);
    assert_eq!(steps.steps[..2], plain.steps[..2]);
    assert_eq!(steps.steps[2].x, plain.steps[2].x, "what enters the step is not moved yet");
    assert_ne!(steps.steps[3].x, plain.steps[3].x);
}

#[test]
fn each_picture_of_a_batch_is_guided_by_its_own_loss() {
    let pipeline = pipeline("demo");
    for through in GradientPath::ALL {
        let recipe =
            Recipe { batch: 2, ..guided(&format!("palette:#1d3557+#f1faee,through={}", through.name())) };
        let (together, steps) = run(&pipeline, &recipe);
        for index in 0..2 {
            let (alone, steps_alone) = run(&pipeline, &recipe.of_picture(index as u32));
            assert_near("latents", &alone.latents.data, together.latents.picture(index), 1, 1e-4);
            let loss = |steps: &Trajectory| {
                let guidance = steps.steps[0].loss_guidance.clone().expect("guided");
                guidance.losses[0].clone().expect("a loss")
            };
            assert_near("loss", &loss(&steps_alone), &[loss(&steps)[index]], 1, 1e-5);
        }
    }
}

#[test]
fn a_loss_that_is_too_strong_leaves_its_steps_out_and_says_so() {
    let pipeline = pipeline("demo");
    let recipe = guided("contrast=0.3,scale=1000000,every=1,through=preview");
    let (made, steps) = run(&pipeline, &recipe);
    assert!(made.image.data.iter().all(|value| value.is_finite()));
    let left_out = steps.steps.iter().any(|step| step.loss_guidance.is_none());
    assert_eq!(left_out, !made.notes.is_empty(), "{:?}", made.notes);
}

#[test]
fn each_loss_is_recorded_for_the_steps_that_it_guides() {
    let pipeline = pipeline("demo");
    let mut recipe = guided("smoothness,every=1,through=preview");
    recipe.guides.push(guide("tile,every=2,through=preview"));
    let (_, steps) = run(&pipeline, &recipe);
    for (index, step) in steps.steps.iter().enumerate() {
        let losses = &step.loss_guidance.as_ref().expect("one loss guides every step").losses;
        let acted: Vec<bool> = losses.iter().map(Option::is_some).collect();
        assert_eq!(acted, [true, index % 2 == 0], "step {index}");
    }
}
