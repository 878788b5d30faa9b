//! A written prompt taken apart, before any of it is a token: stretches of letters with weights.
//!
//! Three stages, each in its file: `AND` composes prompts, schedules such as `[a:b:0.5]` say what a
//! prompt is at a step, and brackets weigh letters. ComfyUI knows the last one only, in its own way.
//! What comes out equals those programs' own answers, and never fails: what makes no sense is letters.

pub(crate) mod alternation;
pub(crate) mod lexer;
pub(crate) mod weighted_text;
pub(crate) mod weights;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::options::PromptWeights;
use alternation::PromptSchedule;
use composition::Clause;
use lexer::SourceText;
pub use weighted_text::WeightedText;

mod comfy;
mod composition;

/// A prompt taken apart.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsedPrompt {
    /// Composed by AND; at least one.
    pub parts: Vec<PromptPart>,
}

/// One of the prompts that AND composes.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptPart {
    pub weight: f32,
    /// In order; at least one. Neighbours differ.
    pub scenes: Vec<Scene>,
}

/// What a part says for a stretch of the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// The last step that it holds for, from 0; `usize::MAX` for the last scene.
    pub last_step: usize,
    /// Scenes that say the same, such as every second one of `[a|b]`, share theirs.
    pub runs: Arc<[Segment]>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Segment {
    Text(WeightedText),
    /// The next chunk begins here.
    Break,
}

/// Brackets inside each other that count. A pair further in than this weighs nothing, or, in
/// ComfyUI's way, is letters; 64 pairs weigh 445.
const MAX_DEPTH: usize = 64;

/// Letters that a part may say in all its different scenes together, bytes. One that would say more
/// has no schedule: it is read as A1111 reads one that its grammar does not know, as it stands.
const MAX_LETTERS: usize = 4 << 20;

/// Takes a prompt apart for a run of so many steps.
pub fn parse(prompt: &str, weights: PromptWeights, steps: usize) -> ParsedPrompt {
    let parts = match weights {
        PromptWeights::A1111 => {
            let clauses = composition::clauses(prompt).into_iter();
            clauses.map(|Clause { range, weight }| scheduled(prompt, range, weight, steps)).collect()
        }
        PromptWeights::Comfy | PromptWeights::None => vec![parse_part(prompt, weights, steps)],
    };
    ParsedPrompt { parts }
}

/// The same for a prompt in which AND is a word, as it is in A1111's negative prompt.
pub fn parse_part(prompt: &str, weights: PromptWeights, steps: usize) -> PromptPart {
    let runs = match weights {
        PromptWeights::A1111 => return scheduled(prompt, 0..prompt.len(), 1.0, steps),
        PromptWeights::Comfy => comfy::runs(prompt),
        PromptWeights::None => vec![Segment::Text(WeightedText::plain(prompt))],
    };
    PromptPart { weight: 1.0, scenes: vec![Scene { last_step: usize::MAX, runs: runs.into() }] }
}

fn scheduled(prompt: &str, range: Range<usize>, weight: f32, steps: usize) -> PromptPart {
    let steps = steps.max(1);
    let schedule = PromptSchedule::read(prompt, range.clone(), steps)
        .filter(|schedule| schedule.letters() <= MAX_LETTERS)
        .unwrap_or_else(|| PromptSchedule::none(range, steps));
    let mut said: HashMap<Vec<usize>, Arc<[Segment]>> = HashMap::new();
    let mut scenes: Vec<Scene> = Vec::new();
    for end in schedule.ends() {
        let runs = said
            .entry(schedule.state(end))
            .or_insert_with(|| weights::runs(&SourceText::of(prompt, schedule.at(end))).into());
        // A1111 counts the rows of a schedule from 1 and asks them for steps from 0, by `<=`, so
        // that the first row holds for one step more than it says.
        match scenes.last_mut() {
            Some(before) if says_the_same(&before.runs, runs) => before.last_step = end,
            _ => scenes.push(Scene { last_step: end, runs: Arc::clone(runs) }),
        }
    }
    if let Some(last) = scenes.last_mut() {
        last.last_step = usize::MAX;
    }
    PromptPart { weight, scenes }
}

/// Whether the same letters have the same weights, wherever they were written.
fn says_the_same(a: &Arc<[Segment]>, b: &Arc<[Segment]>) -> bool {
    fn said(run: &Segment) -> Option<(&str, f32)> {
        match run {
            Segment::Text(text) => Some((&text.text, text.weight)),
            Segment::Break => None,
        }
    }
    Arc::ptr_eq(a, b) || a.iter().map(said).eq(b.iter().map(said))
}
