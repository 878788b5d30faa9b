//! `[a:b:0.5]` and `[a|b]`: the text of a prompt at a step of the run.
//!
//! A1111 parses them with a grammar in which a bracket opens a schedule, an alternation, a weight, or is plain
//! text. Within the first three all brackets are matched, so an unmatched bracket makes all open brackets around
//! it plain text. Otherwise each bracket that can be a schedule is one. The grammar accepts neither a `|` outside
//! of an alternation nor a backslash at the end of a line or of the prompt: such a prompt has no schedule at all.
//!
//! (For unmatched brackets A1111's result is not deterministic: its parser breaks ties by the order of a hash
//! set. The rule above gives one of its results.)

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use super::lexer::{digits, is_space};

/// A prompt, or a part of one, with everything that changes in it over a run. Steps count from 1.
#[derive(Debug)]
pub(super) struct PromptSchedule {
    range: Range<usize>,
    /// Sorted by their opening brackets, so that an outer one precedes those within it.
    choices: Vec<Choice>,
    steps: usize,
    /// The last step before each scheduled change, in order.
    change_steps: Vec<usize>,
    /// The numbers of options of the alternations, each once.
    cycle_lengths: Vec<usize>,
}

/// Brackets with different text at different steps.
#[derive(Debug)]
struct Choice {
    /// From the opening bracket to the closing one.
    range: Range<usize>,
    options: Vec<Range<usize>>,
    rule: ChoiceRule,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum ChoiceRule {
    /// The first option up to a step, which may be 0, and the second one after it.
    ChangeAfter(usize),
    /// The options in turn, one per step.
    Alternate,
}

impl Choice {
    fn at(&self, step: usize) -> Range<usize> {
        let option = match self.rule {
            ChoiceRule::ChangeAfter(last) => usize::from(step > last),
            ChoiceRule::Alternate => (step - 1) % self.options.len(),
        };
        self.options[option].clone()
    }
}

impl PromptSchedule {
    /// A constant prompt.
    pub fn none(range: Range<usize>, steps: usize) -> Self {
        Self { range, choices: Vec::new(), steps, change_steps: Vec::new(), cycle_lengths: Vec::new() }
    }

    /// `None` if the grammar does not accept it.
    pub fn read(prompt: &str, range: Range<usize>, steps: usize) -> Option<Self> {
        let mut parser = ScheduleParser { prompt, steps, open: Vec::new(), choices: Vec::new() };
        let mut chars = prompt[range.clone()].char_indices();
        while let Some((at, c)) = chars.next() {
            let at = range.start + at;
            match c {
                '\\' if chars.next().is_none_or(|(_, c)| c == '\n') => return None,
                '(' | '[' => parser.open.push(Open { at, bracket: c, colons: 0, separators: Vec::new() }),
                ')' | ']' => parser.close(at, c)?,
                ':' | '|' => parser.separate(at, c)?,
                _ => {}
            }
        }
        parser.close_all()?;
        let mut choices = parser.choices;
        choices.sort_by_key(|choice| choice.range.start);
        let change_steps = choices.iter().filter_map(|choice| match choice.rule {
            ChoiceRule::ChangeAfter(last) if last > 0 => Some(last),
            ChoiceRule::ChangeAfter(_) | ChoiceRule::Alternate => None,
        });
        let alternations = choices.iter().filter(|choice| choice.rule == ChoiceRule::Alternate);
        let change_steps = sorted_once(change_steps);
        let cycle_lengths = sorted_once(alternations.map(|choice| choice.options.len()));
        Some(Self { range, choices, steps, change_steps, cycle_lengths })
    }

    /// The steps after which the text may change, in order, and the last step.
    pub fn ends(&self) -> Vec<usize> {
        if !self.cycle_lengths.is_empty() {
            return (1..=self.steps).collect();
        }
        let mut ends = self.change_steps.clone();
        if ends.last() != Some(&self.steps) {
            ends.push(self.steps);
        }
        ends
    }

    /// The text at a step depends on this alone: how many changes are past, and the phase of each cycle.
    pub fn state(&self, step: usize) -> Vec<usize> {
        let past = self.change_steps.partition_point(|&last| last < step);
        [past].into_iter().chain(self.cycle_lengths.iter().map(|length| (step - 1) % length)).collect()
    }

    /// An upper bound for the bytes of all its texts together.
    pub fn text_bytes(&self) -> usize {
        let states: HashSet<Vec<usize>> = self.ends().into_iter().map(|end| self.state(end)).collect();
        states.len() * self.range.len()
    }

    /// The text at a step, as ranges of the prompt.
    pub fn at(&self, step: usize) -> Vec<Range<usize>> {
        let mut slices = Vec::new();
        let mut left = vec![self.range.clone()];
        while let Some(range) = left.pop() {
            let next = self.choices.partition_point(|choice| choice.range.start < range.start);
            match self.choices.get(next).filter(|choice| choice.range.start < range.end) {
                Some(choice) => {
                    slices.push(range.start..choice.range.start);
                    left.push(choice.range.end..range.end);
                    left.push(choice.at(step));
                }
                None => slices.push(range),
            }
        }
        slices
    }
}

fn sorted_once(numbers: impl Iterator<Item = usize>) -> Vec<usize> {
    numbers.collect::<BTreeSet<_>>().into_iter().collect()
}

/// An open bracket.
struct Open {
    at: usize,
    bracket: char,
    colons: usize,
    /// The bytes of its colons and bars.
    separators: Vec<usize>,
}

impl Open {
    fn bars(&self) -> usize {
        self.separators.len() - self.colons
    }
}

struct ScheduleParser<'a> {
    prompt: &'a str,
    steps: usize,
    open: Vec<Open>,
    choices: Vec<Choice>,
}

impl ScheduleParser<'_> {
    /// `None` for a bar outside of an alternation.
    fn separate(&mut self, at: usize, c: char) -> Option<()> {
        match self.open.last_mut() {
            Some(open) => {
                open.colons += usize::from(c == ':');
                open.separators.push(at);
                Some(())
            }
            None => (c == ':').then_some(()),
        }
    }

    fn close(&mut self, at: usize, c: char) -> Option<()> {
        let Some(open) = self.open.pop() else { return Some(()) };
        let is_valid = match (open.bracket, c, open.colons, open.bars()) {
            ('(', ')', 0 | 1, 0) | ('[', ']', 0, 0) => true,
            ('[', ']', 1 | 2, 0) => self.schedule(&open, at),
            ('[', ']', 0, _) => {
                self.alternation(&open, at);
                true
            }
            _ => false,
        };
        if is_valid {
            return Some(());
        }
        self.open.push(open);
        self.close_all()
    }

    /// Makes all open brackets plain text; `None` if that leaves a bar outside of an alternation.
    fn close_all(&mut self) -> Option<()> {
        self.open.drain(..).all(|open| open.bars() == 0).then_some(())
    }

    /// `[before:after:when]`, `[after:when]`.
    fn schedule(&mut self, open: &Open, close: usize) -> bool {
        let (inside, colons) = (open.at + 1, &open.separators);
        let Some(&colon) = colons.last() else { return false };
        let Some(last) = last_step_of(&self.prompt[colon + 1..close], self.steps) else { return false };
        let options = match colons[..] {
            [first, second] => vec![inside..first, first + 1..second],
            _ => vec![inside..inside, inside..colon],
        };
        self.choices.push(Choice { range: open.at..close + 1, options, rule: ChoiceRule::ChangeAfter(last) });
        true
    }

    fn alternation(&mut self, open: &Open, close: usize) {
        let starts = [open.at].into_iter().chain(open.separators.iter().copied());
        let ends = open.separators.iter().copied().chain([close]);
        let options = starts.zip(ends).map(|(start, end)| start + 1..end).collect();
        self.choices.push(Choice { range: open.at..close + 1, options, rule: ChoiceRule::Alternate });
    }
}

/// The last step before a change: `5` is a step, and a number with a decimal point is a fraction of the run. It
/// may have a sign, an exponent, and white space around it.
fn last_step_of(text: &str, steps: usize) -> Option<usize> {
    let text = text.trim_matches(is_space);
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let mantissa_len = unsigned.find(['e', 'E']).unwrap_or(unsigned.len());
    let (mantissa, exponent) = unsigned.split_at(mantissa_len);
    let whole = digits(mantissa);
    let fraction = mantissa[whole..].strip_prefix('.');
    let mantissa_is_number = match fraction {
        Some(fraction) => digits(fraction) == fraction.len() && whole + fraction.len() > 0,
        None => whole == mantissa.len() && whole > 0,
    };
    let exponent_is_number = exponent.is_empty() || {
        let unsigned = exponent[1..].strip_prefix(['+', '-']).unwrap_or(&exponent[1..]);
        !unsigned.is_empty() && digits(unsigned) == unsigned.len()
    };
    if !mantissa_is_number || !exponent_is_number {
        return None;
    }
    let number: f64 = text.parse().ok()?;
    let step = if fraction.is_some() { number * steps as f64 } else { number };
    // Negative numbers become 0.
    Some((step as usize).min(steps))
}
