//! What the commands that run a model share: opening it, the recipe of a command line, warnings, Ctrl+C.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use engine::checkpoint::{HubSnapshot, ModelSource};
use engine::device::DeviceChoice;
use engine::format::ellipsize;
use engine::images::{TraceFile, read_recipe, read_trace};
use engine::losses::Mask;
use engine::paint::{FreshNoise, Layer, Paint};
use engine::pipeline::{GenerateError, OpenOptions, Pipeline, StopFlag};
use engine::prompt::Mixed;
use engine::recipe::{DEFAULT_STRENGTH, Recipe, RecipeError, RecordedRun, Start, random_seed, strength_of};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::concept_args::LoadedConcepts;
use super::render_args::RenderArgs;
use super::sampling_args::ignored_options;
use super::shared_args::{Seed, Size};
use super::{Failure, progress};

/// Letters quoted from the part of a prompt that is not read.
const MAX_QUOTED: usize = 40;

/// Opens a model with a progress bar.
pub fn open(source: &ModelSource, vae: Option<&Path>, choice: DeviceChoice) -> Result<Pipeline, Failure> {
    let bar = progress::fraction_bar("opening the model");
    // A VAE too may be given as a repository in the Hugging Face cache.
    let snapshot = vae.and_then(HubSnapshot::at);
    let vae = snapshot.as_ref().map(|snapshot| snapshot.folder.as_path()).or(vae);
    let opened =
        Pipeline::open(source, OpenOptions { device: choice, vae, make_room: None }, &mut |fraction| {
            progress::set_fraction(&bar, fraction);
            true
        });
    bar.finish_and_clear();
    opened.map_err(Failure::failed)
}

/// What the options on the command line change: the recipe of `--recipe`, or the defaults with a random seed.
pub fn base_recipe(args: &RenderArgs) -> Result<Recipe, Failure> {
    let Some(path) = &args.recipe else {
        return Ok(Recipe { seed: random_seed(), ..Recipe::default() });
    };
    let found = read_recipe(path).map_err(Failure::failed)?.ok_or_else(|| {
        Failure::failed(format!(
            "This picture has no recipe: choose one that Tidepool made: {}",
            path.display()
        ))
    })?;
    found.notes.iter().for_each(|note| eprintln!("{note}"));
    Ok(found.provenance.recipe)
}

/// `base`, changed by the options on the command line.
pub fn recipe_of(args: &RenderArgs, base: Recipe) -> Result<Recipe, Failure> {
    let mut recipe = base;
    if let Some(prompt) = &args.prompt {
        recipe.prompt.clone_from(prompt);
    }
    if let Some(negative) = &args.negative {
        recipe.negative_prompt.clone_from(negative);
    }
    if let Some(Size { width, height }) = args.size {
        (recipe.width, recipe.height) = (width, height);
    }
    match args.seed {
        Some(Seed::Given(seed)) => recipe.seed = seed,
        Some(Seed::Random) => recipe.seed = random_seed(),
        None => {}
    }
    recipe.batch = args.batch.unwrap_or(recipe.batch);
    recipe.steps = args.steps.unwrap_or(recipe.steps);
    args.text.write_into(&mut recipe);
    args.sampling.write_into(&mut recipe);
    recipe.guidance.cfg_scale = args.cfg.unwrap_or(recipe.guidance.cfg_scale);
    if !args.guides.is_empty() {
        recipe.guides.clone_from(&args.guides);
    }
    args.training_free.write_into(&mut recipe);
    if let Some(path) = &args.init {
        recipe.start = Start::Image { path: path.clone(), strength: strength(args, recipe.steps)? };
    }
    Ok(recipe)
}

fn strength(args: &RenderArgs, steps: u32) -> Result<f32, Failure> {
    let Some(start_step) = args.start_step else {
        return Ok(args.strength.unwrap_or(DEFAULT_STRENGTH));
    };
    if start_step >= steps {
        return Err(Failure::usage(format!(
            "A start step of {start_step} leaves none of the {steps} steps to run: choose a smaller one"
        )));
    }
    Ok(strength_of(start_step, steps))
}

/// For `--continue`: the recipe that continues from a step of a trace, the steps before it, and the model
/// that made them.
pub fn resume_run(args: &RenderArgs, trace: &Path) -> Result<(Recipe, RecordedRun, Option<String>), Failure> {
    let TraceFile { mut run, model } = read_trace(trace).map_err(Failure::failed)?;
    let step = args.from.unwrap_or_default();
    let last = run.trajectory.steps.len() as u32 - 1;
    if step > last {
        return Err(Failure::usage(RecipeError::BranchStep { step, first: 0, last }));
    }
    let parent = run.recipe.clone();
    let step_of_schedule = run.trajectory.start_step as u32 + step;
    let recipe =
        recipe_of(args, parent.clone())?.branching_painted(&parent, step_of_schedule, Some(paint(args)?));
    if recipe == parent {
        run.trajectory.steps.truncate(step as usize);
    }
    Ok((recipe, run, Some(model)))
}

/// What `--paint` and `--fresh-noise` paint.
fn paint(args: &RenderArgs) -> Result<Paint, Failure> {
    let layer = args.paint.as_deref().map(Layer::load).transpose().map_err(Failure::failed)?;
    let mask = args.fresh_noise.as_deref().map(Mask::load).transpose().map_err(Failure::failed)?;
    let seed = args.fresh_noise_seed.unwrap_or_default();
    let hold = args.hold.unwrap_or(Paint::HOLD);
    Ok(Paint { layer, hold, noise: mask.map(|mask| FreshNoise { mask, seed }) })
}

/// What the user should know although the run can start.
pub fn warnings(pipeline: &Pipeline, recipe: &Recipe, concepts: &LoadedConcepts) -> Vec<String> {
    let mut warnings = [pipeline.info().notes.as_slice(), &concepts.warnings].concat();
    if recipe.prompt.trim().is_empty() {
        warnings.push("The prompt is empty, so the picture is arbitrary: describe what to draw".to_owned());
    }
    let Recipe { prompt, negative_prompt, mix, text: options, steps, .. } = recipe;
    let (words, steps) = (pipeline.prompt_tokenizer(), *steps as usize);
    // AND composes only in the prompt; in the other texts it is an ordinary word.
    let read_single = |text| words.read_single(text, options, steps);
    let mut texts = vec![
        ("prompt", prompt, words.read(prompt, options, steps)),
        ("negative prompt", negative_prompt, read_single(negative_prompt)),
    ];
    texts
        .extend(mix.prompts.iter().map(|Mixed { prompt, .. }| ("mixed prompt", prompt, read_single(prompt))));
    for (name, text, parsed) in texts {
        if let (cut, Some(read)) = (parsed.cut(), parsed.texts().next())
            && !cut.is_empty()
        {
            warnings.push(format!(
                "The model reads {} tokens and the {name} is longer: everything from \"{}\" on is ignored",
                read.capacity,
                ellipsize(cut, MAX_QUOTED)
            ));
        }
        warnings.extend(words.marks(text).iter().filter_map(|mark| mark.warning(text)));
    }
    warnings.extend(ignored_options(recipe));
    warnings.extend(concepts.unused(pipeline, recipe));
    warnings
}

/// The first Ctrl+C stops the run as soon as possible, the second ends the program.
pub fn raise_on_ctrl_c(stop: StopFlag) {
    if let Err(error) = listen_to_ctrl_c(stop) {
        tracing::warn!("Ctrl+C ends the program at once: {error}");
    }
}

fn listen_to_ctrl_c(stop: StopFlag) -> std::io::Result<()> {
    let pressed = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order, so that the first signal does not see the flag it sets itself.
        flag::register_conditional_shutdown(signal, 130, pressed.clone())?;
        flag::register(signal, pressed.clone())?;
    }
    // A signal handler may only set a flag; this thread polls it.
    let watch = move || {
        while !pressed.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(10));
        }
        stop.raise();
    };
    thread::Builder::new().name("ctrl-c".to_owned()).spawn(watch).map(drop)
}

/// An invalid recipe is a usage error, anything else is not.
pub fn failure(error: GenerateError) -> Failure {
    match error {
        GenerateError::Recipe(error) => Failure::usage(error),
        GenerateError::Stopped => Failure::failed("Stopped; nothing was written"),
        error => Failure::failed(error),
    }
}
