//! ComfyUI's brackets: `(x)` weighs 1.1 times as much as its surroundings, `(x:1.2)` weighs 1.2 regardless of
//! them. An unmatched bracket is plain text.

use std::ops::Range;

use super::lexer::{SourceText, is_space};
use super::weighted_text::WeightedText;
use super::{MAX_DEPTH, Segment};

const BRACKETS: f64 = 1.1;

/// Segments of equal weight stay separate if brackets separate them: ComfyUI tokenizes each by itself.
pub(super) fn segments(source: &SourceText) -> Vec<Segment> {
    let prompt = source.text.as_str();
    let mut segments = Vec::new();
    let mut left = stretches(prompt, 0..prompt.len(), 1.0, 0);
    while let Some(stretch) = left.pop() {
        match inside(prompt, &stretch).filter(|_| stretch.depth < MAX_DEPTH) {
            Some((range, weight)) => left.extend(stretches(prompt, range, weight, stretch.depth + 1)),
            None => {
                let text = SourceText::of(source, unescaped(prompt, stretch.range));
                segments.push(Segment::Text(WeightedText::new(text, stretch.weight)));
            }
        }
    }
    segments
}

/// Text of one weight, or brackets with their contents.
struct Stretch {
    range: Range<usize>,
    /// The weight of its surroundings.
    weight: f64,
    depth: usize,
}

/// The stretches of a range in reverse order, none of them empty.
fn stretches(prompt: &str, range: Range<usize>, weight: f64, depth: usize) -> Vec<Stretch> {
    let mut stretches = Vec::new();
    let mut start = range.start;
    let mut end_at = |end: usize| {
        if start < end {
            stretches.push(Stretch { range: start..end, weight, depth });
        }
        start = end;
    };
    // Below 0 after an unmatched closing bracket: then the next opening one is plain text, too.
    let mut level = 0_i64;
    for (at, bracket) in brackets(prompt, range.clone()) {
        if bracket == b'(' {
            if level == 0 {
                end_at(at);
            }
            level += 1;
        } else {
            level -= 1;
            if level == 0 {
                end_at(at + 1);
            }
        }
    }
    end_at(range.end);
    stretches.reverse();
    stretches
}

/// The contents of brackets and their weight; `None` if the stretch is not in brackets.
fn inside(prompt: &str, stretch: &Stretch) -> Option<(Range<usize>, f64)> {
    let Range { start, end } = stretch.range;
    let opens = prompt[start..end].starts_with('(');
    // A bracket after a backslash is escaped.
    let closes = prompt[start..end].ends_with(')') && !prompt[start..end].ends_with("\\)");
    if !opens || !closes {
        return None;
    }
    let held = start + 1..end - 1;
    let text = &prompt[held.clone()];
    let explicit = text.rfind(':').filter(|&colon| colon > 0).and_then(|colon| {
        let weight: f64 = text[colon + 1..].trim_matches(is_space).parse().ok()?;
        // Python parses "inf" and "nan" as numbers, but no prompt means them.
        weight.is_finite().then(|| (held.start..held.start + colon, weight))
    });
    Some(explicit.unwrap_or((held, stretch.weight * BRACKETS)))
}

/// The brackets that are not escaped by a backslash.
fn brackets(prompt: &str, range: Range<usize>) -> impl Iterator<Item = (usize, u8)> {
    let bytes = prompt.as_bytes();
    let is_bracket = move |&at: &usize| matches!(bytes[at], b'(' | b')');
    let is_escaped = move |at: usize| at > range.start && bytes[at - 1] == b'\\';
    range.clone().filter(is_bracket).filter(move |&at| !is_escaped(at)).map(move |at| (at, bytes[at]))
}

/// A stretch without the backslashes that escape brackets.
fn unescaped(prompt: &str, range: Range<usize>) -> Vec<Range<usize>> {
    let bytes = prompt.as_bytes();
    let mut slices = Vec::new();
    let mut start = range.start;
    for at in range.start + 1..range.end {
        if matches!(bytes[at], b'(' | b')') && bytes[at - 1] == b'\\' {
            slices.push(start..at - 1);
            start = at;
        }
    }
    slices.push(start..range.end);
    slices
}
