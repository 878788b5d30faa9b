//! `tidepool render`: pictures from a prompt, without a window.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use engine::checkpoint::ModelSource;
use engine::device::DeviceChoice;
use engine::images::{Provenance, TraceFile, read_trace};
use engine::memory::low_memory::MemoryMode;
use engine::pipeline::{GenerateError, Generated, Pipeline, Progress, Timings};
use engine::pipeline::{ModelInfo, StopFlag};
use engine::prompt::Mixed;
use engine::recipe::{DEFAULT_STRENGTH, Recipe, RecipeError, RecordedRun, Start, random_seed, strength_of};
use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::args::{RenderArgs, Seed, Size};
use super::concept_args::LoadedConcepts;
use super::models::source_of;
use super::output_files::{Files, check_writable};
use super::sampling_args::ignored_options;
use super::{Failure, attention, print, progress, recipe_json};
use engine::format::ellipsize;

pub fn render(args: &RenderArgs) -> Result<(), Failure> {
    let (mut recipe, mut recorded, recorded_by) = match &args.continue_from {
        Some(trace) => resume_run(args, trace)?,
        None => {
            let anew = Recipe { seed: random_seed(), ..Recipe::default() };
            (recipe_of(args, anew)?, RecordedRun::default(), None)
        }
    };
    recipe.check().map_err(Failure::usage)?;
    args.film.check()?;
    let files = Files::plan(args, recipe.batch)?;
    if let Some(path) = &args.attention {
        check_writable(path, "png", "--attention")?;
    }

    let concepts = LoadedConcepts::read(&args.concepts.concepts)?;
    let started = Instant::now();
    let vae = args.model.vae.as_deref();
    let mut pipeline = open(&source_of(&args.model.model)?, vae, args.model.device.choice())?;
    let load_secs = started.elapsed().as_secs_f64();
    if args.size.is_none() && args.continue_from.is_none() {
        recipe.width = pipeline.info().native_side;
        recipe.height = pipeline.info().native_side;
    }
    concepts.join(&mut pipeline)?;
    let mut warnings = warnings(&pipeline, &recipe, &concepts);
    if let Some(before) = recorded_by.filter(|before| *before != pipeline.info().name) {
        let now = &pipeline.info().name;
        warnings.push(format!("The steps before were made with {before}, those to come are with {now}"));
    }
    for remark in &warnings {
        eprintln!("{remark}");
    }
    let steps = (recipe.steps - recipe.start_step()) as usize;
    args.film.check_size(steps, (recipe.width, recipe.height))?;
    let stop = StopFlag::default();
    raise_on_ctrl_c(stop.clone());
    let generated = run(&pipeline, &recipe, &mut recorded, &stop)?;
    for note in &generated.notes {
        eprintln!("{note}");
    }
    warnings.extend(generated.notes.iter().cloned());
    if let Some(path) = &args.attention {
        attention::write(path, &pipeline, &recorded, &generated.pictures[0], &stop)?;
    }
    let (timings, used) = (generated.timings.clone(), generated.concepts.clone());
    let steps = recorded.trajectory.steps.len();
    files.write(&pipeline, recorded, generated, &args.film, &stop)?;

    if args.json {
        let mut report = report(pipeline.info(), &recipe, &timings, load_secs);
        report["paths"] = files.pictures.iter().map(|path| shown(path)).collect();
        report["film"] = files.films.iter().map(|path| shown(path)).collect();
        report["contact_sheet"] = files.contact_sheets.iter().map(|path| shown(path)).collect();
        report["attention"] = args.attention.as_deref().map(shown).into();
        report["trace"] = files.trace.as_deref().map(shown).into();
        report["concepts"] = json!(used);
        report["remarks"] = warnings.into();
        print(report)?;
    } else {
        for path in &files.pictures {
            print(path.display())?;
        }
        eprintln!(
            "Seed {}, {} x {}, {} steps of {} in {:.2} s on {}",
            recipe.seed,
            recipe.width,
            recipe.height,
            steps,
            recipe.sampler.label(),
            timings.total_secs,
            pipeline.info().device.name,
        );
    }
    Ok(())
}

/// Opens a model with a bar.
pub fn open(source: &ModelSource, vae: Option<&Path>, choice: DeviceChoice) -> Result<Pipeline, Failure> {
    let bar = progress::opening_bar();
    let opened = Pipeline::open_with_vae(source, vae, choice, &mut |fraction| {
        progress::set_fraction(&bar, fraction);
        true
    });
    bar.finish_and_clear();
    opened.map_err(Failure::failed)
}

/// The recipe that goes on from a step of a trace, the steps before it, and the model that made them.
fn resume_run(args: &RenderArgs, trace: &Path) -> Result<(Recipe, RecordedRun, Option<String>), Failure> {
    let TraceFile { mut run, model } = read_trace(trace).map_err(Failure::failed)?;
    let step = args.from.unwrap_or_default();
    let last = run.trajectory.steps.len() as u32 - 1;
    if step > last {
        return Err(Failure::usage(RecipeError::BranchStep { step, first: 0, last }));
    }
    let from = run.recipe.clone();
    let recipe = recipe_of(args, from.clone())?.branching(&from, run.trajectory.start_step as u32 + step);
    if recipe == from {
        run.trajectory.steps.truncate(step as usize);
    }
    Ok((recipe, run, Some(model)))
}

/// `base`, with what the command line says.
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

/// What the user should know and that stops nothing.
pub fn warnings(pipeline: &Pipeline, recipe: &Recipe, concepts: &LoadedConcepts) -> Vec<String> {
    let mut warnings = concepts.warnings.clone();
    if recipe.prompt.trim().is_empty() {
        warnings.push(
            "The prompt is empty, so the model draws what it likes: say what you want to see".to_owned(),
        );
    }
    let Recipe { prompt, negative_prompt, mix, text: options, steps, .. } = recipe;
    let (words, steps) = (pipeline.words(), *steps as usize);
    // AND composes the prompt alone; in the others it is a word.
    let whole = |text| words.read_whole(text, options, steps);
    let mut readings = vec![
        ("prompt", prompt, words.read(prompt, options, steps)),
        ("negative prompt", negative_prompt, whole(negative_prompt)),
    ];
    readings.extend(mix.prompts.iter().map(|Mixed { prompt, .. }| ("mixed prompt", prompt, whole(prompt))));
    for (what, text, reading) in readings {
        if let (cut, Some(read)) = (reading.cut(), reading.texts().next())
            && !cut.is_empty()
        {
            warnings.push(format!(
                "The model reads {} tokens and the {what} has more: it ends before \"{}\"",
                read.capacity,
                ellipsize(cut, MAX_LETTERS)
            ));
        }
        warnings.extend(words.marks(text).iter().filter_map(|mark| mark.warning(text)));
    }
    warnings.extend(ignored_options(recipe));
    warnings.extend(concepts.unused(pipeline, recipe));
    warnings
}

/// Letters that are quoted of what is not read.
const MAX_LETTERS: usize = 40;

/// Makes the pictures of a recipe, with a bar.
fn run(
    pipeline: &Pipeline,
    recipe: &Recipe,
    recorded: &mut RecordedRun,
    stop: &StopFlag,
) -> Result<Generated, Failure> {
    let bar = progress::steps_bar((recipe.steps - recipe.start_step()) as usize);
    let generated = pipeline.generate_from(recorded, recipe, stop, &mut |progress| {
        match progress {
            // A sampler that finds its own sigmas may take more of them, and the bar then grows.
            Progress::Started { sigmas, start_step } => {
                bar.set_length((sigmas.len() - 1).saturating_sub(start_step) as u64);
            }
            Progress::Step(_) => {
                bar.inc(1);
                bar.set_length(bar.position().max(bar.length().unwrap_or_default()));
            }
        }
    });
    bar.finish_and_clear();
    generated.map_err(failure)
}

/// The first Ctrl+C ends what is done as soon as it can be ended, the second the program.
pub fn raise_on_ctrl_c(stop: StopFlag) {
    if let Err(error) = listen_to_ctrl_c(stop) {
        tracing::warn!("Ctrl+C ends the program at once: {error}");
    }
}

fn listen_to_ctrl_c(stop: StopFlag) -> std::io::Result<()> {
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order, so that the first signal does not find its own mark.
        flag::register_conditional_shutdown(signal, 130, asked.clone())?;
        flag::register(signal, asked.clone())?;
    }
    // All that a signal may do is to leave a mark; somebody has to look at it.
    let watch = move || {
        while !asked.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(10));
        }
        stop.raise();
    };
    thread::Builder::new().name("ctrl-c".to_owned()).spawn(watch).map(drop)
}

/// A recipe that cannot be meant is the command line's fault, everything else is not.
pub fn failure(error: GenerateError) -> Failure {
    match error {
        GenerateError::Recipe(error) => Failure::usage(error),
        GenerateError::Stopped => Failure::failed("Stopped; nothing was written"),
        error => Failure::failed(error),
    }
}

fn report(info: &ModelInfo, recipe: &Recipe, timings: &Timings, load_secs: f64) -> Value {
    json!({
        "seed": recipe.seed,
        "width": recipe.width,
        "height": recipe.height,
        "batch": recipe.batch,
        "steps": recipe.steps,
        "start_step": recipe.start_step(),
        "recipe": recipe_json(&Provenance::new(&info.name, recipe.clone())),
        "timings": {
            "text_encode_secs": timings.text_secs,
            "step_secs": timings.step_secs,
            "decode_secs": timings.decode_secs,
            "generate_secs": timings.total_secs,
            "load_secs": load_secs,
        },
        "needed_bytes": info.memory.bytes(recipe, MemoryMode::Full),
        "model": info.name,
        "vae": info.vae,
        "device": info.device,
    })
}

fn shown(path: &Path) -> Value {
    path.display().to_string().into()
}
