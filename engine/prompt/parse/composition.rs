//! `a fox AND a boat :0.5`: composed prompts, each with its weight.

use std::ops::Range;

use super::lexer::{digits, is_space, whole_words};

/// One of the prompts that AND composes.
#[derive(Debug, PartialEq)]
pub(super) struct Clause {
    /// Bytes of the whole prompt, without the weight and the white space around it.
    pub range: Range<usize>,
    pub weight: f32,
}

/// In order; at least one.
pub(super) fn clauses(prompt: &str) -> Vec<Clause> {
    let mut clauses = Vec::new();
    let mut start = 0;
    for and in whole_words(prompt, "AND") {
        clauses.push(clause(prompt, start..and.start));
        start = and.end;
    }
    clauses.push(clause(prompt, start..prompt.len()));
    clauses
}

/// A weight is a colon and a number at the very end. A1111 reads it even from a prompt without AND.
fn clause(prompt: &str, range: Range<usize>) -> Clause {
    let text = prompt[range.clone()].trim_end_matches(is_space);
    let (text, weight) = match text.rsplit_once(':') {
        Some((before, number)) => match number_of(number.trim_start_matches(is_space)) {
            Some(weight) => (before.trim_end_matches(is_space), weight),
            None => (text, 1.0),
        },
        None => (text, 1.0),
    };
    Clause { range: range.start..range.start + text.len(), weight }
}

/// `2`, `2.`, `.5` or `0.5`, optionally with a sign.
fn number_of(text: &str) -> Option<f32> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_number = unsigned.len() > unsigned.matches('.').count()
        && unsigned.chars().all(|c| c.is_ascii_digit() || c == '.')
        && unsigned[digits(unsigned)..].matches('.').count() <= 1;
    is_number.then(|| text.parse::<f64>().ok()).flatten().map(|weight| weight as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_what_a1111_takes_for_one() {
        for (text, number) in
            [("2", 2.0), ("2.", 2.0), (".5", 0.5), ("0.5", 0.5), ("-1", -1.0), ("+1.5", 1.5), ("007", 7.0)]
        {
            assert_eq!(number_of(text), Some(number), "{text}");
        }
        for text in ["", ".", "-", "1e3", "1.2.3", "--1", "inf", "1 2", "1_0", "a"] {
            assert_eq!(number_of(text), None, "{text}");
        }
    }
}
