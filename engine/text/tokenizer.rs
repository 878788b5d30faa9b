//! CLIP's byte-pair tokenizer.

/// Turns prompts into the ids that a text encoder takes.
#[derive(Clone, Debug)]
pub struct Tokenizer {}

/// A prompt as the text encoder sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tokenized {
    /// Begin, the prompt's tokens, end, padding: as many as the encoder has positions.
    pub ids: Vec<u32>,
    /// Tokens of the prompt that fit, without begin and end.
    pub used: usize,
    /// Tokens that fit at most (75 for CLIP).
    pub room: usize,
    /// The part of the prompt that did not fit, as it was written; empty when all did.
    pub cut: String,
}

impl Tokenizer {
    pub fn tokenize(&self, _prompt: &str) -> Tokenized {
        todo!()
    }
}
