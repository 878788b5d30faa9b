//! Finds the tokens that edits mean, and keeps edits at their words while somebody types.

use std::ops::Range;

use super::chunks::{TokenPlace, Tokenized};
use super::edit::{EmbeddingEdit, TokenSelector};

/// What the token at a place is called in an edit; `None` for begin, end and padding.
pub fn anchor_at(prompt: &str, text: &Tokenized, place: TokenPlace) -> Option<TokenSelector> {
    let range = &text.at(place)?.range;
    let mut same = text.tokens().filter(|(_, other)| other.range == *range);
    let part = same.position(|(other, _)| other == place)?;
    Some(TokenSelector { part, ..anchor_of(prompt, range)? })
}

/// Where in a text the token of an anchor stands, if it is there.
pub fn find(prompt: &str, text: &Tokenized, anchor: &TokenSelector) -> Option<TokenPlace> {
    let range = meant_by(prompt, anchor)?;
    let mut under = text.tokens().filter(|(_, token)| token.range == range);
    under.nth(anchor.part).map(|(place, _)| place)
}

/// Moves edits along with their words, after `before` was changed to `after`. One whose word was
/// itself changed stays as it is: it may be written again.
pub fn follow(edits: &mut [EmbeddingEdit], before: &str, after: &str) {
    let kept = common_len(before.chars(), after.chars());
    let kept_end = common_len(before[kept..].chars().rev(), after[kept..].chars().rev());
    for at in edits.iter_mut().map(|edit| &mut edit.at) {
        let Some(range) = meant_by(before, at) else { continue };
        let from = if range.end <= kept {
            range.start
        } else if range.start >= before.len() - kept_end {
            after.len() - (before.len() - range.start)
        } else {
            continue;
        };
        if let Some(anchor) = anchor_of(after, &(from..from + range.len())) {
            *at = TokenSelector { part: at.part, ..anchor };
        }
    }
}

/// Where an anchor's letters stand. Who writes an edit by hand need not know how a word is cut into
/// tokens: letters that nowhere stand alone are looked for in words as well.
fn meant_by(prompt: &str, anchor: &TokenSelector) -> Option<Range<usize>> {
    let ranges = occurrences(prompt, &anchor.letters);
    let stands_so = |range: &&Range<usize>| edges(prompt, range) == anchor.joined;
    match anchor.joined == [false; 2] && !ranges.iter().any(|range| stands_so(&range)) {
        true => ranges.get(anchor.nth).cloned(),
        false => ranges.iter().filter(stands_so).nth(anchor.nth).cloned(),
    }
}

/// Bytes that two texts begin with alike, whole letters.
fn common_len(a: impl Iterator<Item = char>, b: impl Iterator<Item = char>) -> usize {
    a.zip(b).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum()
}

/// The letters at a range, and how often they stand before it in the same way: as a whole word, or as
/// a word's beginning, middle or end.
fn anchor_of(prompt: &str, range: &Range<usize>) -> Option<TokenSelector> {
    let letters = lower_case(prompt.get(range.clone())?);
    let joined = edges(prompt, range);
    let before = occurrences(prompt, &letters).into_iter().take_while(|other| other.start < range.start);
    let nth = before.filter(|other| edges(prompt, other) == joined).count();
    Some(TokenSelector { letters, joined, nth, part: 0 })
}

/// Letter by letter, as they are looked for; a sigma at the end of a word is no special one here.
pub(super) fn lower_case(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// Where letters, in lower case, stand in a prompt, in whatever case.
fn occurrences(prompt: &str, letters: &str) -> Vec<Range<usize>> {
    let Some(first) = letters.chars().next() else { return Vec::new() };
    let starts = prompt.char_indices().filter(|(_, c)| c.to_lowercase().next() == Some(first));
    starts.filter_map(|(start, _)| Some(start..start + spelled_len(&prompt[start..], letters)?)).collect()
}

/// How many bytes of a text spell the letters that it begins with, if it does.
fn spelled_len(text: &str, letters: &str) -> Option<usize> {
    let mut letters = letters.chars().peekable();
    let mut chars = text.char_indices();
    while letters.peek().is_some() {
        let (_, c) = chars.next()?;
        for lower in c.to_lowercase() {
            letters.next_if_eq(&lower)?;
        }
    }
    Some(chars.next().map_or(text.len(), |(at, _)| at))
}

/// Whether a word goes on to the left and to the right of a range.
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
        TokenSelector { letters: letters.into(), nth, ..TokenSelector::default() }
    }

    fn follows(letters: &str, nth: usize, before: &str, after: &str) -> usize {
        let mut edits = [EmbeddingEdit::of(alone(letters, nth))];
        follow(&mut edits, before, after);
        edits[0].at.nth
    }

    #[test]
    fn an_edit_stays_at_its_word_while_somebody_types_elsewhere() {
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
    fn words_are_told_from_pieces_of_words() {
        let ranges = occurrences("A Cat, a category, İcat", "cat");
        assert_eq!(ranges, [2..5, 9..12, 21..24]);
        let anchor = |range: &Range<usize>| anchor_of("A Cat, a category, İcat", range).expect("an anchor");
        let anchors: Vec<TokenSelector> = ranges.iter().map(anchor).collect();
        assert!(anchors.iter().all(|anchor| anchor.nth == 0));
        let joined: Vec<[bool; 2]> = anchors.iter().map(|anchor| anchor.joined).collect();
        assert_eq!(joined, [[false, false], [false, true], [true, false]]);
        for (anchor, range) in anchors.iter().zip(ranges) {
            assert_eq!(meant_by("A Cat, a category, İcat", anchor), Some(range), "{anchor}");
        }
    }

    #[test]
    fn letters_written_by_hand_are_found_in_words_where_they_do_not_stand_alone() {
        assert_eq!(meant_by("1girl, a girl", &alone("girl", 0)), Some(9..13));
        assert_eq!(meant_by("2girls, 1girl", &alone("girl", 1)), Some(9..13));
        assert_eq!(meant_by("ΟΔΟΣ", &alone(&lower_case("ΟΔΟΣ"), 0)), Some(0..8));
    }
}
