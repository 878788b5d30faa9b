//! What the window asks of the engine.

use std::path::PathBuf;
use std::sync::Arc;

use super::InspectRequest;
use crate::checkpoint::ModelSource;
use crate::concepts::ConceptSet;
use crate::device::DeviceChoice;
use crate::diffusion::StepView;
use crate::images::Pixels;
use crate::pipeline::StopFlag;
use crate::pipeline::animation_export::AnimationOptions;
use crate::recipe::Recipe;

/// A wish, sent over the request channel.
#[derive(Clone, Debug)]
pub enum Request {
    /// Answered by `Event::Model`s, the last of which is `Opened`, `Stopped` or `Failed`; a newer one
    /// stops it. The model before it is put aside, or let go if both do not fit into memory.
    /// `vae` is a file or folder to take over its own.
    OpenModel { source: ModelSource, vae: Option<PathBuf>, device: DeviceChoice, stop: StopFlag },
    /// Answered by `Event::Job`s, the last of which is `Finished`, `Stopped` or `Failed`.
    /// The concepts come with it: those at hand when it was asked for, whatever becomes of them
    /// while it waits.
    /// `recorded_by` is a job whose steps are taken as far as they fit: a stopped run of the same recipe,
    /// or the run that it leaves. Without its film they are made again.
    /// Its own film is kept for what is asked of it later, in the place of older ones, if it `keeps_run`.
    Generate {
        job: Job,
        recipe: Box<Recipe>,
        concepts: ConceptSet,
        recorded_by: Option<JobId>,
        keeps_run: bool,
    },
    /// Decodes a recorded step of a job with the full decoder; answered by `JobEvent::Decoded`.
    Decode { job: JobId, step: usize, view: StepView },
    /// Answered by `Event::Inspected` of the same number.
    Inspect { id: u64, look: InspectRequest },
    /// Asks where the words of a job's prompt look in one of its pictures; `part` counts what AND
    /// composes. Answered by `Event::AttentionMaps`s, the last of which is `Done`, `Stopped` or `Failed`.
    ComputeAttentionMaps { job: JobId, picture: usize, part: usize, stop: StopFlag },
    /// Makes a film of one picture of a job, which ends with the `finished` one if there is one; answered
    /// by `Event::Animation`s, the last of which is `Done`, `Stopped` or `Failed`.
    ExportAnimation {
        job: JobId,
        picture: usize,
        finished: Option<Arc<Pixels>>,
        cut: AnimationOptions,
        stop: StopFlag,
    },
}

/// Jobs are numbered by whoever sends them; the engine only repeats the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub u64);

/// A job's number and its stop flag: the busy engine reads no requests, but it reads the flag
/// between steps and between the blocks of a model.
#[derive(Clone, Debug)]
pub struct Job {
    pub id: JobId,
    pub stop: StopFlag,
}
