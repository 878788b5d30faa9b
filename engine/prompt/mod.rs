//! From a prompt to tokens: its syntax, concepts, chunks, edits and mixes.

pub(crate) mod concept_names;
pub(crate) mod edit_syntax;
pub mod parse;
pub(crate) mod prompt_tokenizer;
pub(crate) mod timeline;
pub mod token_selection;

mod chunks;
mod edit;
mod mix;
mod options;

pub use crate::tokenizer::Tokenizer;
pub use chunks::{Chunk, Token, TokenPlace, Tokenized};
pub use concept_names::{ConceptMatch, MatchKind};
pub use edit::{EditNoise, EmbeddingEdit, Source, Term, TokenSelector};
pub use mix::{Mix, MixMethod, Mixed};
pub use options::{PromptOverflow, PromptWeights, TextOptions};
pub use prompt_tokenizer::{PromptTokenizer, TokenizedPrompt};
pub(crate) use timeline::merged_ends;
pub use timeline::{PromptPart, Timeline};
