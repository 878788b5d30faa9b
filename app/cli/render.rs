//! `tidepool render`: pictures from a prompt, without a window.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use engine::checkpoint::ModelSource;
use engine::device::DeviceChoice;
use engine::generate::{GenerateError, Generated, Pipeline, Progress, Timings};
use engine::images::Provenance;
use engine::recipe::{Guidance, Recipe, Start, strength_of};
use engine::session::{ModelCard, StopFlag};
use engine::thrift::Thrift;
use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::args::{RenderArgs, Seed, Size};
use super::concepts::Given;
use super::files::{Files, Previews};
use super::models::source_of;
use super::{Failure, progress, recipe_json, say};

/// Strength of image to image when none is given: changes much, keeps the composition.
const DEFAULT_STRENGTH: f32 = 0.75;

pub fn render(args: &RenderArgs) -> Result<(), Failure> {
    let mut recipe = recipe_of(args)?;
    recipe.check().map_err(Failure::usage)?;
    let files = Files::plan(args, recipe.batch)?;

    let concepts = Given::read(&args.concepts)?;
    let started = Instant::now();
    let vae = args.model.vae.as_deref();
    let mut pipeline = open(&source_of(&args.model.model)?, vae, args.model.device.choice())?;
    let load_secs = started.elapsed().as_secs_f64();
    if args.size.is_none() {
        recipe.width = pipeline.card().native_side;
        recipe.height = pipeline.card().native_side;
    }
    concepts.join(&mut pipeline)?;
    let mut remarks = remarks(&pipeline, &recipe, &concepts);
    for remark in &remarks {
        eprintln!("{remark}");
    }
    let (generated, previews) = run(&pipeline, &recipe)?;
    for note in &generated.notes {
        eprintln!("{note}");
    }
    remarks.extend(generated.notes.iter().cloned());
    let (timings, used) = (generated.timings.clone(), generated.concepts.clone());
    files.write(pipeline.card(), &recipe, generated, &previews)?;

    if args.json {
        let mut report = report(pipeline.card(), &recipe, &timings, load_secs);
        report["paths"] = files.pictures.iter().map(|path| shown(path)).collect();
        report["film"] = files.films.iter().map(|path| shown(path)).collect();
        report["trace"] = files.trace.as_deref().map(shown).into();
        report["concepts"] = json!(used);
        report["remarks"] = remarks.into();
        say(report)?;
    } else {
        for path in &files.pictures {
            say(path.display())?;
        }
        eprintln!(
            "Seed {}, {} x {}, {} steps of {} in {:.2} s on {}",
            recipe.seed,
            recipe.width,
            recipe.height,
            recipe.steps - recipe.start_step(),
            recipe.sampler.label(),
            timings.total_secs,
            pipeline.card().device.name,
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

fn recipe_of(args: &RenderArgs) -> Result<Recipe, Failure> {
    let Size { width, height } = args.size.unwrap_or(Size { width: 64, height: 64 });
    let start = match &args.init {
        None => Start::Noise,
        Some(path) => Start::Image { path: path.clone(), strength: strength(args)? },
    };
    Ok(Recipe {
        prompt: args.prompt.clone(),
        negative_prompt: args.negative.clone(),
        width,
        height,
        seed: match args.seed {
            Seed::Given(seed) => seed,
            Seed::Random => random_seed(),
        },
        batch: args.batch,
        steps: args.steps,
        sampler: args.sampler,
        schedule: args.schedule,
        guidance: Guidance { cfg_scale: args.cfg },
        start,
        branch: None,
    })
}

fn strength(args: &RenderArgs) -> Result<f32, Failure> {
    let Some(start_step) = args.start_step else {
        return Ok(args.strength.unwrap_or(DEFAULT_STRENGTH));
    };
    if start_step >= args.steps {
        return Err(Failure::usage(format!(
            "A start step of {start_step} leaves none of the {} steps to run: choose a smaller one",
            args.steps
        )));
    }
    Ok(strength_of(start_step, args.steps))
}

/// Ten digits at most, which are easily said and typed.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    // The standard library's only source of randomness: each state has fresh keys.
    u64::from(RandomState::new().hash_one(Instant::now()) as u32)
}

/// What the user should know and that stops nothing.
fn remarks(pipeline: &Pipeline, recipe: &Recipe, concepts: &Given) -> Vec<String> {
    let mut remarks = concepts.remarks.clone();
    if recipe.prompt.trim().is_empty() {
        remarks.push(
            "The prompt is empty, so the model draws what it likes: say what you want to see".to_owned(),
        );
    }
    for (what, text) in [("prompt", &recipe.prompt), ("negative prompt", &recipe.negative_prompt)] {
        let tokens = pipeline.tokenize(text);
        if !tokens.cut.is_empty() {
            remarks.push(format!(
                "The model reads {} tokens and the {what} has more: it ends before \"{}\"",
                tokens.room,
                beginning(&tokens.cut)
            ));
        }
        remarks.extend(tokens.marks.iter().filter_map(|mark| mark.warning(text)));
    }
    remarks.extend(concepts.unused(pipeline, &[&recipe.prompt, &recipe.negative_prompt]));
    remarks
}

fn beginning(text: &str) -> String {
    const CHARS: usize = 40;
    match text.char_indices().nth(CHARS) {
        Some((at, _)) => format!("{} ...", &text[..at]),
        None => text.to_owned(),
    }
}

fn run(pipeline: &Pipeline, recipe: &Recipe) -> Result<(Generated, Previews), Failure> {
    let stop = StopFlag::default();
    raise_on_ctrl_c(stop.clone());
    let bar = progress::steps_bar((recipe.steps - recipe.start_step()) as usize);
    let mut previews = Previews::new();
    let generated = pipeline.generate(recipe, &stop, &mut |progress| {
        if let Progress::Step(frame) = progress {
            previews.push(frame.predicted);
            bar.inc(1);
        }
    });
    bar.finish_and_clear();
    Ok((generated.map_err(failure)?, previews))
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

fn report(card: &ModelCard, recipe: &Recipe, timings: &Timings, load_secs: f64) -> Value {
    json!({
        "seed": recipe.seed,
        "width": recipe.width,
        "height": recipe.height,
        "batch": recipe.batch,
        "steps": recipe.steps,
        "start_step": recipe.start_step(),
        "recipe": recipe_json(&Provenance::new(&card.name, recipe.clone())),
        "timings": {
            "text_encode_secs": timings.text_secs,
            "step_secs": timings.step_secs,
            "decode_secs": timings.decode_secs,
            "generate_secs": timings.total_secs,
            "load_secs": load_secs,
        },
        "needed_bytes": card.room.bytes(recipe, Thrift::Generous),
        "model": card.name,
        "vae": card.vae,
        "device": card.device,
    })
}

fn shown(path: &Path) -> Value {
    path.display().to_string().into()
}
