//! The events of the engine: plain data, in the order in which they happened.

use std::sync::Arc;
use std::time::Duration;

use crate::concepts::ConceptRef;
use crate::diffusion::StepView;
use crate::images::{Animation, Pixels};
use crate::inspect::attention_maps::AttentionMaps;
use crate::inspect::trajectory_map::TrajectoryMap;
use crate::pipeline::{Frame, ModelInfo};
use crate::session::{InspectResult, JobId};

/// An event of the engine.
#[derive(Clone, Debug)]
pub enum Event {
    Model(ModelEvent),
    Job {
        id: JobId,
        event: JobEvent,
    },
    /// The result of the inspection request with this number, or a sentence why there is none.
    Inspection {
        id: u64,
        result: Result<InspectResult, String>,
    },
    Animation(AnimationEvent),
    /// The runs that `Request::WatchMap` asked for, as far as they go. Their numbers are those of the jobs.
    TrajectoryMap(Arc<TrajectoryMap>),
    AttentionMaps {
        job: JobId,
        event: AttentionEvent,
    },
    /// A sentence for the user; the work continues.
    Warning {
        text: String,
    },
}

/// The progress of attention maps.
#[derive(Clone, Debug)]
pub enum AttentionEvent {
    /// `fraction` of the steps, 0 to 1.
    Progress {
        fraction: f32,
    },
    Done(Arc<AttentionMaps>),
    Stopped,
    /// A sentence with cause and remedy.
    Failed {
        text: String,
    },
}

/// The progress of an animation.
#[derive(Clone, Debug)]
pub enum AnimationEvent {
    /// `fraction` of the steps, 0 to 1.
    Progress {
        fraction: f32,
    },
    /// The animation, without its provenance.
    Done(Box<Animation>),
    Stopped,
    /// A sentence with cause and remedy.
    Failed {
        text: String,
    },
}

/// The progress of opening a model.
#[derive(Clone, Debug)]
pub enum ModelEvent {
    /// `fraction` of the bytes, 0 to 1.
    Opening {
        name: String,
        fraction: f32,
    },
    Opened(Box<ModelInfo>),
    /// By its stop flag; no model is open now.
    Stopped,
    /// A sentence; no model is open now.
    Failed {
        text: String,
    },
}

/// The progress of a job.
#[derive(Clone, Debug)]
pub enum JobEvent {
    /// `sigmas` has `steps + 1` entries; those from `start_step` on are sampled.
    Started {
        sigmas: Vec<f32>,
        start_step: usize,
    },
    Step(Frame),
    /// A recorded step, decoded in full.
    Decoded {
        step: usize,
        view: StepView,
        /// Empty if that step is no longer kept, has no such view, or could not be decoded.
        pictures: Vec<Arc<Pixels>>,
    },
    Finished {
        pictures: Vec<Arc<Pixels>>,
        /// The concepts that the prompts used.
        concepts: Vec<ConceptRef>,
        elapsed: Duration,
    },
    Stopped,
    /// A sentence with cause and remedy.
    Failed {
        text: String,
    },
}

impl JobEvent {
    /// Whether this event ends the job.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Finished { .. } | Self::Stopped | Self::Failed { .. })
    }
}
