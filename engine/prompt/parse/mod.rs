//! Parses the prompt syntax of A1111 and ComfyUI, before tokenization: texts with weights over the steps.
//!
//! Three stages, each in its file: `AND` composes prompts, schedules such as `[a:b:0.5]` change a prompt over the
//! steps, and brackets weigh text. ComfyUI has only the last one, with its own rules. The results equal those of
//! the programs themselves. Parsing never fails: text that is not valid syntax is plain text.

pub(crate) mod alternation;
pub(crate) mod extra_networks;
pub(crate) mod lexer;
pub(crate) mod weighted_text;
pub(crate) mod weights;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::options::PromptWeights;
use super::timeline::{PromptPart, Timeline, merged_ends};
use alternation::PromptSchedule;
use composition::Clause;
use lexer::SourceText;
pub use weighted_text::WeightedText;

mod comfy;
mod composition;

/// A parsed prompt: the parts that AND composes, at least one. Steps with the same text, such as every second
/// one of `[a|b]`, share its segments, and neighbouring values differ.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsedPrompt {
    pub parts: Vec<PromptPart<Arc<[Segment]>>>,
}

impl ParsedPrompt {
    /// The last step, from 0, of each stretch of a run over which the prompt stays the same.
    pub fn ends(&self, steps: usize) -> Vec<usize> {
        let ends = merged_ends(&self.parts).into_iter();
        let mut ends: Vec<usize> = ends.map(|end| end.min(steps.saturating_sub(1))).collect();
        ends.dedup();
        ends
    }
}

/// A piece of a prompt.
#[derive(Clone, Debug, PartialEq)]
pub enum Segment {
    Text(WeightedText),
    /// `BREAK`: the next chunk begins here.
    Break,
}

/// The deepest nesting of brackets. A deeper pair has no effect, or is plain text in ComfyUI's syntax. 64 pairs
/// give a weight of 445.
const MAX_DEPTH: usize = 64;

/// Bytes of all the different texts of a part together. A part that has more is read without its schedule, as
/// A1111 reads a part that its grammar does not accept.
const MAX_TEXT: usize = 4 << 20;

/// Parses a prompt for a run of so many steps.
pub fn parse(prompt: &str, weights: PromptWeights, steps: usize) -> ParsedPrompt {
    parse_source(&SourceText::whole(prompt), weights, steps)
}

/// Parses a prompt in which AND is an ordinary word, as in a negative prompt, so that it has one part.
pub fn parse_single(prompt: &str, weights: PromptWeights, steps: usize) -> ParsedPrompt {
    parse_source_single(&SourceText::whole(prompt), weights, steps)
}

pub(super) fn parse_source(source: &SourceText, weights: PromptWeights, steps: usize) -> ParsedPrompt {
    match weights {
        PromptWeights::A1111 => {
            let clauses = composition::clauses(&source.text).into_iter();
            let parts = clauses.map(|Clause { range, weight }| scheduled(source, range, weight, steps));
            ParsedPrompt { parts: parts.collect() }
        }
        PromptWeights::Comfy | PromptWeights::None => parse_source_single(source, weights, steps),
    }
}

pub(super) fn parse_source_single(source: &SourceText, weights: PromptWeights, steps: usize) -> ParsedPrompt {
    let constant =
        |segments: Vec<Segment>| PromptPart { weight: 1.0, timeline: Timeline::constant(segments.into()) };
    let part = match weights {
        PromptWeights::A1111 => scheduled(source, 0..source.text.len(), 1.0, steps),
        PromptWeights::Comfy => constant(comfy::segments(source)),
        PromptWeights::None => constant(vec![Segment::Text(WeightedText::new(source.clone(), 1.0))]),
    };
    ParsedPrompt { parts: vec![part] }
}

fn scheduled(
    source: &SourceText,
    range: Range<usize>,
    weight: f32,
    steps: usize,
) -> PromptPart<Arc<[Segment]>> {
    let steps = steps.max(1);
    let schedule = PromptSchedule::read(&source.text, range.clone(), steps)
        .filter(|schedule| schedule.text_bytes() <= MAX_TEXT)
        .unwrap_or_else(|| PromptSchedule::none(range, steps));
    let mut by_state: HashMap<Vec<usize>, Arc<[Segment]>> = HashMap::new();
    let mut until: Vec<(usize, Arc<[Segment]>)> = Vec::new();
    for end in schedule.ends() {
        let segments = by_state
            .entry(schedule.state(end))
            .or_insert_with(|| weights::segments(&SourceText::of(source, schedule.at(end))).into());
        // A1111 counts the rows of a schedule from 1 but compares them, by `<=`, with steps from 0, so the
        // first row holds for one more step than it says.
        match until.last_mut() {
            Some((last, before)) if is_same_text(before, segments) => *last = end,
            _ => until.push((end, Arc::clone(segments))),
        }
    }
    PromptPart { weight, timeline: Timeline::new(until) }
}

/// Whether two texts and their weights are equal, regardless of where in the prompt they are.
fn is_same_text(a: &Arc<[Segment]>, b: &Arc<[Segment]>) -> bool {
    fn content(segment: &Segment) -> Option<(&str, f32)> {
        match segment {
            Segment::Text(text) => Some((&text.text, text.weight)),
            Segment::Break => None,
        }
    }
    Arc::ptr_eq(a, b) || a.iter().map(content).eq(b.iter().map(content))
}
