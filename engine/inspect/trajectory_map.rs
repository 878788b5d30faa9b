//! The trajectories of runs as paths on a plane: how each sampler goes from noise to its picture.
//!
//! The plane is that of the two principal components of all steps. [`TrajectoryMapper`] keeps what it computed, so that a
//! new step of a run costs few readings of all of them. [`MapLayout`] says where everything is drawn, in the window and in a file.

use std::collections::{HashMap, HashSet};

use super::principal_components::PrincipalComponents;
use crate::choice::{impl_choice, impl_serde_by_name};
use crate::diffusion::{Latents, RecordedStep, RecordedSteps};

/// The latents of a step that are mapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MapView {
    #[default]
    Predicted,
    Noisy,
}

impl_choice!(MapView);
impl_serde_by_name!(MapView);

impl MapView {
    #[rustfmt::skip]
    const TABLE: [(Self, &str, &str, &str); 2] = [
        (Self::Predicted, "predicted", "Predicted x0", "The picture as the model predicts it at each step"),
        (Self::Noisy, "noisy", "Noisy x", "The latents that enter each step: they begin as noise, far from all pictures"),
    ];

    fn latents(self, step: &RecordedStep) -> &Latents {
        match self {
            Self::Predicted => &step.denoised,
            Self::Noisy => &step.x,
        }
    }
}

/// Paths on the plane of the principal components.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrajectoryMap {
    pub view: MapView,
    /// Run by run, in the order in which they were given, and in each run picture by picture.
    pub paths: Vec<MapPath>,
    /// The fraction of the variance along each axis, 0 to 1.
    pub variance_explained: [f32; 2],
}

/// One picture's way through a run.
#[derive(Clone, Debug, PartialEq)]
pub struct MapPath {
    /// The caller's number of the run.
    pub run: u64,
    /// Index into the batch.
    pub picture: usize,
    pub points: Vec<MapPoint>,
}

/// A step on the map. Arrows are directions in the units of the map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MapPoint {
    /// Index into the whole schedule.
    pub step: usize,
    pub at: [f32; 2],
    /// Predicted x0 with the prompt minus the one without it.
    pub guidance: Option<[f32; 2]>,
    /// Where guidance by a loss moved the latents: down the gradient.
    pub loss_guidance: Option<[f32; 2]>,
}

/// A run to map, with the caller's number of it.
#[derive(Clone, Copy)]
pub struct MappedRun<'a> {
    pub run: u64,
    pub steps: RecordedSteps<'a>,
}

/// Maps runs, and keeps what it computed for the next map of the same runs.
#[derive(Debug, Default)]
pub struct TrajectoryMapper {
    view: MapView,
    /// Of one picture's latents, `[channels, height, width]`.
    shape: [usize; 3],
    points: Vec<PointKey>,
    components: PrincipalComponents,
}

/// The run, the picture and the step of a point.
type PointKey = (u64, usize, usize);

impl TrajectoryMapper {
    /// Points of a map: forty runs of 50 steps.
    pub const MAX_POINTS: usize = 2000;

    /// How often all steps were read since the first map of this view.
    pub fn readings(&self) -> usize {
        self.components.readings()
    }

    /// Maps the runs whose latents have the shape of those of the run `current`, the oldest first; its steps have arrows.
    /// Where there are more than [`Self::MAX_POINTS`] steps, the oldest pictures are left out. `None` if the current run has no
    /// step.
    pub fn map(&mut self, view: MapView, runs: &[MappedRun<'_>], current: u64) -> Option<TrajectoryMap> {
        let newest = runs.iter().find(|run| run.run == current)?.steps.iter().next()?.1;
        let shape = shape_of(view.latents(newest));
        if (view, shape) != (self.view, self.shape) {
            *self = Self { view, shape, ..Self::default() };
        }
        let paths = mapped_paths(view, runs, current, shape);
        let latents: HashMap<PointKey, &[f32]> = paths.iter().flatten().copied().collect();
        self.components.retain(|index| latents.contains_key(&self.points[index]));
        self.points.retain(|key| latents.contains_key(key));
        let known: HashSet<PointKey> = self.points.iter().copied().collect();
        self.points.extend(paths.iter().flatten().map(|(key, _)| *key).filter(|key| !known.contains(key)));
        let points: Vec<&[f32]> = self.points.iter().map(|key| latents[key]).collect();
        self.components.extend(&points);

        let steps = runs.iter().filter(|run| run.run == current).flat_map(|run| run.steps.iter());
        let with_arrows: HashMap<usize, &RecordedStep> =
            steps.filter(|(_, step)| step.guidance.is_some() || step.loss_guidance.is_some()).collect();
        let axes = (!with_arrows.is_empty()).then(|| self.components.axes(&points));
        let project = |vector: &[f32], scale: f32| {
            let axes = axes.as_ref()?;
            Some([0, 1].map(|axis| scale * vector.iter().zip(&axes[axis]).map(|(a, b)| a * b).sum::<f32>()))
        };
        let places: HashMap<PointKey, [f64; 2]> =
            self.points.iter().copied().zip(self.components.coordinates().iter().copied()).collect();
        let point = |key: &PointKey| {
            let &(run, picture, index) = key;
            let step = with_arrows.get(&index).filter(|_| run == current);
            let guidance = step.and_then(|step| project(step.guidance.as_ref()?.picture(picture), 1.0));
            let loss_guidance = step.and_then(|step| {
                let gradient = &step.loss_guidance.as_ref()?.gradient;
                project(gradient.picture(picture), -step.sigma * step.sigma)
            });
            MapPoint { step: index, at: places[key].map(|value| value as f32), guidance, loss_guidance }
        };
        let path = |points: &Vec<(PointKey, &[f32])>| {
            let (run, picture, _) = points.first()?.0;
            Some(MapPath { run, picture, points: points.iter().map(|(key, _)| point(key)).collect() })
        };
        Some(TrajectoryMap {
            view,
            paths: paths.iter().filter_map(path).collect(),
            variance_explained: self.components.variance_explained().map(|part| part as f32),
        })
    }
}

fn shape_of(latents: &Latents) -> [usize; 3] {
    let [_, channels, height, width] = latents.shape;
    [channels, height, width]
}

/// The points of each path, as many of the newest paths as fit; those of the current run come first.
fn mapped_paths<'a>(
    view: MapView,
    runs: &[MappedRun<'a>],
    current: u64,
    shape: [usize; 3],
) -> Vec<Vec<(PointKey, &'a [f32])>> {
    let mut paths = Vec::new();
    for MappedRun { run, steps } in runs {
        let Some((_, first)) = steps.iter().next().filter(|(_, step)| shape_of(view.latents(step)) == shape)
        else {
            continue;
        };
        let every = steps.iter().count().div_ceil(TrajectoryMapper::MAX_POINTS);
        for picture in 0..first.x.batch() {
            let points = steps.iter().step_by(every);
            let points =
                points.map(|(index, step)| ((*run, picture, index), view.latents(step).picture(picture)));
            paths.push(points.collect::<Vec<_>>());
        }
    }
    let mut order: Vec<usize> = (0..paths.len()).rev().collect();
    order.sort_by_key(|&path| paths[path][0].0.0 != current);
    let (mut free, mut is_kept) = (TrajectoryMapper::MAX_POINTS, vec![false; paths.len()]);
    for path in order {
        let Some(left) = free.checked_sub(paths[path].len()) else { break };
        (free, is_kept[path]) = (left, true);
    }
    let mut is_kept = is_kept.into_iter();
    paths.retain(|_| is_kept.next().unwrap_or_default());
    paths
}

/// Where a map is drawn: as large as fits, at one scale in both directions. The first axis points to the right, the second up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MapLayout {
    scale: f32,
    /// The middle of the paths on the map, and that of the area.
    middle: [f32; 2],
    centre: [f32; 2],
}

impl MapLayout {
    /// For an area of `size` with a margin at every side.
    pub fn new(map: &TrajectoryMap, size: [f32; 2], margin: f32) -> Self {
        let places = || map.paths.iter().flat_map(|path| &path.points).map(|point| point.at);
        let range = |axis: usize| {
            places().fold((f32::MAX, f32::MIN), |(low, high), at| (low.min(at[axis]), high.max(at[axis])))
        };
        let (x, y) = (range(0), range(1));
        if x.0 > x.1 {
            return Self { scale: 1.0, middle: [0.0; 2], centre: size.map(|side| side / 2.0) };
        }
        let fitting =
            |side: f32, (low, high): (f32, f32)| (side - 2.0 * margin).max(1.0) / (high - low).max(1e-6);
        Self {
            scale: fitting(size[0], x).min(fitting(size[1], y)),
            middle: [x.0 + x.1, y.0 + y.1].map(|sum| sum / 2.0),
            centre: size.map(|side| side / 2.0),
        }
    }

    /// From the upper left corner of the area.
    pub fn place(&self, at: [f32; 2]) -> [f32; 2] {
        [
            self.centre[0] + self.scale * (at[0] - self.middle[0]),
            self.centre[1] - self.scale * (at[1] - self.middle[1]),
        ]
    }

    /// The steps of a path whose pictures are drawn beside it, with the middle of each picture: the last step, the first,
    /// and some between them, where no picture covers another one in `taken` and little of the paths is covered.
    pub fn thumbnails(
        &self,
        map: &TrajectoryMap,
        path: &MapPath,
        wanted: &[usize],
        (size, side): ([f32; 2], f32),
        taken: &mut Vec<[f32; 2]>,
    ) -> Vec<(usize, [f32; 2])> {
        const DIRECTIONS: usize = 16;
        /// Around a picture.
        const FRAME: f32 = 2.0;
        // The dots, and the lines between them in short pieces.
        let mut covered_places = Vec::new();
        for other in &map.paths {
            let places: Vec<[f32; 2]> = other.points.iter().map(|point| self.place(point.at)).collect();
            covered_places.extend(places.last());
            for ends in places.windows(2) {
                let along = [ends[1][0] - ends[0][0], ends[1][1] - ends[0][1]];
                let pieces = (along[0].hypot(along[1]) * 3.0 / side).ceil().max(1.0);
                let piece = |at: usize| [0, 1].map(|axis| ends[0][axis] + along[axis] * at as f32 / pieces);
                covered_places.extend((0..pieces as usize).map(piece));
            }
        }
        let covers = |centre: [f32; 2], other: [f32; 2], within: f32| {
            (0..2).all(|axis| (centre[axis] - other[axis]).abs() < within)
        };
        let mut found = Vec::new();
        for &step in wanted {
            let Some(point) = path.points.iter().find(|point| point.step == step) else { continue };
            let at = self.place(point.at);
            let candidates = (0..3 * DIRECTIONS).map(|candidate| {
                let angle = std::f32::consts::TAU * (candidate % DIRECTIONS) as f32 / DIRECTIONS as f32;
                let distance = side * (0.85 + 0.45 * (candidate / DIRECTIONS) as f32);
                [at[0] + distance * angle.cos(), at[1] - distance * angle.sin()]
            });
            let is_free = |centre: &[f32; 2]| {
                let is_inside = (0..2).all(|axis| {
                    let nearest = side / 2.0 + FRAME;
                    (nearest..=(size[axis] - nearest).max(nearest)).contains(&centre[axis])
                });
                is_inside && !taken.iter().any(|other| covers(*centre, *other, side + 2.0))
            };
            let covered = |centre: &[f32; 2]| {
                covered_places.iter().filter(|place| covers(*centre, **place, side / 2.0 + 2.0)).count()
            };
            if let Some(centre) = candidates.filter(is_free).min_by_key(covered) {
                taken.push(centre);
                found.push((step, centre));
            }
        }
        found
    }

    /// The factor that makes the longest of a path's arrows of one kind `longest` long; `None` where there is none.
    pub fn arrow_scale(
        &self,
        path: &MapPath,
        arrow: impl Fn(&MapPoint) -> Option<[f32; 2]>,
        longest: f32,
    ) -> Option<f32> {
        let lengths = path.points.iter().filter_map(arrow).map(|[x, y]| x.hypot(y));
        let length = lengths.fold(0.0, f32::max);
        (length > 0.0 && length.is_finite()).then(|| longest / length)
    }
}

impl MapPath {
    /// Steps whose pictures show the way, the most important first: the last, the first, and `between` of the others.
    pub fn shown_steps(&self, between: usize) -> Vec<usize> {
        let last = self.points.len().saturating_sub(1);
        let parts = (1..=between).map(|part| last * part / (between + 1));
        let mut steps = Vec::new();
        for index in [last, 0].into_iter().chain(parts) {
            if let Some(point) = self.points.get(index).filter(|point| !steps.contains(&point.step)) {
                steps.push(point.step);
            }
        }
        steps
    }
}
