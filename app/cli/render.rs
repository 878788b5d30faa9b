//! `tidepool render`: pictures from a prompt, without a window.

use std::path::Path;
use std::time::Instant;

use engine::images::Provenance;
use engine::memory::mode::MemoryMode;
use engine::pipeline::{Frame, Generated, ModelInfo, Pipeline, Progress, StopFlag, Timings};
use engine::recipe::{Recipe, RecordedRun};
use serde_json::{Value, json};

use super::concept_args::LoadedConcepts;
use super::models::source_of;
use super::output_files::{OutputFiles, check_writable};
use super::render_args::RenderArgs;
use super::run::{base_recipe, failure, open, raise_on_ctrl_c, recipe_of, resume_run, warnings};
use super::{Failure, attention, print, progress, recipe_json, trajectory_map};

pub fn render(args: &RenderArgs) -> Result<(), Failure> {
    let (mut recipe, mut recorded, recorded_by) = match &args.continue_from {
        Some(trace) => resume_run(args, trace)?,
        None => (recipe_of(args, base_recipe(args)?)?, RecordedRun::default(), None),
    };
    recipe.check().map_err(Failure::usage)?;
    args.animation.check()?;
    let mut files = OutputFiles::plan(args, recipe.batch)?;
    if let Some(path) = &args.attention {
        check_writable(path, "png", "--attention")?;
    }
    if let Some(path) = &args.map {
        check_writable(path, "png", "--map")?;
    }

    let concepts = LoadedConcepts::read(&args.concepts.concepts)?;
    let started = Instant::now();
    let vae = args.model.vae.as_deref();
    let mut pipeline = open(&source_of(&args.model.model)?, vae, args.model.device.choice())?;
    let load_secs = started.elapsed().as_secs_f64();
    if args.size.is_none() && args.continue_from.is_none() && args.recipe.is_none() {
        recipe.width = pipeline.info().native_side;
        recipe.height = pipeline.info().native_side;
    }
    concepts.add_to(&mut pipeline)?;
    let mut warnings = warnings(&pipeline, &recipe, &concepts);
    if let Some(recorded_by) = recorded_by.filter(|name| *name != pipeline.info().name) {
        let name = &pipeline.info().name;
        warnings.push(format!("The earlier steps were made with {recorded_by}, the new ones use {name}"));
    }
    for warning in &warnings {
        eprintln!("{warning}");
    }
    let steps = (recipe.steps - recipe.start_step()) as usize;
    args.animation.check_size(steps, (recipe.width, recipe.height))?;
    let stop = StopFlag::default();
    raise_on_ctrl_c(stop.clone());
    let mut frames = Vec::new();
    let generated = generate(&pipeline, &recipe, &mut recorded, &stop, &mut |frame| {
        if args.map.is_some() {
            frames.push(frame);
        }
    })?;
    for note in &generated.notes {
        eprintln!("{note}");
    }
    warnings.extend(generated.notes.iter().cloned());
    if let Some(path) = &args.attention {
        attention::write(path, &pipeline, &recorded, &generated.pictures[0], &stop)?;
    }
    if let Some(path) = &args.map {
        trajectory_map::write(path, args.map_view, &pipeline, &recorded, &frames, &generated.pictures)?;
    }
    let (timings, used_concepts) = (generated.timings.clone(), generated.concepts.clone());
    let steps = recorded.trajectory.steps.len();
    files.write(&pipeline, recorded, generated, &args.animation, &stop)?;

    if args.json {
        let mut report = report(pipeline.info(), &recipe, &timings, load_secs);
        report["paths"] = files.pictures.iter().map(|path| path_json(path)).collect();
        report["film"] = files.animations.iter().map(|path| path_json(path)).collect();
        report["contact_sheet"] = files.contact_sheets.iter().map(|path| path_json(path)).collect();
        report["attention"] = args.attention.as_deref().map(path_json).into();
        report["map"] = args.map.as_deref().map(path_json).into();
        report["trace"] = files.trace.as_deref().map(path_json).into();
        report["concepts"] = json!(used_concepts);
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

/// Makes the pictures of a recipe with a progress bar. `keep` gets each step.
fn generate(
    pipeline: &Pipeline,
    recipe: &Recipe,
    recorded: &mut RecordedRun,
    stop: &StopFlag,
    keep: &mut dyn FnMut(Frame),
) -> Result<Generated, Failure> {
    let bar = progress::steps_bar((recipe.steps - recipe.start_step()) as usize);
    let generated = pipeline.generate_from(recorded, recipe, stop, &mut |progress| {
        match progress {
            // An adaptive sampler may take more steps than this, and the bar then grows.
            Progress::Started { sigmas, start_step } => {
                bar.set_length((sigmas.len() - 1).saturating_sub(start_step) as u64);
            }
            Progress::Step(frame) => {
                keep(frame);
                bar.inc(1);
                bar.set_length(bar.position().max(bar.length().unwrap_or_default()));
            }
            Progress::Recorded(_) => {}
        }
    });
    bar.finish_and_clear();
    generated.map_err(failure)
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

fn path_json(path: &Path) -> Value {
    path.display().to_string().into()
}
