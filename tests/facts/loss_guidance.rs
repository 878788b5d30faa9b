//! Guidance by a loss, against torch's autograd on diffusers' networks.

use std::collections::BTreeSet;

use engine::diffusion::{Sampler, TorchGenerator, Trajectory};
use engine::losses::{
    ClipPicture, GradientPath, GuideError, Loss, LossGuide, Mask, Picture, PictureFileError, ScaleCurve,
    SmallPicture, TrainingFree,
};
use engine::pipeline::{Generated, Pipeline, StopFlag};
use engine::prompt::TextOptions;
use engine::recipe::{Guidance, Recipe, RecordedRun, Start};

use crate::support::models::pipeline;
use crate::support::numbers::{Golden, assert_close, assert_near, golden_folder, notes};

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
    }
}

/// The guide of a loss of `loss_gradients`.
fn referenced(name: &str, golden: &Golden, text: &str) -> LossGuide {
    let model = |file: &str| golden_folder().join("models").join(file);
    let bytes: Vec<u8> = golden.get("picture").into_iter().map(|value| value as u8).collect();
    let rgb: Vec<u8> = (0..24).flat_map(|at| [0, 24, 48].map(|plane| bytes[plane + at])).collect();
    let picture = SmallPicture::new(6, 4, rgb);
    match name {
        "picture" => LossGuide::new(Loss::Picture(Picture { picture })),
        "clip-picture" => {
            LossGuide::new(Loss::ClipPicture(ClipPicture { picture, model: Some(model("clip")) }))
        }
        "clip" => guide(&format!("clip:'{text}',model='{}'", model("clip").display())),
        _ if name.starts_with("classifier") => {
            guide(&format!("{name},model={}", model("classifier.safetensors").display()))
        }
        _ => guide(name),
    }
}

#[test]
fn gradients_on_every_way_with_and_without_a_mask_are_torchs_and_those_of_finite_differences() {
    let (golden, notes) = (Golden::open("loss_gradients.safetensors"), notes("loss_gradients.json"));
    let settings = &notes["settings"];
    let number = |name: &str| settings[name].as_f64().expect(name);
    let (width, height) = (number("width") as u32, number("height") as u32);
    let pipeline = pipeline("velocity");
    let coverage: Vec<u8> = golden.get("mask").into_iter().map(|value| value as u8).collect();
    let mask = Mask::new(width, height, coverage);
    let recipe = Recipe {
        prompt: settings["prompt"].as_str().expect("a prompt").into(),
        text: TextOptions::PLAIN,
        seed: number("seed") as u64,
        steps: number("steps") as u32,
        guidance: Guidance { cfg_scale: number("guidance") as f32 },
        width,
        height,
        ..Recipe::default()
    };
    let start = Start::Image {
        path: golden_folder().join("data/pictures/gradient_24x16.png"),
        strength: number("strength") as f32,
    };
    let mut checked = BTreeSet::new();
    for name in notes["losses"].as_array().expect("losses") {
        let name = name.as_str().expect("a name");
        let guide = referenced(name, &golden, settings["text"].as_str().expect("a text"));
        for (through, mask) in
            GradientPath::ALL.into_iter().flat_map(|path| [(path, None), (path, Some(&mask))])
        {
            let guide = LossGuide {
                scale: 1.0,
                every: 1,
                to: Some(1),
                through,
                mask: mask.cloned(),
                ..guide.clone()
            };
            let start = if name == "region" { start.clone() } else { Start::Noise };
            let recipe = Recipe { guides: vec![guide], start, ..recipe.clone() };
            let (_, trajectory) = run(&pipeline, &recipe);
            let guidance = trajectory.steps[0].loss_guidance.as_ref().expect("the first step is guided");
            let key = format!("{name}.{}{}", through.name(), if mask.is_some() { ".masked" } else { "" });
            let loss = guidance.losses[0].as_ref().expect("the only loss guides");
            assert_near(&key, loss, &golden.get(&format!("{key}.loss")), 1, TOLERANCE);
            let (ours, theirs) = (&guidance.gradient.data, golden.get(&format!("{key}.grad")));
            assert_near(&key, ours, &theirs, 1, TOLERANCE);
            let direction = TorchGenerator::new(number("direction_seed") as u64).randn(ours.len());
            let along: f32 = ours.iter().zip(&direction).map(|(gradient, along)| gradient * along).sum();
            let length = ours.iter().map(|value| value * value).sum::<f32>().sqrt();
            let differences = golden.get(&format!("{key}.along"));
            assert_close(&key, &[along], &differences, 0.0, TOLERANCE * length);
        }
        checked.insert(Loss::name(&guide.loss));
    }
    let all: BTreeSet<&str> = Loss::examples().iter().map(Loss::name).collect();
    assert_eq!(checked, all, "every loss has a reference");
}

#[test]
fn training_free_guidance_is_that_of_torch() {
    let (golden, notes) = (Golden::open("training_free.safetensors"), notes("training_free.json"));
    let pipeline = pipeline("velocity");
    let guides = notes["guides"].as_array().expect("guides").iter().map(|of| {
        let text = |index: usize| of[index].as_str().expect("a text");
        let scale = of[2].as_f64().expect("a scale");
        guide(&format!("{},scale={scale},every=1,through={}", text(0), text(1)))
    });
    let recipe = Recipe {
        prompt: "a large fox in the snow".into(),
        text: TextOptions::PLAIN,
        seed: 32,
        steps: notes["steps"].as_u64().expect("steps") as u32,
        width: 24,
        height: 16,
        guides: guides.collect(),
        ..Recipe::default()
    };
    for (index, options) in notes["options"].as_array().expect("options").iter().enumerate() {
        let training_free: TrainingFree = serde_json::from_value(options.clone()).expect("options");
        let (made, trajectory) = run(&pipeline, &Recipe { training_free, ..recipe.clone() });
        let what = format!("{options}");
        let guidance = trajectory.steps[0].loss_guidance.as_ref().expect("every step is guided");
        assert_near(&what, &guidance.gradient.data, &golden.get(&format!("{index}.grad.0")), 1, TOLERANCE);
        assert_near(&what, &made.latents.data, &golden.get(&format!("{index}.latents")), 1, TOLERANCE);
    }
}

/// Everything at once.
const ALL_OPTIONS: TrainingFree =
    TrainingFree { recurrence: 2, iterations: 2, smoothing: 0.3, samples: 2, clip: Some(0.2) };

#[test]
fn every_sampler_works_with_training_free_guidance_and_continues_as_if_it_had_not_stopped() {
    let pipeline = pipeline("velocity");
    for sampler in Sampler::ALL {
        let guide = guide("brightness=0.9,scale=2,every=2,through=preview");
        let recipe = Recipe {
            sampler,
            steps: 4,
            width: 32,
            height: 32,
            guides: vec![guide],
            training_free: ALL_OPTIONS,
            ..Recipe::default()
        };
        let (whole, trajectory) = run(&pipeline, &recipe);
        let plain = Recipe { training_free: TrainingFree::default(), ..recipe.clone() };
        assert_ne!(run(&pipeline, &plain).0.latents, whole.latents, "{sampler:?}");
        let mut half = RecordedRun { recipe: recipe.clone(), trajectory };
        half.trajectory.steps.truncate(1);
        let continued =
            pipeline.generate_from(&mut half, &recipe, &StopFlag::default(), &mut |_| ()).expect("a picture");
        assert_eq!(continued.latents, whole.latents, "{sampler:?}");
    }
}

#[test]
fn the_scale_of_a_guide_follows_its_curve() {
    let factors = |curve: ScaleCurve| [0, 2, 4].map(|step| curve.at(step, 4));
    assert_eq!(factors(ScaleCurve::Constant), [1.0, 1.0, 1.0]);
    assert_eq!(factors(ScaleCurve::Linear), [1.0, 0.5, 0.0]);
    assert_close("cosine", &factors(ScaleCurve::Cosine), &[1.0, 0.5, 0.0], 0.0, 1e-6);
    let pipeline = pipeline("velocity");
    // At the second of four steps a linear scale of 4 is one of 3.
    let at = |options: &str| {
        let text = format!("brightness=0.9,every=1,from=1,to=1,through=preview,{options}");
        let recipe = Recipe { width: 32, height: 32, ..guided(&text) };
        run(&pipeline, &recipe).1.steps[1].loss_guidance.clone().expect("guided").gradient.data
    };
    assert_near("a linear scale", &at("scale=4,curve=linear"), &at("scale=3"), 1, 1e-5);
}

#[test]
fn a_mask_of_other_proportions_is_stretched_and_the_note_says_so() {
    let pipeline = pipeline("velocity");
    let noted = |width, height| {
        let mask = Some(Mask::new(width, height, vec![255; (width * height) as usize]));
        let guide = LossGuide { mask, ..guide("brightness=0.9,through=preview") };
        let recipe = Recipe { width: 32, height: 32, guides: vec![guide], ..guided("tile") };
        run(&pipeline, &recipe).0.notes.iter().any(|note| note.contains("stretched"))
    };
    assert!(!noted(32, 32) && !noted(100, 96));
    assert!(noted(32, 16) && noted(16, 32));
}

#[test]
fn a_mask_file_is_read_as_grey_and_one_that_guides_nothing_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let with = |name: &str| format!("tile,mask='{}'", path(name).display()).parse::<LossGuide>();
    image::GrayImage::from_raw(2, 1, vec![0, 200]).expect("a picture").save(path("grey.png")).expect("saved");
    let alpha =
        image::RgbaImage::from_raw(2, 1, vec![255, 255, 255, 0, 255, 255, 255, 100]).expect("a picture");
    alpha.save(path("alpha.png")).expect("saved");
    image::RgbImage::new(3, 2).save(path("black, all.png")).expect("saved");
    std::fs::write(path("text.png"), "a text").expect("written");
    let coverage = |name: &str| with(name).expect(name).mask.expect("a mask").coverage().to_vec();
    assert_eq!(coverage("grey.png"), [0, 200]);
    assert_eq!(coverage("alpha.png"), [0, 100], "what is transparent is outside");
    let error = |name: &str| with(name).expect_err(name);
    assert!(matches!(error("black, all.png"), GuideError::Picture(PictureFileError::BlackMask { .. })));
    assert!(matches!(error("text.png"), GuideError::Picture(PictureFileError::NotAPicture { .. })));
    assert!(matches!(error("missing.png"), GuideError::Picture(PictureFileError::Open(_))));
    // In a recipe, too.
    let guide = LossGuide { mask: Some(Mask::new(2, 1, vec![0, 0])), ..guide("tile") };
    assert!(Recipe { guides: vec![guide], ..Recipe::default() }.check().is_err());
}

#[test]
fn a_loss_that_lacks_what_it_needs_says_so_before_sampling() {
    let pipeline = pipeline("narrow");
    let folder = golden_folder().join("models");
    let of = |text: String| {
        let recipe = Recipe { width: 32, height: 32, guides: vec![guide(&text)], ..guided("tile") };
        let (mut run, mut steps) = (RecordedRun::default(), 0);
        let result = pipeline.generate_from(&mut run, &recipe, &StopFlag::default(), &mut |_| steps += 1);
        assert!(run.trajectory.steps.is_empty(), "{text}: no step is sampled");
        result.err().unwrap_or_else(|| panic!("{text} is refused")).to_string()
    };
    let classifier = folder.join("classifier.safetensors");
    for (text, noun) in [
        ("region".to_owned(), "start image"),
        ("clip:'a fox'".to_owned(), "image encoder"),
        (format!("clip:'a fox',model={}", folder.join("nowhere").display()), "nowhere"),
        ("classifier:fox".to_owned(), "model="),
        (format!("classifier:zebra,model={}", classifier.display()), "fox, lamp, sea"),
        (format!("classifier:fox,model={}", folder.join("clip/model.safetensors").display()), "labels"),
    ] {
        let error = of(text.clone());
        assert!(error.contains(noun), "{text}: {error}");
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
        "tile,scale=80,every=5,curve=cosine,through=decoder",
        "clip:'a fox, at night = dark',scale=200,every=5,through=decoder,model='a, b'",
        "classifier:\"fox's den\",scale=20,every=5,through=unet",
        "tile,scale=500,every=5,through=decoder,off=true",
    ] {
        assert_eq!(guide(text).to_string(), text);
        let recipe = guided(text);
        let json = serde_json::to_string(&recipe).expect("JSON");
        assert_eq!(serde_json::from_str::<Recipe>(&json).expect(text), recipe, "{json}");
    }
    for loss in Loss::examples() {
        let guide = LossGuide { mask: Some(Mask::new(2, 1, vec![9, 255])), ..LossGuide::new(loss.clone()) };
        let json = serde_json::to_string(&guide).expect("JSON");
        assert_eq!(serde_json::from_str::<LossGuide>(&json).expect(&json), guide, "{json}");
        // A picture is in the recipe, without its file.
        if !loss.to_string().ends_with("FILE") {
            assert_eq!(loss.to_string().parse(), Ok(LossGuide::new(loss)));
        }
    }
}

#[test]
fn a_guide_that_cannot_be_read_is_refused_by_its_part() {
    type Expected = fn(&GuideError) -> bool;
    let cases: [(&str, Expected); 19] = [
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
        ("tile,curve=steep", |error| matches!(error, GuideError::Value { option: "curve", .. })),
        ("tile,model=x", |error| matches!(error, GuideError::Loss { .. })),
        ("clip", |error| matches!(error, GuideError::Loss { .. })),
        ("clip:'a fox", |error| matches!(error, GuideError::Loss { .. })),
        ("picture:no such file.png", |error| matches!(error, GuideError::Loss { .. })),
        ("classifier", |error| matches!(error, GuideError::Loss { .. })),
        ("tile,off=maybe", |error| matches!(error, GuideError::Value { option: "off", .. })),
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
fn a_guide_that_is_off_changes_nothing() {
    let pipeline = pipeline("demo");
    let recipe = guided("brightness=0.2,every=1,off=true");
    let (off, steps) = run(&pipeline, &recipe);
    let (plain, plain_steps) = run(&pipeline, &Recipe { guides: Vec::new(), ..recipe });
    assert_eq!((off.latents, steps), (plain.latents, plain_steps));
}

#[test]
fn each_picture_of_a_batch_is_guided_by_its_own_loss() {
    let pipeline = pipeline("demo");
    // What repetitions make of the last bits of the predictions: measured, 1.5e-4.
    let cases = [(TrainingFree::default(), 1e-4), (ALL_OPTIONS, 1e-3)];
    for (through, (training_free, tolerance)) in
        GradientPath::ALL.into_iter().flat_map(|path| cases.map(|case| (path, case)))
    {
        let recipe = Recipe {
            batch: 2,
            training_free,
            ..guided(&format!("palette:#1d3557+#f1faee,through={}", through.name()))
        };
        let (together, steps) = run(&pipeline, &recipe);
        for index in 0..2 {
            let (alone, steps_alone) = run(&pipeline, &recipe.of_picture(index as u32));
            assert_near("latents", &alone.latents.data, together.latents.picture(index), 1, tolerance);
            let loss = |steps: &Trajectory| {
                let guidance = steps.steps[0].loss_guidance.clone().expect("guided");
                guidance.losses[0].clone().expect("a loss")
            };
            assert_near("loss", &loss(&steps_alone), &[loss(&steps)[index]], 1, tolerance / 10.0);
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
