//! `render --map`: the way of each picture from noise, on the plane of the principal components of all steps.

use std::path::Path;
use std::sync::Arc;

use engine::diffusion::StepView;
use engine::images::{Pixels, Provenance, replace_png};
use engine::inspect::map_picture::{PathCaption, map_picture};
use engine::inspect::trajectory_map::{MapView, MappedRun, TrajectoryMapper};
use engine::pipeline::{Frame, Pipeline};
use engine::recipe::RecordedRun;

use super::Failure;

/// Writes the map of a run, with the previews of its steps and its finished pictures.
pub fn write(
    path: &Path,
    view: MapView,
    pipeline: &Pipeline,
    run: &RecordedRun,
    frames: &[Frame],
    finished: &[Arc<Pixels>],
) -> Result<(), Failure> {
    let mapped = MappedRun { run: 0, steps: run.trajectory.recorded_steps() };
    let map = TrajectoryMapper::default().map(view, &[mapped], 0).unwrap_or_default();
    let of_step = match view {
        MapView::Predicted => StepView::Predicted,
        MapView::Noisy => StepView::NoisyLatents,
    };
    let recipe = &run.recipe;
    let caption = |picture: usize| {
        let previews = frames.iter().map(|frame| (frame.step, Arc::clone(&frame.preview(of_step)[picture])));
        let mut pictures: Vec<(usize, Arc<Pixels>)> = previews.collect();
        if let (MapView::Predicted, Some((_, last))) = (view, pictures.last_mut()) {
            *last = Arc::clone(&finished[picture]);
        }
        let seed = recipe.of_picture(picture as u32).seed;
        PathCaption { label: format!("{}, seed {seed}", recipe.sampler.label()), pictures }
    };
    let captions: Vec<PathCaption> = (0..finished.len()).map(caption).collect();
    let info = pipeline.info();
    let concepts = pipeline.concepts_in(recipe);
    let provenance = Provenance::of_run(&info.name, info.vae.clone(), recipe.of_picture(0), concepts);
    replace_png(path, &map_picture(&map, &captions), &provenance).map_err(Failure::failed)
}
