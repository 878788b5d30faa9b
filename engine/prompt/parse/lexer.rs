//! Letters put together from stretches of a prompt, and what letters are to the programs that wrote
//! these rules down: Python's `\s`, `\w` and `\b`.

use std::ops::Range;

/// Letters that know where they were written.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct SourceText {
    pub text: String,
    /// From which byte of the text on it stands from which byte of the prompt on, in order.
    pub origins: Vec<(usize, usize)>,
}

impl SourceText {
    pub fn of(prompt: &str, slices: impl IntoIterator<Item = Range<usize>>) -> Self {
        let mut letters = Self::default();
        for slice in slices {
            letters.push(&prompt[slice.clone()], slice.start);
        }
        letters
    }

    fn push(&mut self, text: &str, origin: usize) {
        let goes_on = self.origins.last().is_some_and(|&(at, from)| from + self.text.len() - at == origin);
        if !text.is_empty() && !goes_on {
            self.origins.push((self.text.len(), origin));
        }
        self.text.push_str(text);
    }

    /// Puts a part of other letters after these.
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

/// The byte of the prompt under one of the text.
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

/// Where a word stands by itself.
pub(super) fn whole_words(text: &str, word: &'static str) -> impl Iterator<Item = Range<usize>> {
    let is_letter = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).map(|(start, word)| start..start + word.len()).filter(move |range| {
        let before = text[..range.start].chars().next_back();
        let after = text[range.end..].chars().next();
        !before.is_some_and(is_letter) && !after.is_some_and(is_letter)
    })
}

/// How many bytes of digits a text begins with.
pub(super) fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}
