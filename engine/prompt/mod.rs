//! From a prompt to what the UNet is conditioned on.

pub(crate) mod concept_names;
pub(crate) mod edit_syntax;
pub mod parse;
pub(crate) mod prompt_tokenizer;
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
pub use prompt_tokenizer::{PromptTokenizer, TokenizedPart, TokenizedPrompt};
