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

/// The prompts as they are read, once there is a model to read them.
#[derive(Clone, Debug, Default)]
pub struct Prompts {
    /// What the last model read, concepts among it.
    pub tokenizer: Option<PromptTokenizer>,
    pub prompt: Option<Arc<ReadPrompt>>,
    pub negative_prompt: Option<Arc<ReadPrompt>>,
}
