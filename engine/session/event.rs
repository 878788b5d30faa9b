//! What the engine tells the window. Plain data, in the order it happened.

use std::sync::Arc;
use std::time::Duration;

use crate::concepts::ConceptRef;
use crate::diffusion::StepView;
use crate::images::{Animation, Pixels};
use crate::inspect::attention_maps::AttentionMaps;
use crate::pipeline::{Frame, ModelInfo};
use crate::session::{InspectResult, JobId};

#[derive(Clone, Debug)]
pub enum Event {
    Model(ModelEvent),
    Job {
        id: JobId,
        event: JobEvent,
    },
    /// The answer to a look, by its number; a sentence if there is nothing to see.
    Inspected {
        id: u64,
        seen: Result<InspectResult, String>,
    },
    Animation(AnimationEvent),
    AttentionMaps {
        job: JobId,
        event: AttentionEvent,
    },
    /// Something that the user should know and that stops nothing.
    Warning {
        text: String,
    },
}

/// How the maps of a prompt's words come along.
#[derive(Clone, Debug)]
pub enum AttentionEvent {
    /// `fraction` of the steps, 0 to 1.
    Came {
        fraction: f32,
    },
    Done(Arc<AttentionMaps>),
    Stopped,
    /// A sentence with cause and remedy.
    Failed {
        text: String,
    },
}

/// How a film comes along.
#[derive(Clone, Debug)]
pub enum AnimationEvent {
    /// `fraction` of the steps, 0 to 1.
    Came {
        fraction: f32,
    },
    /// It knows nothing of its provenance yet.
    Done(Box<Animation>),
    Stopped,
    /// A sentence with cause and remedy.
    Failed {
        text: String,
    },
}

#[derive(Clone, Debug)]
pub enum ModelEvent {
    /// `fraction` of the bytes, 0 to 1.
    Opening {
        name: String,
        fraction: f32,
    },
    Opened(Box<ModelInfo>),
    /// It was asked to stop; no model is open now.
    Stopped,
    /// A sentence; no model is open now.
    Failed {
        text: String,
    },
}

#[derive(Clone, Debug)]
pub enum JobEvent {
    /// `sigmas` has `steps + 1` entries, of which those from `start_step` on are run.
    Started {
        sigmas: Vec<f32>,
        start_step: usize,
    },
    Step(Frame),
    /// A recorded step, decoded in full.
    Decoded {
        step: usize,
        view: StepView,
        /// None if that step is no longer kept, has no such view, or could not be decoded.
        pictures: Vec<Arc<Pixels>>,
    },
    Finished {
        pictures: Vec<Arc<Pixels>>,
        /// Those that the prompts used.
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
    /// True for the one event that ends a job.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Finished { .. } | Self::Stopped | Self::Failed { .. })
    }
}
