//! TODO(doc)

pub mod chip;
pub mod panel;
pub mod prompt_words;
pub mod read_prompt;
pub mod text_field;
pub mod token_chips;
pub mod weight_keys;

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
