//! Why a picture could not be made.

use crate::error::EngineError;
use crate::format::human_size;
use crate::images::StartImageError;
use crate::losses::{GradientPath, GuideError};
use crate::recipe::RecipeError;

/// Why a picture could not be made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    #[error(transparent)]
    Guide(#[from] GuideError),
    #[error(transparent)]
    StartImage(#[from] StartImageError),
    #[error(
        "This trajectory has latents of shape {found:?}; this model produces {expected:?} at that size. Continue with the model that made it"
    )]
    OtherLatents { found: [usize; 4], expected: [usize; 4] },
    #[error("Step {step} cannot be branched from: that run ended after {steps} steps")]
    EndedBefore { step: usize, steps: usize },
    #[error("The word is no longer in the prompt: choose another")]
    NoSuchToken,
    #[error("\"{0}\" is not in the prompt: add it there, or remove its edit")]
    NoSuchEdited(String),
    #[error(
        "The edit of \"{edited}\" uses the id {id}, but this model has {words} words: choose a smaller id"
    )]
    NoSuchId { edited: String, id: u32, words: usize },
    #[error("The edit of \"{edited}\" uses {word:?}, which this model cannot read: choose another word")]
    NoSuchWord { edited: String, word: String },
    #[error(
        "A picture of {width} x {height} needs about {} even in small pieces, and {} of memory are free. Choose a smaller size, or close other programs",
        human_size(*.needed),
        human_size(*.free)
    )]
    TooLarge { width: u32, height: u32, needed: u64, free: u64 },
    #[error(
        "Guiding a picture of {width} x {height} through the {} needs about {}, and {} of memory are free. Choose through={}, which needs less, or a smaller size",
        if *path == GradientPath::Unet { "UNet" } else { "decoder" },
        human_size(*.needed),
        human_size(*.free),
        if *path == GradientPath::Unet { "decoder" } else { "preview" }
    )]
    GuideTooLarge { path: GradientPath, width: u32, height: u32, needed: u64, free: u64 },
    #[error(
        "Memory ran out even in low-memory mode ({0}). Choose a smaller size, close other programs, or use the CPU"
    )]
    OutOfMemory(String),
    #[error("Stopped")]
    Stopped,
    #[error("{0}")]
    Device(String),
}

impl From<EngineError> for GenerateError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Stopped => Self::Stopped,
            EngineError::OutOfMemory(words) => Self::OutOfMemory(words),
            EngineError::Failed(text) => Self::Device(text),
        }
    }
}
