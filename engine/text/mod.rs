//! From a prompt to what the UNet is conditioned on.

mod chunks;
mod edit;
mod edit_text;
mod mix;
mod names;
mod options;
pub mod surgery;
pub mod syntax;
mod tokenizer;
mod words;

pub use chunks::{Chunk, Token, TokenPlace, Tokenized};
pub use edit::{Anchor, EditNoise, EmbeddingEdit, Source, Term};
pub use mix::{Mix, MixWay, Mixed};
pub use names::{Mark, Meaning};
pub use options::{LongPrompt, TextOptions, Weights};
pub use tokenizer::Tokenizer;
pub use words::{ReadPart, Reading, Words};
