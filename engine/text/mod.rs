//! From a prompt to what the UNet is conditioned on.

mod tokenizer;

pub use tokenizer::{Tokenized, Tokenizer};
