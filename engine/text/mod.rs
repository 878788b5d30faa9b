//! From a prompt to what the UNet is conditioned on.

mod names;
mod tokenizer;
mod words;

pub use names::{Mark, Meaning};
pub use tokenizer::{Splice, Tokenized, Tokenizer};
pub use words::Words;
