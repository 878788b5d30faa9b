//! Changes the weight of a range of a prompt by a key, in A1111's syntax: `(word:1.1)`.

use std::ops::Range;

/// What one key press adds or subtracts.
pub const STEP: f32 = 0.1;
/// Weights beyond these must be typed.
const LIMITS: [f32; 2] = [0.0, 10.0];
/// The weight of a bare pair of brackets.
const BARE: f32 = 1.1;

/// Changes the weight of the selection, or of the word or bracket at the cursor. Returns the new
/// text and selection, in bytes; `None` where there is nothing to weight.
pub fn weighed(text: &str, selection: Range<usize>, by: f32) -> Option<(String, Range<usize>)> {
    let inside = meant(text, selection)?;
    let bracket = bracket_around(text, &inside);
    let outer = bracket.as_ref().map_or(inside.clone(), |(outer, _)| outer.clone());
    let weight = bracket.map_or(1.0, |(_, weight)| weight);
    let weight = ((weight + by) * 100.0).round() / 100.0;
    let weight = weight.clamp(LIMITS[0], LIMITS[1]);
    let words = &text[inside];
    let (opening, closing) = if weight == 1.0 { ("", String::new()) } else { ("(", format!(":{weight})")) };
    let start = outer.start + opening.len();
    let written = format!("{}{opening}{words}{closing}{}", &text[..outer.start], &text[outer.end..]);
    Some((written, start..start + words.len()))
}

/// The range that is meant: the selection without surrounding spaces, or what the cursor is in.
fn meant(text: &str, selection: Range<usize>) -> Option<Range<usize>> {
    let range = if selection.is_empty() {
        bracket_at(text, selection.start).unwrap_or_else(|| word_at(text, selection.start))
    } else {
        selection
    };
    let words = text.get(range.clone())?;
    let start = range.start + (words.len() - words.trim_start().len());
    let range = start..start + words.trim().len();
    (!range.is_empty()).then_some(range)
}

/// The word that the cursor is in or touches.
fn word_at(text: &str, at: usize) -> Range<usize> {
    let ends = |c: char| c.is_whitespace() || ".,\\/!?%^*;:{}=`~()[]|".contains(c);
    let start = text[..at].rfind(ends).map_or(0, |before| before + len_at(text, before));
    let end = text[at..].find(ends).map_or(text.len(), |after| at + after);
    start..end
}

fn len_at(text: &str, at: usize) -> usize {
    text[at..].chars().next().map_or(0, char::len_utf8)
}

/// The words of the innermost bracket around the cursor, if it has a weight: a bare one may be
/// just a bracket.
fn bracket_at(text: &str, at: usize) -> Option<Range<usize>> {
    let mut depth = 0;
    let opening = text[..at].char_indices().rev().find(|&(at, c)| {
        match c {
            ')' if !is_escaped(text, at) => depth += 1,
            '(' if !is_escaped(text, at) => depth -= 1,
            _ => {}
        }
        depth < 0
    });
    let start = opening?.0 + 1;
    let mut depth = 0;
    let closing = text[start..].char_indices().find(|&(after, c)| {
        match c {
            '(' if !is_escaped(text, start + after) => depth += 1,
            ')' if !is_escaped(text, start + after) => depth -= 1,
            _ => {}
        }
        depth < 0
    });
    let end = start + closing?.0;
    let colon = start + text[start..end].rfind(':')?;
    is_weight(&text[colon + 1..end]).then_some(start..colon)
}

/// The brackets directly around a range, and their weight: `(words:1.2)`, `((words))`.
fn bracket_around(text: &str, inside: &Range<usize>) -> Option<(Range<usize>, f32)> {
    let mut outer = inside.clone();
    let mut weight = None;
    while text[..outer.start].ends_with('(') && !is_escaped(text, outer.start - 1) {
        let after = &text[outer.end..];
        let Some(end) = after.find(')') else { break };
        let one = match &after[..end] {
            "" => BARE,
            number => match number.strip_prefix(':') {
                Some(number) if is_weight(number) => number.trim().parse().ok()?,
                _ => break,
            },
        };
        weight = Some(weight.unwrap_or(1.0) * one);
        outer = outer.start - 1..outer.end + end + 1;
    }
    weight.map(|weight| (outer, weight))
}

fn is_weight(number: &str) -> bool {
    number.trim().parse::<f32>().is_ok_and(f32::is_finite)
}

/// True if an odd number of backslashes precedes a byte.
fn is_escaped(text: &str, at: usize) -> bool {
    let slashes = text[..at].bytes().rev().take_while(|&byte| byte == b'\\').count();
    slashes % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts before and after the key, with the selection between bars.
    fn check(before: &str, by: f32, after: &str) {
        let read = |text: &str| {
            let mut bars = text.match_indices('|').map(|(at, _)| at);
            let start = bars.next().expect("a bar");
            let end = bars.next().map_or(start, |end| end - 1);
            (text.replace('|', ""), start..end)
        };
        let (text, selection) = read(before);
        let (text, selection) = weighed(&text, selection, by).expect("something to weigh");
        assert_eq!((text, selection), read(after), "from {before}");
    }

    #[test]
    fn a_key_weighs_what_is_selected_or_the_word_at_the_cursor() {
        check("a |large fox| here", STEP, "a (|large fox|:1.1) here");
        check("a| large |fox", -STEP, "a (|large|:0.9) fox");
        check("a lar|ge fox", STEP, "a (|large|:1.1) fox");
        check("|fox, owl", STEP, "(|fox|:1.1), owl");
        check("fox, owl|", STEP, "fox, (|owl|:1.1)");
        check("a fü|rst, 狐", STEP, "a (|fürst|:1.1), 狐");
        check("|狐", STEP, "(|狐|:1.1)");
        check("a <birb-sty|le>", STEP, "a (|<birb-style>|:1.1)");
    }

    #[test]
    fn a_bracket_that_is_there_grows_and_goes_at_one() {
        check("a (|fox|:1.1)", STEP, "a (|fox|:1.2)");
        check("a (|fox|:1.1) b", -STEP, "a |fox| b");
        check("a (|fox|:0.9)", STEP, "a |fox|");
        check("a (red f|ox:1.25)", STEP, "a (|red fox|:1.35)");
        check("a (|fox|)", STEP, "a (|fox|:1.2)");
        check("a ((|fox|))", STEP, "a (|fox|:1.31)");
        check("a (|fox|)", -STEP, "a |fox|");
        check("(|fox|:0.05)", -STEP, "(|fox|:0)");
        check("(|fox|:10)", STEP, "(|fox|:10)");
        check("((a:1.2) red f|ox:1.5)", STEP, "(|(a:1.2) red fox|:1.6)");
    }

    #[test]
    fn brackets_that_are_letters_or_broken_stay_as_they_are() {
        check(r"a \(|fox|\)", STEP, r"a \((|fox|:1.1)\)");
        check("a (|fox|, owl)", STEP, "a ((|fox|:1.1), owl)");
        check("a (|fox|", STEP, "a ((|fox|:1.1)");
        check("a (b f|ox) c", STEP, "a (b (|fox|:1.1)) c");
        check("a (|fox|:many)", STEP, "a ((|fox|:1.1):many)");
    }

    #[test]
    fn nothing_is_weighed_where_there_is_nothing() {
        assert_eq!(weighed("", 0..0, STEP), None);
        assert_eq!(weighed("a  b", 2..2, STEP), None);
        assert_eq!(weighed("a, b", 1..1, STEP).map(|(text, _)| text).as_deref(), Some("(a:1.1), b"));
        assert_eq!(weighed("  ", 0..2, STEP), None);
    }
}
