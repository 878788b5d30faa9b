//! Letters with a weight.

use std::ops::Range;

use super::lexer::{SourceText, origin};

/// Letters with a weight, all of them from the prompt: an escape loses its backslash, and nothing is
/// added.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightedText {
    pub text: String,
    pub weight: f32,
    /// From which byte of the text on it stands from which byte of the prompt on.
    origins: Vec<(usize, usize)>,
}

impl WeightedText {
    /// A prompt that is meant letter by letter.
    pub fn plain(prompt: &str) -> Self {
        Self { text: prompt.to_owned(), weight: 1.0, origins: vec![(0, 0)] }
    }

    pub(super) fn new(letters: SourceText, weight: f64) -> Self {
        Self { text: letters.text, weight: weight as f32, origins: letters.origins }
    }

    /// The bytes of the prompt from the first to the last of these letters of the text.
    pub fn origin(&self, range: Range<usize>) -> Range<usize> {
        let start = origin(&self.origins, range.start);
        let end = if range.is_empty() { start } else { origin(&self.origins, range.end - 1) + 1 };
        start..end
    }
}
