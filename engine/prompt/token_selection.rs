//! Finds the tokens that edits select, and keeps edits with their words while the prompt is typed.

use std::ops::Range;

use super::chunks::{TokenPlace, Tokenized};
use super::edit::{EmbeddingEdit, TokenSelector};

/// The selector of the token at a place; `None` for begin, end and padding.
pub fn selector_at(prompt: &str, text: &Tokenized, place: TokenPlace) -> Option<TokenSelector> {
    let range = &text.at(place)?.range;
    let mut same = text.tokens().filter(|(_, other)| other.range == *range);
    let part = same.position(|(other, _)| other == place)?;
    Some(TokenSelector { part, ..selector_of(prompt, range)? })
}

/// The place of the token that a selector selects, if the text has it.
pub fn find(prompt: &str, text: &Tokenized, selector: &TokenSelector) -> Option<TokenPlace> {
    let range = selected_range(prompt, selector)?;
    let mut under = text.tokens().filter(|(_, token)| token.range == range);
    under.nth(selector.part).map(|(place, _)| place)
}

/// Moves edits along with their words after `before` was changed to `after`. An edit whose word itself was
/// changed stays as it is: the word may be typed again.
pub fn follow(edits: &mut [EmbeddingEdit], before: &str, after: &str) {
    let kept = common_len(before.chars(), after.chars());
    let kept_end = common_len(before[kept..].chars().rev(), after[kept..].chars().rev());
    for selector in edits.iter_mut().map(|edit| &mut edit.selector) {
        let Some(range) = selected_range(before, selector) else { continue };
        let from = if range.end <= kept {
            range.start
        } else if range.start >= before.len() - kept_end {
            after.len() - (before.len() - range.start)
        } else {
            continue;
        };
        if let Some(moved) = selector_of(after, &(from..from + range.len())) {
            *selector = TokenSelector { part: selector.part, ..moved };
        }
    }
}

/// The bytes that a selector selects. People who write an edit by hand need not know how a word is split into
/// tokens: if the text never occurs as a whole word, it is looked for within words as well.
fn selected_range(prompt: &str, selector: &TokenSelector) -> Option<Range<usize>> {
    let ranges = occurrences(prompt, &selector.text);
    let is_joined_so = |range: &&Range<usize>| edges(prompt, range) == selector.joined;
    match selector.joined == [false; 2] && !ranges.iter().any(|range| is_joined_so(&range)) {
        true => ranges.get(selector.nth).cloned(),
        false => ranges.iter().filter(is_joined_so).nth(selector.nth).cloned(),
    }
}

/// Bytes of the common beginning of two texts, in whole characters.
fn common_len(a: impl Iterator<Item = char>, b: impl Iterator<Item = char>) -> usize {
    a.zip(b).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum()
}

/// The text of a range, and how often it occurs before the range in the same role: as a whole word, or as the
/// beginning, middle or end of a word.
fn selector_of(prompt: &str, range: &Range<usize>) -> Option<TokenSelector> {
    let text = lower_case(prompt.get(range.clone())?);
    let joined = edges(prompt, range);
    let before = occurrences(prompt, &text).into_iter().take_while(|other| other.start < range.start);
    let nth = before.filter(|other| edges(prompt, other) == joined).count();
    Some(TokenSelector { text, joined, nth, part: 0 })
}

/// Character by character, as texts are searched for: a final sigma has no special form here.
pub(super) fn lower_case(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// The occurrences of a text in a prompt, in any case. The text is in lower case.
fn occurrences(prompt: &str, text: &str) -> Vec<Range<usize>> {
    let Some(first) = text.chars().next() else { return Vec::new() };
    let starts = prompt.char_indices().filter(|(_, c)| c.to_lowercase().next() == Some(first));
    starts.filter_map(|(start, _)| Some(start..start + matched_len(&prompt[start..], text)?)).collect()
}

/// Bytes of `prompt` that match `text`, if it begins with it in any case.
fn matched_len(prompt: &str, text: &str) -> Option<usize> {
    let mut expected = text.chars().peekable();
    let mut chars = prompt.char_indices();
    while expected.peek().is_some() {
        let (_, c) = chars.next()?;
        for lower in c.to_lowercase() {
            expected.next_if_eq(&lower)?;
        }
    }
    Some(chars.next().map_or(prompt.len(), |(at, _)| at))
}

/// Whether a word continues to the left and to the right of a range.
fn edges(prompt: &str, range: &Range<usize>) -> [bool; 2] {
    let joined = |left: Option<char>, right: Option<char>| {
        left.zip(right).is_some_and(|(left, right)| left.is_alphanumeric() && right.is_alphanumeric())
    };
    let (before, inside, after) = (&prompt[..range.start], &prompt[range.clone()], &prompt[range.end..]);
    [
        joined(before.chars().next_back(), inside.chars().next()),
        joined(inside.chars().next_back(), after.chars().next()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alone(letters: &str, nth: usize) -> TokenSelector {
        TokenSelector { text: letters.into(), nth, ..TokenSelector::default() }
    }

    fn follows(letters: &str, nth: usize, before: &str, after: &str) -> usize {
        let mut edits = [EmbeddingEdit::new(alone(letters, nth))];
        follow(&mut edits, before, after);
        edits[0].selector.nth
    }

    #[test]
    fn an_edit_stays_with_its_word_while_the_rest_is_typed() {
        assert_eq!(follows("cat", 0, "a cat", "a cat and a cat"), 0, "typed behind it");
        assert_eq!(follows("cat", 0, "a cat", "a cat or a cat"), 0);
        assert_eq!(follows("cat", 0, "a cat", "one cat, a cat"), 1, "typed before it");
        assert_eq!(follows("cat", 1, "a cat, a cat", "a dog, a cat"), 0, "the other one went");
        assert_eq!(follows("cat", 1, "a cat, a cat", "a category, a cat"), 0, "which is another word");
        assert_eq!(follows("cat", 1, "a cat, a cat", "a cat, a dog"), 1, "its own word went");
        assert_eq!(follows("cat", 0, "über cat", "für über Cat, cat"), 1, "letters of two bytes");
        assert_eq!(follows("cat", 0, "dog", "cat"), 0, "it was not there");
        assert_eq!(
            follows("cat", 0, "a category, a cat", "a category, cat, a cat"),
            1,
            "not the piece of a word"
        );
    }

    #[test]
    fn whole_words_and_pieces_of_words_are_different() {
        let ranges = occurrences("A Cat, a category, İcat", "cat");
        assert_eq!(ranges, [2..5, 9..12, 21..24]);
        let selector =
            |range: &Range<usize>| selector_of("A Cat, a category, İcat", range).expect("a selector");
        let selectors: Vec<TokenSelector> = ranges.iter().map(selector).collect();
        assert!(selectors.iter().all(|selector| selector.nth == 0));
        let joined: Vec<[bool; 2]> = selectors.iter().map(|selector| selector.joined).collect();
        assert_eq!(joined, [[false, false], [false, true], [true, false]]);
        for (selector, range) in selectors.iter().zip(ranges) {
            assert_eq!(selected_range("A Cat, a category, İcat", selector), Some(range), "{selector}");
        }
    }

    #[test]
    fn text_that_is_not_a_whole_word_is_found_within_words() {
        assert_eq!(selected_range("1girl, a girl", &alone("girl", 0)), Some(9..13));
        assert_eq!(selected_range("2girls, 1girl", &alone("girl", 1)), Some(9..13));
        assert_eq!(selected_range("ΟΔΟΣ", &alone(&lower_case("ΟΔΟΣ"), 0)), Some(0..8));
    }
}
