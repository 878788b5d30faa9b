//! What is known of an open model.

use std::sync::Arc;

use crate::checkpoint::SchedulerConfig;
use crate::concepts::ConceptSet;
use crate::device::DeviceInfo;
use crate::memory::estimate::MemoryEstimate;
use crate::prompt::PromptTokenizer;
use crate::tokenizer::Tokenizer;

/// What the window shows of a model.
#[derive(Clone, Debug)]
pub struct ModelInfo {
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
    pub device: DeviceInfo,
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
    pub memory: MemoryEstimate,
}

impl ModelInfo {
    /// The words that this model reads, concepts among them.
    pub fn words(&self, concepts: &ConceptSet) -> PromptTokenizer {
        PromptTokenizer::new(Arc::clone(&self.tokenizer), self.text_width, concepts)
    }
}
