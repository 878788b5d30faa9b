//! `tidepool sheet`: one recipe over lists of values, every combination in one labelled picture.

use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use engine::images::{Grid, Pixels, Provenance};
use engine::pipeline::StopFlag;
use engine::pipeline::animation_export::AnimationLayout;
use engine::pipeline::{Pipeline, Progress};
use engine::recipe::xy_plot::{Axis, XyPlot};
use engine::recipe::{Recipe, random_seed};
use serde_json::json;

use super::args::RenderArgs;
use super::concept_args::LoadedConcepts;
use super::film_args::write_films;
use super::models::source_of;
use super::output_files::Files;
use super::render::{failure, open, raise_on_ctrl_c, recipe_of, warnings};
use super::{Failure, print, progress, recipe_json};
use crate::features::xy_plot::strip;

#[derive(Debug, Args)]
pub struct SheetArgs {
    /// What differs from column to column; given once more, from row to row. One of sampler, schedule,
    /// steps, cfg, seed, strength, mix (the weight of the first --mix) and blend (from the first
    /// to the second word of an --edit)
    #[arg(long, value_name = "cfg=1,4,7.5", required = true, allow_hyphen_values = true)]
    pub vary: Vec<Axis>,
    #[command(flatten)]
    pub render: RenderArgs,
}

pub fn sheet(args: &SheetArgs) -> Result<(), Failure> {
    let SheetArgs { vary, render: args } = args;
    refuse_what_is_of_one_picture(args)?;
    args.film.check()?;
    let anew = Recipe { seed: random_seed(), ..Recipe::default() };
    let mut sheet = XyPlot::new(recipe_of(args, anew)?, vary.clone()).map_err(Failure::usage)?;
    let files = Files::plan(args, 1)?;

    let concepts = LoadedConcepts::read(&args.concepts.concepts)?;
    let started = Instant::now();
    let vae = args.model.vae.as_deref();
    let mut pipeline = open(&source_of(&args.model.model)?, vae, args.model.device.choice())?;
    let load_secs = started.elapsed().as_secs_f64();
    if args.size.is_none() {
        sheet.recipe.width = pipeline.info().native_side;
        sheet.recipe.height = pipeline.info().native_side;
    }
    concepts.join(&mut pipeline)?;
    args.film.check_size(sheet.cells().count(), (sheet.recipe.width, sheet.recipe.height))?;
    let mut warnings = warnings(&pipeline, &sheet.recipe, &concepts);
    for remark in &warnings {
        eprintln!("{remark}");
    }

    let stop = StopFlag::default();
    raise_on_ctrl_c(stop.clone());
    let Made { grid, pictures, provenance, picture_secs, notes } = make(&pipeline, &sheet, &stop)?;
    for note in notes {
        eprintln!("{note}");
        warnings.push(note);
    }
    files.write_picture(0, grid.picture(), &provenance)?;
    if let Some(film) = files.films.first() {
        let reel = strip(&sheet, &pictures, &args.film.options(), provenance.clone());
        write_films([Some(film), None], &reel, &stop)?;
    }
    let path = files.pictures[0].display();
    if args.json {
        return print(json!({
            "path": path.to_string(),
            "film": files.films.first().map(|film| film.display().to_string()),
            "columns": sheet.columns(),
            "rows": sheet.down.as_ref().map(Axis::labels),
            "vary": sheet.sides().map(ToString::to_string).collect::<Vec<_>>(),
            "width": grid.picture().width,
            "height": grid.picture().height,
            "seed": sheet.recipe.seed,
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
    let (seed, device) = (sheet.recipe.seed, &pipeline.info().device.name);
    eprintln!("Seed {seed}, {count} pictures in {secs:.2} s on {device}");
    Ok(())
}

fn refuse_what_is_of_one_picture(args: &RenderArgs) -> Result<(), Failure> {
    let given = [
        ("--attention", args.attention.is_some()),
        ("--contact-sheet", args.film.contact_sheet.is_some()),
        ("--film-view", args.film.film_view != AnimationLayout::default()),
        ("--film-full", args.film.film_full),
        ("--trace", args.trace.is_some()),
        ("--continue", args.continue_from.is_some()),
    ];
    given.iter().find(|(_, is_given)| *is_given).map_or(Ok(()), |(name, _)| {
        Err(Failure::usage(format!("{name} is of one picture and a sheet has many: use it with `render`")))
    })
}

/// A sheet whose pictures are all there.
struct Made {
    grid: Grid,
    /// Row by row.
    pictures: Vec<Arc<Pixels>>,
    provenance: Provenance,
    /// Of each picture, row by row.
    picture_secs: Vec<f64>,
    notes: Vec<String>,
}

fn make(pipeline: &Pipeline, sheet: &XyPlot, stop: &StopFlag) -> Result<Made, Failure> {
    let size = (sheet.recipe.width, sheet.recipe.height);
    let mut grid = Grid::new(&sheet.columns(), &sheet.rows(), size);
    let (info, vary) = (pipeline.info(), sheet.sides().cloned().collect());
    let mut provenance =
        Provenance { vae: info.vae.clone(), vary, ..Provenance::new(&info.name, sheet.recipe.clone()) };
    let (mut pictures, mut picture_secs, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    let steps = sheet.cells().map(|cell| u64::from(cell.recipe.steps - cell.recipe.start_step())).sum();
    let bar = progress::sheet_bar(steps);
    for cell in sheet.cells() {
        bar.set_message(sheet.label(&cell));
        let made = pipeline.generate(&cell.recipe, stop, &mut |progress| {
            if let Progress::Step(_) = progress {
                bar.inc(1);
            }
        });
        let made = made.map_err(|error| {
            bar.finish_and_clear();
            failure(error)
        })?;
        grid.put(cell.column as u32, cell.row as u32, &made.pictures[0]);
        pictures.push(Arc::clone(&made.pictures[0]));
        picture_secs.push(made.timings.total_secs);
        notes.extend(made.notes.into_iter().filter(|note| !notes.contains(note)).collect::<Vec<_>>());
        provenance.concepts = made.concepts;
    }
    bar.finish_and_clear();
    Ok(Made { grid, pictures, provenance, picture_secs, notes })
}
