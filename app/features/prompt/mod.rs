//! TODO(doc)

pub mod chip;
pub mod panel;
pub mod prompt_words;
pub mod read_prompt;
pub mod text_field;
pub mod token_chips;
pub mod weight_keys;
