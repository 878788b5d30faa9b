//! Why there is no picture.

use crate::error::EngineError;
use crate::format::human_size;
use crate::images::StartImageError;
use crate::recipe::RecipeError;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    #[error(transparent)]
    StartImage(#[from] StartImageError),
    #[error(
        "The steps at hand are of latents {found:?} and this model makes {expected:?} of a picture like that: go on with the model that they were made with"
    )]
    OtherLatents { found: [usize; 4], expected: [usize; 4] },
    #[error("Step {step} cannot be branched from: that run was over after {steps} steps")]
    EndedBefore { step: usize, steps: usize },
    #[error("There is no such word in the prompt any more: choose another")]
    NoSuchToken,
    #[error("\"{0}\" is not in the prompt: write it there, or forget its edit")]
    NoSuchEdited(String),
    #[error(
        "The edit of \"{edited}\" asks for the id {id}, and this model has {words} words: choose a smaller one"
    )]
    NoSuchId { edited: String, id: u32, words: usize },
    #[error("The edit of \"{edited}\" asks for {word:?}, which is no word to this model: choose another")]
    NoSuchWord { edited: String, word: String },
    #[error(
        "A picture of {width} x {height} needs about {} even in small pieces, and {} of memory are free. Choose a smaller size, or close other programs",
        human_size(*.needed),
        human_size(*.free)
    )]
    TooLarge { width: u32, height: u32, needed: u64, free: u64 },
    #[error(
        "Memory ran out even for small pieces ({0}). Choose a smaller size, close other programs, or use the CPU"
    )]
    OutOfMemory(String),
    #[error("Stopped")]
    Stopped,
    #[error("{0}")]
    Device(String),
}

impl From<EngineError> for GenerateError {
    fn from(halt: EngineError) -> Self {
        match halt {
            EngineError::Stopped => Self::Stopped,
            EngineError::OutOfMemory(words) => Self::OutOfMemory(words),
            EngineError::Failed(text) => Self::Device(text),
        }
    }
}
