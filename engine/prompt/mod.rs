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
pub use concept_names::{Mark, Meaning};
pub use edit::{Anchor, EditNoise, EmbeddingEdit, Source, Term};
pub use mix::{Mix, MixWay, Mixed};
pub use options::{LongPrompt, TextOptions, Weights};
pub use prompt_tokenizer::{ReadPart, Reading, Words};
