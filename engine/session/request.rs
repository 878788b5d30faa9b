//! The requests to the engine.

use std::path::PathBuf;
use std::sync::Arc;

use super::InspectRequest;
use crate::checkpoint::ModelSource;
use crate::concepts::ConceptSet;
use crate::device::DeviceChoice;
use crate::diffusion::StepView;
use crate::images::Pixels;
use crate::inspect::trajectory_map::MapView;
use crate::pipeline::StopFlag;
use crate::pipeline::animation_export::AnimationOptions;
use crate::recipe::Recipe;

/// A request to the engine.
#[derive(Clone, Debug)]
pub enum Request {
    /// Opens a model, with the VAE of the file or folder `vae` instead of its own. Answered by `Event::Model`s,
    /// the last of which is `Opened`, `Stopped` or `Failed`; a newer request stops it. The previous model is kept
    /// in memory if both fit.
    OpenModel { source: ModelSource, vae: Option<PathBuf>, device: DeviceChoice, stop: StopFlag },
    /// Makes pictures. Answered by `Event::Job`s, the last of which is `Finished`, `Stopped` or `Failed`.
    ///
    /// `concepts` are those that were loaded when the request was made. `recorded_by` is a job whose recorded steps
    /// are used as far as they fit: a stopped run of the same recipe, or the run it branches from. If they are gone,
    /// the steps are sampled again. If `keeps_run`, the run is kept for later requests, and older ones may be
    /// dropped for it.
    Generate {
        job: Job,
        recipe: Box<Recipe>,
        concepts: ConceptSet,
        recorded_by: Option<JobId>,
        keeps_run: bool,
    },
    /// Decodes a recorded step of a job in full. Answered by `JobEvent::Decoded`.
    Decode { job: JobId, step: usize, view: StepView },
    /// Answered by the `Event::Inspection` of the same number.
    Inspect { id: u64, request: InspectRequest },
    /// Maps the trajectories of these jobs, now and after each step that is sampled from now on, also of the job that is under
    /// way. `None` stops it. Answered by `Event::TrajectoryMap`s; a newer request replaces it.
    WatchMap(Option<MapRequest>),
    /// Computes the attention maps of one picture of a job. `part` is the index of the part of the prompt that AND
    /// composes. Answered by `Event::AttentionMaps`, the last of which is `Done`, `Stopped` or `Failed`.
    ComputeAttentionMaps { job: JobId, picture: usize, part: usize, stop: StopFlag },
    /// Makes an animation of one picture of a job, which ends with the `finished` picture if there is one.
    /// Answered by `Event::Animation`s, the last of which is `Done`, `Stopped` or `Failed`.
    ExportAnimation {
        job: JobId,
        picture: usize,
        finished: Option<Arc<Pixels>>,
        options: AnimationOptions,
        stop: StopFlag,
    },
}

/// Which trajectories are mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapRequest {
    /// The oldest first.
    pub jobs: Vec<JobId>,
    /// One of them, whose steps have arrows. Those of another model or size are left out.
    pub current: JobId,
    pub view: MapView,
}

/// The number of a job, assigned by the sender of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub u64);

/// A job's number and its stop flag. A busy engine does not read requests, but checks the flag between steps and
/// between the blocks of a model.
#[derive(Clone, Debug)]
pub struct Job {
    pub id: JobId,
    pub stop: StopFlag,
}
