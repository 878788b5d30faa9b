//! Text with a weight.

use std::ops::Range;

use super::lexer::{SourceText, origin};

/// Text with a weight. All of it comes from the prompt; only backslashes that escape are removed.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightedText {
    pub text: String,
    pub weight: f32,
    /// See [`SourceText::origins`].
    origins: Vec<(usize, usize)>,
}

impl WeightedText {
    /// A prompt without syntax.
    pub fn plain(prompt: &str) -> Self {
        Self { text: prompt.to_owned(), weight: 1.0, origins: vec![(0, 0)] }
    }

    pub(super) fn new(source: SourceText, weight: f64) -> Self {
        Self { text: source.text, weight: weight as f32, origins: source.origins }
    }

    /// The bytes of the prompt from the first to the last of these bytes of the text.
    pub fn origin(&self, range: Range<usize>) -> Range<usize> {
        let start = origin(&self.origins, range.start);
        let end = if range.is_empty() { start } else { origin(&self.origins, range.end - 1) + 1 };
        start..end
    }
}
