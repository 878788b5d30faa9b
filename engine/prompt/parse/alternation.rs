//! `[a:b:0.5]` and `[a|b]`: what a prompt says at a step of the run.
//!
//! A1111 reads them by a grammar in which a bracket opens a schedule, an alternation, a weight, or
//! nothing. Inside the first three every bracket has its partner, so a bracket that has none makes all
//! that are open around it mere letters. Of the readings that are left, each bracket that can be a
//! schedule is one. The grammar has no word for `|` outside of an alternation, nor for a backslash at
//! the end of a line or of all: a prompt with one has no schedule at all.
//!
//! (Where brackets are broken A1111 itself is of two minds: its parser breaks ties by the order of a
//! hash set, which changes from run to run. The rule above is one of its answers.)

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use super::lexer::{digits, is_space};

/// A prompt, or a part of one, with all that changes in it over a run. Its steps count from 1.
#[derive(Debug)]
pub(super) struct PromptSchedule {
    range: Range<usize>,
    /// By where they open. One inside another comes after it.
    choices: Vec<Choice>,
    steps: usize,
    /// The last step before each change, in order.
    moments: Vec<usize>,
    /// How many options take turns, each number once.
    turns: Vec<usize>,
}

/// Brackets that say different things at different steps.
#[derive(Debug)]
struct Choice {
    /// From the opening bracket to the closing one.
    range: Range<usize>,
    options: Vec<Range<usize>>,
    by: ChoiceRule,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum ChoiceRule {
    /// The first option up to a step, which may be 0, and the second one after it.
    Moment(usize),
    /// One option after the other, step by step.
    Turns,
}

impl Choice {
    fn at(&self, step: usize) -> Range<usize> {
        let option = match self.by {
            ChoiceRule::Moment(last) => usize::from(step > last),
            ChoiceRule::Turns => (step - 1) % self.options.len(),
        };
        self.options[option].clone()
    }
}

impl PromptSchedule {
    /// Nothing changes.
    pub fn none(range: Range<usize>, steps: usize) -> Self {
        Self { range, choices: Vec::new(), steps, moments: Vec::new(), turns: Vec::new() }
    }

    /// `None` if the grammar has no word for something in it.
    pub fn read(prompt: &str, range: Range<usize>, steps: usize) -> Option<Self> {
        let mut reader = ScheduleParser { prompt, steps, open: Vec::new(), choices: Vec::new() };
        let mut letters = prompt[range.clone()].char_indices();
        while let Some((at, c)) = letters.next() {
            let at = range.start + at;
            match c {
                '\\' if letters.next().is_none_or(|(_, c)| c == '\n') => return None,
                '(' | '[' => reader.open.push(Open { at, bracket: c, colons: 0, separators: Vec::new() }),
                ')' | ']' => reader.close(at, c)?,
                ':' | '|' => reader.separate(at, c)?,
                _ => {}
            }
        }
        reader.give_up()?;
        let mut choices = reader.choices;
        choices.sort_by_key(|choice| choice.range.start);
        let moments = choices.iter().filter_map(|choice| match choice.by {
            ChoiceRule::Moment(last) if last > 0 => Some(last),
            ChoiceRule::Moment(_) | ChoiceRule::Turns => None,
        });
        let turns = choices.iter().filter(|choice| choice.by == ChoiceRule::Turns);
        let (moments, turns) = (each_once(moments), each_once(turns.map(|choice| choice.options.len())));
        Some(Self { range, choices, steps, moments, turns })
    }

    /// The steps after which it may say something else, in order, and the last step.
    pub fn ends(&self) -> Vec<usize> {
        if !self.turns.is_empty() {
            return (1..=self.steps).collect();
        }
        let mut ends = self.moments.clone();
        if ends.last() != Some(&self.steps) {
            ends.push(self.steps);
        }
        ends
    }

    /// What it says at a step depends on this alone: how many moments are over, and whose turn it is.
    pub fn state(&self, step: usize) -> Vec<usize> {
        let over = self.moments.partition_point(|&last| last < step);
        [over].into_iter().chain(self.turns.iter().map(|length| (step - 1) % length)).collect()
    }

    /// How many bytes all that it says comes to, at most.
    pub fn letters(&self) -> usize {
        let states: HashSet<Vec<usize>> = self.ends().into_iter().map(|end| self.state(end)).collect();
        states.len() * self.range.len()
    }

    /// What it says at a step, as stretches of the prompt.
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

fn each_once(numbers: impl Iterator<Item = usize>) -> Vec<usize> {
    numbers.collect::<BTreeSet<_>>().into_iter().collect()
}

/// A bracket that waits for its partner.
struct Open {
    at: usize,
    bracket: char,
    colons: usize,
    /// Where its colons and bars are.
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
    /// `None` for a bar that parts nothing.
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
        let known = match (open.bracket, c, open.colons, open.bars()) {
            ('(', ')', 0 | 1, 0) | ('[', ']', 0, 0) => true,
            ('[', ']', 1 | 2, 0) => self.schedule(&open, at),
            ('[', ']', 0, _) => {
                self.alternation(&open, at);
                true
            }
            _ => false,
        };
        if known {
            return Some(());
        }
        self.open.push(open);
        self.give_up()
    }

    /// All that is open is letters; `None` if that leaves a bar outside of an alternation.
    fn give_up(&mut self) -> Option<()> {
        self.open.drain(..).all(|open| open.bars() == 0).then_some(())
    }

    /// `[before:after:when]`, `[after:when]`.
    fn schedule(&mut self, open: &Open, close: usize) -> bool {
        let (inside, colons) = (open.at + 1, &open.separators);
        let Some(&last) = colons.last() else { return false };
        let Some(moment) = moment_of(&self.prompt[last + 1..close], self.steps) else { return false };
        let options = match colons[..] {
            [first, last] => vec![inside..first, first + 1..last],
            _ => vec![inside..inside, inside..last],
        };
        self.choices.push(Choice { range: open.at..close + 1, options, by: ChoiceRule::Moment(moment) });
        true
    }

    fn alternation(&mut self, open: &Open, close: usize) {
        let starts = [open.at].into_iter().chain(open.separators.iter().copied());
        let ends = open.separators.iter().copied().chain([close]);
        let options = starts.zip(ends).map(|(start, end)| start + 1..end).collect();
        self.choices.push(Choice { range: open.at..close + 1, options, by: ChoiceRule::Turns });
    }
}

/// The last step before a moment: `5` counts steps, and a number with a point is a fraction of the run.
/// It may have a sign, an exponent, and white space around it.
fn moment_of(text: &str, steps: usize) -> Option<usize> {
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
    // What is below 0 becomes 0.
    Some((step as usize).min(steps))
}
