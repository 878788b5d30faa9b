//! A prompt as a row of chips: the tokens' labels, and where chunks and parts start.

use std::ops::Range;

use engine::prompt::{PromptTokenizer, Token, TokenPlace};

use crate::features::prompt::read_prompt::ReadPrompt;
use engine::format::ellipsize;

/// A part of the row.
#[derive(Clone, Debug, PartialEq)]
pub enum TokenChipPart {
    Token(Chip),
    /// The start of a further chunk, the second or later.
    Chunk(usize),
    /// The start of a part composed by AND, with its weight; for the first part only if it has one.
    Part {
        is_first: bool,
        weight: f32,
    },
    /// The rest is truncated.
    Truncated,
}

/// A token, or a concept with all its vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct Chip {
    pub part: usize,
    /// For a concept, the place of its first vector.
    pub place: TokenPlace,
    /// The label on the chip.
    pub label: String,
    /// The byte range in the prompt.
    pub range: Range<usize>,
    pub weight: f32,
    /// The id in the vocabulary; `None` for a concept.
    pub id: Option<u32>,
    /// The number of positions it takes.
    pub count: usize,
}

/// Longer labels are truncated; in characters.
const MAX: usize = 24;

/// The parts of a prompt, in order.
pub fn chip_parts(read: &ReadPrompt, words: &PromptTokenizer) -> Vec<TokenChipPart> {
    let mut pieces = Vec::new();
    for (part, (weight, text)) in read.parts.iter().enumerate() {
        if part > 0 || *weight != 1.0 {
            pieces.push(TokenChipPart::Part { is_first: part == 0, weight: *weight });
        }
        let mut chunk = 0;
        for (place, token) in text.tokens() {
            if place.chunk > chunk {
                chunk = place.chunk;
                pieces.push(TokenChipPart::Chunk(chunk + 1));
            }
            // A concept is one chip, at its first vector.
            if !matches!(token.vector, Some((_, 1..))) {
                pieces.push(TokenChipPart::Token(chip(read, words, part, place, token)));
            }
        }
        if !text.cut.is_empty() {
            pieces.push(TokenChipPart::Truncated);
        }
    }
    pieces
}

fn chip(read: &ReadPrompt, words: &PromptTokenizer, part: usize, place: TokenPlace, token: &Token) -> Chip {
    let letters = read.prompt.get(token.range.clone()).unwrap_or_default();
    let (label, id, count) = match &token.vector {
        Some((concept, _)) => (shortened(&concept.token), None, concept.count()),
        None => (chip_label(words.piece(token.id).as_deref(), letters), Some(token.id), 1),
    };
    Chip { part, place, label, range: token.range.clone(), weight: token.weight, id, count }
}

/// A vocabulary entry without its end-of-word mark. Bytes of other scripts are shown as the
/// characters of the prompt.
pub fn chip_label(piece: Option<&str>, letters: &str) -> String {
    let piece = piece.map(|piece| piece.strip_suffix("</w>").unwrap_or(piece));
    match piece {
        Some(piece) if !piece.is_empty() && piece.bytes().all(|byte| byte.is_ascii_graphic()) => {
            shortened(piece)
        }
        _ => shortened(letters),
    }
}

/// Short enough for a chip, and never empty.
fn shortened(letters: &str) -> String {
    let label = ellipsize(letters, MAX).replace(char::is_control, "·");
    // Joiners and direction marks alone would leave nothing to point at.
    if label.chars().all(|c| c.is_whitespace() || is_unseen(c)) { "·".to_owned() } else { label }
}

/// Joiners, direction marks and variation selectors.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

impl Chip {
    /// The name for screen readers and the tooltip.
    pub fn name(&self) -> String {
        let TokenPlace { chunk, position } = self.place;
        let chunk = if chunk == 0 { String::new() } else { format!(" of chunk {}", chunk + 1) };
        format!("{}, token {position}{chunk}", self.label)
    }

    /// True if the token at this place belongs to the chip.
    pub fn still_matches(&self, part: usize, place: TokenPlace) -> bool {
        let positions = self.place.position..self.place.position + self.count;
        part == self.part && place.chunk == self.place.chunk && positions.contains(&place.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_face_is_what_can_be_read() {
        assert_eq!(chip_label(Some("puppy</w>"), "Puppy"), "puppy");
        assert_eq!(chip_label(Some("pup"), "pup"), "pup");
        assert_eq!(chip_label(Some("çĭ</w>"), "狐"), "狐");
        assert_eq!(chip_label(Some("Ā</w>"), "\0"), "·");
        assert_eq!(chip_label(None, "\u{200d}"), "·");
        assert_eq!(chip_label(None, ""), "·");
        assert_eq!(chip_label(None, &"ä".repeat(40)).chars().count(), MAX + 1);
    }
}
