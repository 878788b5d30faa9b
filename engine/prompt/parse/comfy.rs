//! ComfyUI's brackets: `(x)` weighs 1.1 times what is around it, `(x:1.2)` weighs 1.2 whatever is
//! around it. A bracket without a partner is a letter.

use std::ops::Range;

use super::lexer::{SourceText, is_space};
use super::weighted_text::WeightedText;
use super::{MAX_DEPTH, Segment};

const BRACKETS: f64 = 1.1;

/// Runs of equal weight stay apart where brackets part them: ComfyUI reads each by itself.
pub(super) fn runs(prompt: &str) -> Vec<Segment> {
    let mut runs = Vec::new();
    let mut left = stretches(prompt, 0..prompt.len(), 1.0, 0);
    while let Some(stretch) = left.pop() {
        match inside(prompt, &stretch).filter(|_| stretch.depth < MAX_DEPTH) {
            Some((range, weight)) => left.extend(stretches(prompt, range, weight, stretch.depth + 1)),
            None => {
                let text = SourceText::of(prompt, unescaped(prompt, stretch.range));
                runs.push(Segment::Text(WeightedText::new(text, stretch.weight)));
            }
        }
    }
    runs
}

/// Letters of one weight, or brackets and all that they hold.
struct Stretch {
    range: Range<usize>,
    /// Of what is around it.
    weight: f64,
    depth: usize,
}

/// The stretches of a range, none of them empty, the last one first.
fn stretches(prompt: &str, range: Range<usize>, weight: f64, depth: usize) -> Vec<Stretch> {
    let mut stretches = Vec::new();
    let mut start = range.start;
    let mut end_at = |end: usize| {
        if start < end {
            stretches.push(Stretch { range: start..end, weight, depth });
        }
        start = end;
    };
    // Below 0 after a bracket that closes nothing: then the next to open one is a letter, too.
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

/// What brackets hold, and the weight that they give it; `None` if there are none around it.
fn inside(prompt: &str, stretch: &Stretch) -> Option<(Range<usize>, f64)> {
    let Range { start, end } = stretch.range;
    let opens = prompt[start..end].starts_with('(');
    // An escaped bracket at the end follows a backslash.
    let closes = prompt[start..end].ends_with(')') && !prompt[start..end].ends_with("\\)");
    if !opens || !closes {
        return None;
    }
    let held = start + 1..end - 1;
    let text = &prompt[held.clone()];
    let explicit = text.rfind(':').filter(|&colon| colon > 0).and_then(|colon| {
        let weight: f64 = text[colon + 1..].trim_matches(is_space).parse().ok()?;
        // Python takes "inf" and "nan" for numbers, which no prompt means.
        weight.is_finite().then(|| (held.start..held.start + colon, weight))
    });
    Some(explicit.unwrap_or((held, stretch.weight * BRACKETS)))
}

/// Where the brackets are that no backslash makes letters of.
fn brackets(prompt: &str, range: Range<usize>) -> impl Iterator<Item = (usize, u8)> {
    let bytes = prompt.as_bytes();
    let is_bracket = move |&at: &usize| matches!(bytes[at], b'(' | b')');
    let is_escaped = move |at: usize| at > range.start && bytes[at - 1] == b'\\';
    range.clone().filter(is_bracket).filter(move |&at| !is_escaped(at)).map(move |at| (at, bytes[at]))
}

/// A stretch without the backslashes before brackets.
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
