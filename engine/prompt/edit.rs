//! Edits of token embeddings, as they are written down: on which word, and what it becomes.
//!
//! A recipe holds them and a picture remembers them, so they are made of words and numbers alone; the
//! vectors are looked up in the model when a prompt is read.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

/// What becomes of one token of the prompt, between the table of embeddings and the text encoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EmbeddingEdit {
    pub at: TokenSelector,
    /// The weighted sum that takes the embedding's place; empty: it stays.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub becomes: Vec<Term>,
    /// Then it is made so many times as long, -4 to 4.
    pub scale: f32,
    /// Then noise is added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<EditNoise>,
    /// Whether the encoder learns where in the prompt it stands.
    pub has_position: bool,
}

/// A token by its letters, since places move while somebody types.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenSelector {
    /// As they stand in the prompt, in lower case.
    pub letters: String,
    /// Whether a word goes on to their left and to their right, as around a piece of a word.
    #[serde(skip_serializing_if = "is_alone")]
    pub joined: [bool; 2],
    /// Which of the places where they stand so, from 0.
    pub nth: usize,
    /// Which token of several that these letters are, such as a concept's vectors, from 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub part: usize,
}

/// A word with a weight: 0.5 of a puppy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Term {
    pub weight: f32,
    pub of: Source,
}

/// Where a vector comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A word, or a concept by any of its names. Of one that is several tokens the mean is meant.
    Word(String),
    /// A row of the table.
    Id(u32),
}

/// Normal noise on an embedding.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EditNoise {
    /// Its standard deviation in units of the embedding's own root mean square, 0 to 4.
    pub amount: f32,
    pub seed: u64,
}

fn is_alone(joined: &[bool; 2]) -> bool {
    *joined == [false; 2]
}

fn is_zero(value: &usize) -> bool {
    *value == 0
}

impl EmbeddingEdit {
    pub const WEIGHT: RangeInclusive<f32> = -4.0..=4.0;
    pub const SCALE: RangeInclusive<f32> = -4.0..=4.0;
    pub const NOISE: RangeInclusive<f32> = 0.0..=4.0;
    /// As many as a prompt has tokens; terms of a sum likewise.
    pub const MAX: usize = 75;

    /// An edit that changes nothing yet.
    pub fn of(at: TokenSelector) -> Self {
        Self { at, ..Self::default() }
    }

    /// True if the token stays as it is.
    pub fn is_idle(&self) -> bool {
        *self == Self::of(self.at.clone())
    }

    /// Half a sentence about the first number that cannot be used.
    pub fn check(&self) -> Result<(), String> {
        if self.becomes.len() > Self::MAX {
            return Err(format!("a sum of {} words: choose at most {}", self.becomes.len(), Self::MAX));
        }
        let weights = self.becomes.iter().map(|term| ("a weight", term.weight, Self::WEIGHT));
        let rest = [
            ("a scale", self.scale, Self::SCALE),
            ("a noise", self.noise.map_or(0.0, |it| it.amount), Self::NOISE),
        ];
        let wrong = weights.chain(rest).find(|(_, value, range)| !range.contains(value));
        match wrong {
            None => Ok(()),
            Some((name, value, range)) => {
                Err(format!("{name} of {value}: choose {} to {}", range.start(), range.end()))
            }
        }
    }
}

impl Default for EmbeddingEdit {
    fn default() -> Self {
        Self {
            at: TokenSelector::default(),
            becomes: Vec::new(),
            scale: 1.0,
            noise: None,
            has_position: true,
        }
    }
}
