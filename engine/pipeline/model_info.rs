//! Facts about an open model.

use std::sync::Arc;

use crate::checkpoint::SchedulerConfig;
use crate::concepts::ConceptSet;
use crate::device::DeviceInfo;
use crate::memory::estimate::MemoryEstimate;
use crate::prompt::PromptTokenizer;
use crate::tokenizer::Tokenizer;

/// Facts about an open model, for the window and the command line.
#[derive(Clone, Debug)]
pub struct ModelInfo {
    pub name: String,
    /// "Stable Diffusion 1.x" or "Stable Diffusion 2.x".
    pub kind: String,
    /// The name of the file or folder whose VAE replaces the model's own.
    pub vae: Option<String>,
    /// Bytes of the weight files.
    pub file_bytes: u64,
    /// Trainable parameters of text encoder, UNet and VAE.
    pub parameters: u64,
    /// The side of the pictures that the model was trained on, in pixels.
    pub native_side: u32,
    /// Pixels per latent pixel in each direction.
    pub vae_factor: u32,
    /// Sentences about what is in its files and not used.
    pub notes: Vec<String>,
    pub device: DeviceInfo,
    /// Shared, so that typing never waits for a busy engine.
    pub tokenizer: Arc<Tokenizer>,
    /// The width of token embeddings, and of the concepts that fit.
    pub text_width: usize,
    /// The betas that the model was trained with: see
    /// [`Recipe::noise_schedule`](crate::recipe::Recipe::noise_schedule).
    pub scheduler: SchedulerConfig,
    /// The memory that its pictures need.
    pub memory: MemoryEstimate,
}

impl ModelInfo {
    /// The tokenizer of this model's prompts with some concepts.
    pub fn prompt_tokenizer(&self, concepts: &ConceptSet) -> PromptTokenizer {
        PromptTokenizer::new(Arc::clone(&self.tokenizer), self.text_width, concepts)
    }
}
