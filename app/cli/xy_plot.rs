//! `tidepool xy-plot`: varies one or two settings of a recipe; every combination in one labelled picture.

use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use engine::images::{Grid, Pixels, Provenance};
use engine::pipeline::animation_export::AnimationLayout;
use engine::pipeline::{Pipeline, Progress, StopFlag};
use engine::recipe::xy_plot::{Axis, XyPlot};
use serde_json::json;

use super::animation_args::write_animations;
use super::concept_args::LoadedConcepts;
use super::models::source_of;
use super::output_files::OutputFiles;
use super::render_args::RenderArgs;
use super::run::{base_recipe, failure, open, raise_on_ctrl_c, recipe_of, warnings};
use super::{Failure, print, progress, recipe_json};
use crate::features::xy_plot::strip;

#[derive(Debug, Args)]
pub struct XyPlotArgs {
    /// The setting to vary from column to column, with its values; given once more, from row to row. One
    /// of sampler, schedule, steps, cfg, seed, strength, mix (the weight of the first --mix) and blend
    /// (from the first to the second word of an --edit)
    #[arg(long, value_name = "cfg=1,4,7.5", required = true, allow_hyphen_values = true)]
    pub vary: Vec<Axis>,
    #[command(flatten)]
    pub render: RenderArgs,
}

pub fn xy_plot(args: &XyPlotArgs) -> Result<(), Failure> {
    let XyPlotArgs { vary, render: args } = args;
    refuse_single_picture_options(args)?;
    args.animation.check()?;
    let mut plot = XyPlot::new(recipe_of(args, base_recipe(args)?)?, vary.clone()).map_err(Failure::usage)?;
    let mut files = OutputFiles::plan(args, 1)?;

    let concepts = LoadedConcepts::read(&args.concepts.concepts)?;
    let started = Instant::now();
    let vae = args.model.vae.as_deref();
    let mut pipeline = open(&source_of(&args.model.model)?, vae, args.model.device.choice())?;
    let load_secs = started.elapsed().as_secs_f64();
    if args.size.is_none() && args.recipe.is_none() {
        plot.recipe.width = pipeline.info().native_side;
        plot.recipe.height = pipeline.info().native_side;
    }
    concepts.add_to(&mut pipeline)?;
    args.animation.check_size(plot.cells().count(), (plot.recipe.width, plot.recipe.height))?;
    let mut warnings = warnings(&pipeline, &plot.recipe, &concepts);
    for warning in &warnings {
        eprintln!("{warning}");
    }

    let stop = StopFlag::default();
    raise_on_ctrl_c(stop.clone());
    let GeneratedPlot { grid, pictures, provenance, picture_secs, notes } =
        generate(&pipeline, &plot, &stop)?;
    for note in notes {
        eprintln!("{note}");
        warnings.push(note);
    }
    files.write_picture(0, grid.picture(), &provenance)?;
    if let Some(path) = files.animations.first() {
        let animation = strip(&plot, &pictures, &args.animation.options(), provenance.clone());
        write_animations([Some(path), None], &animation, &stop)?;
    }
    let path = files.pictures[0].display();
    if args.json {
        return print(json!({
            "path": path.to_string(),
            "film": files.animations.first().map(|path| path.display().to_string()),
            "columns": plot.columns(),
            "rows": plot.y.as_ref().map(Axis::labels),
            "vary": plot.axes().map(ToString::to_string).collect::<Vec<_>>(),
            "width": grid.picture().width,
            "height": grid.picture().height,
            "seed": plot.recipe.seed,
            "recipe": recipe_json(&provenance),
            "timings": { "picture_secs": picture_secs, "load_secs": load_secs },
            "model": pipeline.info().name,
            "vae": pipeline.info().vae,
            "device": pipeline.info().device,
            "concepts": provenance.concepts,
            "remarks": warnings,
        }));
    }
    print(path)?;
    let (count, secs) = (picture_secs.len(), picture_secs.iter().sum::<f64>());
    let (seed, device) = (plot.recipe.seed, &pipeline.info().device.name);
    eprintln!("Seed {seed}, {count} pictures in {secs:.2} s on {device}");
    Ok(())
}

fn refuse_single_picture_options(args: &RenderArgs) -> Result<(), Failure> {
    let options = [
        ("--attention", args.attention.is_some()),
        ("--map", args.map.is_some()),
        ("--contact-sheet", args.animation.contact_sheet.is_some()),
        ("--film-view", args.animation.film_view != AnimationLayout::default()),
        ("--film-full", args.animation.film_full),
        ("--trace", args.trace.is_some()),
        ("--continue", args.continue_from.is_some()),
    ];
    options.iter().find(|(_, is_given)| *is_given).map_or(Ok(()), |(name, _)| {
        Err(Failure::usage(format!("{name} works with one picture only: use it with `tidepool render`")))
    })
}

/// A plot with all its pictures.
struct GeneratedPlot {
    grid: Grid,
    /// Row by row.
    pictures: Vec<Arc<Pixels>>,
    provenance: Provenance,
    /// Time for each picture, row by row.
    picture_secs: Vec<f64>,
    notes: Vec<String>,
}

fn generate(pipeline: &Pipeline, plot: &XyPlot, stop: &StopFlag) -> Result<GeneratedPlot, Failure> {
    let size = (plot.recipe.width, plot.recipe.height);
    let mut grid = Grid::new(&plot.columns(), &plot.rows(), size);
    let (mut pictures, mut picture_secs, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    let mut concepts = Vec::new();
    let steps = plot.cells().map(|cell| u64::from(cell.recipe.steps - cell.recipe.start_step())).sum();
    let bar = progress::xy_plot_bar(steps);
    for cell in plot.cells() {
        bar.set_message(plot.label(&cell));
        let generated = pipeline.generate(&cell.recipe, stop, &mut |progress| {
            if let Progress::Step(_) = progress {
                bar.inc(1);
            }
        });
        let generated = generated.map_err(|error| {
            bar.finish_and_clear();
            failure(error)
        })?;
        grid.put(cell.column as u32, cell.row as u32, &generated.pictures[0]);
        pictures.push(Arc::clone(&generated.pictures[0]));
        picture_secs.push(generated.timings.total_secs);
        notes.extend(generated.notes.into_iter().filter(|note| !notes.contains(note)).collect::<Vec<_>>());
        concepts = generated.concepts;
    }
    bar.finish_and_clear();
    let (info, vary) = (pipeline.info(), plot.axes().cloned().collect());
    let run = Provenance::of_run(&info.name, info.vae.clone(), plot.recipe.clone(), concepts);
    Ok(GeneratedPlot { grid, pictures, provenance: Provenance { vary, ..run }, picture_secs, notes })
}
