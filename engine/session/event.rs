//! What the engine tells the window. Plain data, in the order it happened.

use std::sync::Arc;
use std::time::Duration;

use crate::attention::AttentionMaps;
use crate::checkpoint::SchedulerConfig;
use crate::concepts::{ConceptRef, Concepts};
use crate::device::DeviceCard;
use crate::diffusion::StepView;
use crate::images::{Pixels, Reel};
use crate::room::Room;
use crate::session::{JobId, Seen};
use crate::text::{Tokenizer, Words};

#[derive(Clone, Debug)]
pub enum Event {
    Model(ModelEvent),
    Job {
        id: JobId,
        event: JobEvent,
    },
    /// The answer to a look, by its number; a sentence if there is nothing to see.
    Looked {
        id: u64,
        seen: Result<Seen, String>,
    },
    Cut(CutEvent),
    Attended {
        job: JobId,
        event: AttendEvent,
    },
    /// Something that the user should know and that stops nothing.
    Warning {
        text: String,
    },
}

/// How the maps of a prompt's words come along.
#[derive(Clone, Debug)]
pub enum AttendEvent {
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
pub enum CutEvent {
    /// `fraction` of the steps, 0 to 1.
    Came {
        fraction: f32,
    },
    /// It knows nothing of its provenance yet.
    Done(Box<Reel>),
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
    Opened(Box<ModelCard>),
    /// It was asked to stop; no model is open now.
    Stopped,
    /// A sentence; no model is open now.
    Failed {
        text: String,
    },
}

/// What the window shows of a model.
#[derive(Clone, Debug)]
pub struct ModelCard {
    pub name: String,
    /// "Stable Diffusion 1.x" or "Stable Diffusion 2.x".
    pub kind: String,
    /// The file of the VAE that was chosen over the model's own.
    pub vae: Option<String>,
    /// Bytes of the weight files.
    pub file_bytes: u64,
    /// Trainable numbers in text encoder, UNet and VAE.
    pub parameters: u64,
    /// Sides that the model was trained at, pixels.
    pub native_side: u32,
    /// Pixels a latent pixel stands for, each way.
    pub vae_factor: u32,
    pub device: DeviceCard,
    /// Read-only, so that typing never waits for a busy engine.
    pub tokenizer: Arc<Tokenizer>,
    /// Numbers of a token's embedding, and of a concept's vector that fits.
    pub text_width: usize,
    /// Sigma of each training timestep, ascending.
    pub training_sigmas: Arc<Vec<f32>>,
    /// From which they follow, unless a recipe has other betas: see
    /// [`Recipe::noise_schedule`](crate::recipe::Recipe::noise_schedule).
    pub scheduler: SchedulerConfig,
    /// What its pictures take of the memory.
    pub room: Room,
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

/// One step, as it can be watched. The previews are at latent size, one a picture of the batch.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// Index into the whole schedule, `start_step` for the first one of image to image.
    pub step: usize,
    /// Noise level at which this step's prediction was made.
    pub sigma: f32,
    pub predicted: Vec<Arc<Pixels>>,
    pub noisy: Vec<Arc<Pixels>>,
    pub noise: Vec<Arc<Pixels>>,
    /// Empty at a guidance scale of 1.
    pub guidance: Vec<Arc<Pixels>>,
    /// Since the job started.
    pub elapsed: Duration,
}

impl Frame {
    pub fn preview(&self, view: StepView) -> &[Arc<Pixels>] {
        match view {
            StepView::Predicted => &self.predicted,
            StepView::Noisy => &self.noisy,
            StepView::Noise => &self.noise,
            StepView::Guidance => &self.guidance,
        }
    }
}

impl ModelCard {
    /// The words that this model reads, concepts among them.
    pub fn words(&self, concepts: &Concepts) -> Words {
        Words::new(Arc::clone(&self.tokenizer), self.text_width, concepts)
    }
}

impl JobEvent {
    /// True for the one event that ends a job.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Finished { .. } | Self::Stopped | Self::Failed { .. })
    }
}
