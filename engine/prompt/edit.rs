//! Edits of token embeddings as data: which token, and what replaces its embedding.
//!
//! Recipes and pictures store them, so they consist of words and numbers alone; the vectors are looked up in
//! the model when a prompt is read.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

/// An edit of the embedding of one token of the prompt, before the text encoder adds positions.
///
/// It is written `WORD=SUM, CHANGE, ...`:
///
/// ```
/// use engine::prompt::EmbeddingEdit;
///
/// let edit: EmbeddingEdit = "puppy=0.5*puppy+0.5*skunk, scale 1.2".parse()?;
/// assert_eq!((edit.selector.text.as_str(), edit.replacement.len(), edit.scale), ("puppy", 2, 1.2));
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EmbeddingEdit {
    #[serde(alias = "at")]
    pub selector: TokenSelector,
    /// The weighted sum that replaces the embedding; empty to keep it.
    #[serde(alias = "becomes", skip_serializing_if = "Vec::is_empty")]
    pub replacement: Vec<Term>,
    /// Then the vector is multiplied by this, -4 to 4.
    pub scale: f32,
    /// Then noise is added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<EditNoise>,
    /// Whether the encoder adds the position embedding.
    pub has_position: bool,
}

/// Selects a token by its text, since positions change while the prompt is edited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenSelector {
    /// As in the prompt, in lower case.
    #[serde(alias = "letters")]
    pub text: String,
    /// Whether a letter or digit precedes and follows the text, as for a piece of a word.
    #[serde(skip_serializing_if = "is_alone")]
    pub joined: [bool; 2],
    /// Which of the occurrences, from 0.
    pub nth: usize,
    /// Which token, from 0, if the text is several, such as the vectors of a concept.
    #[serde(skip_serializing_if = "is_zero")]
    pub part: usize,
}

/// A word with a weight, such as `0.5*puppy`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Term {
    pub weight: f32,
    #[serde(alias = "of")]
    pub word: Source,
}

/// Where a vector comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A word, or a concept by any of its names; the mean of its tokens if it has several.
    Word(String),
    /// A row of the embedding table.
    Id(u32),
}

/// Normal noise on an embedding.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EditNoise {
    /// Standard deviation in units of the embedding's root mean square, 0 to 4.
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
    /// Edits of a prompt, and terms of a sum: as many as a prompt has tokens.
    pub const MAX: usize = 75;

    /// An edit that changes nothing yet.
    pub fn new(selector: TokenSelector) -> Self {
        Self { selector, ..Self::default() }
    }

    /// Whether the edit changes nothing.
    pub fn is_idle(&self) -> bool {
        *self == Self::new(self.selector.clone())
    }

    /// # Errors
    /// The first value that is out of range, as the end of a sentence that begins with "The edit has".
    pub fn check(&self) -> Result<(), String> {
        if self.replacement.len() > Self::MAX {
            return Err(format!("a sum of {} words: choose at most {}", self.replacement.len(), Self::MAX));
        }
        let weights = self.replacement.iter().map(|term| ("a weight", term.weight, Self::WEIGHT));
        let others = [
            ("a scale", self.scale, Self::SCALE),
            ("a noise", self.noise.map_or(0.0, |noise| noise.amount), Self::NOISE),
        ];
        let invalid = weights.chain(others).find(|(_, value, range)| !range.contains(value));
        match invalid {
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
            selector: TokenSelector::default(),
            replacement: Vec::new(),
            scale: 1.0,
            noise: None,
            has_position: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_of_earlier_versions_are_read() {
        let old = r#"{"at":{"letters":"puppy","nth":1},"becomes":[{"weight":0.5,"of":{"word":"skunk"}}]}"#;
        assert_eq!(serde_json::from_str(old).ok(), "puppy[1]=0.5*skunk".parse::<EmbeddingEdit>().ok());
    }
}
