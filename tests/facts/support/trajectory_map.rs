//! A map as the engine might answer; the same on every machine.

use std::sync::Arc;

use engine::inspect::trajectory_map::{MapPath, MapPoint, MapView, TrajectoryMap};
use engine::session::Event;

/// Paths of 20 steps from the left to the right, each bent by its own number; those of the last run have arrows.
pub fn trajectory_map(view: MapView, runs: &[u64]) -> TrajectoryMap {
    let paths = runs.iter().map(|&run| {
        let bend = run as f32 - 1.5;
        let point = |step: usize| {
            let along = step as f32 / 19.0;
            let up = 34.0 * (bend * 2.6 * along).sin() * along;
            let is_current = Some(&run) == runs.last();
            MapPoint {
                step,
                at: [100.0 * along.powf(0.7) - 50.0, up],
                guidance: is_current.then_some([2.0 - along, 1.5 * (1.0 - along)]),
                loss_guidance: (is_current && step.is_multiple_of(5)).then_some([0.3, along - 1.0]),
            }
        };
        MapPath { run, picture: 0, points: (0..20).map(point).collect() }
    });
    TrajectoryMap { view, paths: paths.collect(), variance_explained: [0.62, 0.21] }
}

pub fn map_event(view: MapView, runs: &[u64]) -> Event {
    Event::TrajectoryMap(Arc::new(trajectory_map(view, runs)))
}
