//! Text assembled from pieces of a prompt, and Python's `\s`, `\w` and `\b`, with which A1111 and ComfyUI define
//! their syntax.

use std::ops::Range;

/// Text with the position of each byte in the prompt.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::prompt) struct SourceText {
    pub text: String,
    /// Pairs of a byte of the text and the byte of the prompt that it comes from, one for each contiguous piece.
    pub origins: Vec<(usize, usize)>,
}

impl SourceText {
    /// A whole prompt.
    pub fn whole(prompt: &str) -> Self {
        Self { text: prompt.to_owned(), origins: vec![(0, 0)] }
    }

    /// Slices of another text.
    pub fn of(other: &Self, slices: impl IntoIterator<Item = Range<usize>>) -> Self {
        let mut text = Self::default();
        for slice in slices {
            text.append(other, slice);
        }
        text
    }

    /// Appends text that begins at byte `origin` of the prompt.
    pub fn push(&mut self, text: &str, origin: usize) {
        let is_contiguous =
            self.origins.last().is_some_and(|&(at, from)| from + self.text.len() - at == origin);
        if !text.is_empty() && !is_contiguous {
            self.origins.push((self.text.len(), origin));
        }
        self.text.push_str(text);
    }

    /// Appends a range of another text.
    pub fn append(&mut self, other: &Self, range: Range<usize>) {
        let mut at = range.start;
        let next = other.origins.partition_point(|&(start, _)| start <= at);
        for &(start, _) in other.origins[next..].iter().take_while(|&&(start, _)| start < range.end) {
            self.push(&other.text[at..start], origin(&other.origins, at));
            at = start;
        }
        self.push(&other.text[at..range.end], origin(&other.origins, at));
    }
}

/// The byte of the prompt that a byte of the text comes from.
pub(super) fn origin(origins: &[(usize, usize)], at: usize) -> usize {
    let stretch = origins.partition_point(|&(start, _)| start <= at).checked_sub(1);
    stretch.map_or(at, |stretch| {
        let (start, from) = origins[stretch];
        from + (at - start)
    })
}

/// White space.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// The occurrences of a word, as a whole word.
pub(super) fn whole_words(text: &str, word: &'static str) -> impl Iterator<Item = Range<usize>> {
    let is_letter = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).map(|(start, word)| start..start + word.len()).filter(move |range| {
        let before = text[..range.start].chars().next_back();
        let after = text[range.end..].chars().next();
        !before.is_some_and(is_letter) && !after.is_some_and(is_letter)
    })
}

/// Bytes of the digits at the beginning of a text.
pub(super) fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}
