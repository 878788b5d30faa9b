//! TODO(doc)

pub mod chip;
pub(crate) mod panel;
pub(crate) mod prompt_words;
pub mod read_prompt;
pub(crate) mod text_field;
pub(crate) mod token_chips;
pub mod weight_keys;
