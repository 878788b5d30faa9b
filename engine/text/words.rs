//! Every word that a prompt can be made of: those of a model, and the concepts at hand.

use std::sync::Arc;

use super::names::{Mark, Names};
use super::{Tokenized, Tokenizer};
use crate::concepts::Concepts;

/// A model's tokenizer with the concepts of the moment. Plain data: whoever has a clone reads
/// prompts as the engine does, and never waits for it.
#[derive(Clone, Debug)]
pub struct Words {
    tokenizer: Arc<Tokenizer>,
    names: Arc<Names>,
}

impl Words {
    /// For a model that reads embeddings of a width; concepts of others are known and not used.
    pub fn new(tokenizer: Arc<Tokenizer>, width: usize, concepts: &Concepts) -> Self {
        Self { tokenizer, names: Arc::new(Names::new(concepts, width)) }
    }

    /// The ids of a prompt, with places for its concepts.
    pub fn tokenize(&self, prompt: &str) -> Tokenized {
        self.tokenizer.tokenize_marked(prompt, self.marks(prompt))
    }

    /// The words of a prompt that are concepts or look like some, in its order.
    pub fn marks(&self, prompt: &str) -> Vec<Mark> {
        self.names.marks(prompt)
    }
}
