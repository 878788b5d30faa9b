//! The prompts: where they are written, how the model reads them, and their tokens as chips.

pub mod chip;
pub(crate) mod panel;
pub mod prompt_words;
pub mod read_prompt;
pub(crate) mod text_field;
pub(crate) mod token_chips;
pub(crate) mod weight_keys;

use std::sync::Arc;

use engine::prompt::PromptTokenizer;

use read_prompt::ReadPrompt;

/// The prompts as they are tokenized, once there is a model.
#[derive(Clone, Debug, Default)]
pub struct Prompts {
    /// The prompt tokenizer of the current model and concepts.
    pub tokenizer: Option<PromptTokenizer>,
    pub prompt: Option<Arc<ReadPrompt>>,
    pub negative_prompt: Option<Arc<ReadPrompt>>,
}
