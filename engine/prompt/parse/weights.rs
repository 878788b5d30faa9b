//! A1111's brackets: `(x)` weighs 1.1, `[x]` 1 / 1.1, `(x:1.2)` 1.2; the weights of nested brackets are
//! multiplied. An unclosed bracket extends to the end.

use std::ops::Range;

use super::lexer::{SourceText, is_space, whole_words};
use super::weighted_text::WeightedText;
use super::{MAX_DEPTH, Segment};

const ROUND: f64 = 1.1;
const SQUARE: f64 = 1.0 / 1.1;
/// Begins a new chunk, unless it is in brackets: A1111 recognises the command by this weight alone.
const BREAK: (&str, f64) = ("BREAK", -1.0);

/// The segments of a prompt's text at one step; none is empty.
pub(super) fn segments(source: &SourceText) -> Vec<Segment> {
    let pieces = Pieces::read(&source.text).0;
    let same = pieces.chunk_by(|a, b| a.weight == b.weight);
    let texts = same.map(|pieces| {
        let mut text = SourceText::default();
        for piece in pieces {
            text.append(source, piece.range.clone());
        }
        (text, pieces[0].weight)
    });
    texts
        .filter(|(text, _)| !text.text.is_empty())
        .map(|(text, weight)| match (text.text.as_str(), weight) {
            BREAK => Segment::Break,
            _ => Segment::Text(WeightedText::new(text, weight)),
        })
        .collect()
}

/// Text of one weight.
struct Piece {
    /// Bytes of the text.
    range: Range<usize>,
    weight: f64,
}

#[derive(Default)]
struct Pieces(Vec<Piece>);

impl Pieces {
    fn read(text: &str) -> Self {
        let mut pieces = Self::default();
        // The first piece within each open bracket.
        let (mut round, mut square) = (Vec::new(), Vec::new());
        let mut at = 0;
        while let Some(c) = text[at..].chars().next() {
            let start = at;
            at += c.len_utf8();
            match c {
                '\\' => {
                    // A backslash that escapes nothing is removed as well.
                    let escaped = text[at..].starts_with(['(', ')', '[', ']', '\\']);
                    pieces.push(at..at + usize::from(escaped));
                    at += usize::from(escaped);
                }
                '(' => round.push(pieces.0.len()),
                '[' => square.push(pieces.0.len()),
                ')' if !round.is_empty() => pieces.close(&mut round, ROUND),
                ']' if !square.is_empty() => pieces.close(&mut square, SQUARE),
                ')' | ']' => pieces.push(start..at),
                ':' => match weight_of(&text[at..]) {
                    Some((weight, len)) => {
                        at += len;
                        if round.is_empty() {
                            pieces.push(start..at);
                        } else {
                            pieces.close(&mut round, weight);
                        }
                    }
                    None => pieces.push(start..at),
                },
                _ => {
                    let rest = &text[start..];
                    at = start + rest.find(['\\', '(', ')', '[', ']', ':']).unwrap_or(rest.len());
                    pieces.push_words(text, start..at);
                }
            }
        }
        // A1111 closes the rest in the order in which they were opened.
        for from in round.into_iter().take(MAX_DEPTH) {
            pieces.weigh(from, ROUND);
        }
        for from in square.into_iter().take(MAX_DEPTH) {
            pieces.weigh(from, SQUARE);
        }
        pieces
    }

    fn push(&mut self, range: Range<usize>) {
        self.0.push(Piece { range, weight: 1.0 });
    }

    /// Text that may contain BREAK, which absorbs the white space around it.
    fn push_words(&mut self, text: &str, range: Range<usize>) {
        let words = &text[range.clone()];
        let mut from = 0;
        for found in whole_words(words, BREAK.0) {
            // White space between two of them belongs to the first.
            let before = words[from..found.start].trim_end_matches(is_space);
            self.push(range.start + from..range.start + from + before.len());
            let (start, end) = (range.start + found.start, range.start + found.end);
            self.0.push(Piece { range: start..end, weight: BREAK.1 });
            let after = &words[found.end..];
            from = found.end + (after.len() - after.trim_start_matches(is_space).len());
        }
        self.push(range.start + from..range.end);
    }

    fn close(&mut self, open: &mut Vec<usize>, weight: f64) {
        let depth = open.len();
        if let Some(from) = open.pop()
            && depth <= MAX_DEPTH
        {
            self.weigh(from, weight);
        }
    }

    fn weigh(&mut self, from: usize, weight: f64) {
        for piece in &mut self.0[from..] {
            piece.weight *= weight;
        }
    }
}

/// The weight at the end of a bracket, as in `:1.2)`, and its bytes after the colon. A1111 itself fails at
/// `1.2.3`, which looks like a number but is not; here it is plain text.
fn weight_of(after_colon: &str) -> Option<(f64, usize)> {
    let text = after_colon.trim_start_matches(is_space);
    let sign = usize::from(text.starts_with(['+', '-']));
    let len = sign + text[sign..].bytes().take_while(|c| c.is_ascii_digit() || *c == b'.').count();
    let weight = text[..len].parse().ok()?;
    let rest = text[len..].trim_start_matches(is_space).strip_prefix(')')?;
    Some((weight, after_colon.len() - rest.len()))
}
