//! A prompt as the model reads it, for the panels.

use std::ops::RangeInclusive;

use engine::prompt::{ConceptMatch, PromptTokenizer, Tokenized};
use engine::recipe::Recipe;

/// The tokens of a prompt at a step of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadPrompt {
    /// The prompt as written.
    pub prompt: String,
    /// The parts composed by AND, each with its weight; at least one.
    pub parts: Vec<(f32, Tokenized)>,
    /// Words of the prompt that are concepts, or look like concepts.
    pub marks: Vec<ConceptMatch>,
    /// The steps, counted from 0, that have exactly these tokens.
    pub steps: RangeInclusive<usize>,
    /// True if other steps have other tokens.
    pub changes: bool,
}

impl ReadPrompt {
    /// Reads the prompt of a recipe at a step. AND composes its parts.
    pub fn new(words: &PromptTokenizer, recipe: &Recipe, step: usize) -> Self {
        let Recipe { prompt, text, steps, .. } = recipe;
        let parsed = words.parse(prompt, text.weights, *steps as usize);
        let read = Self::of_parts(words, prompt, words.read_at(&parsed, text, prompt, step));
        // Only brackets make a prompt change during a run.
        if !prompt.contains('[') {
            return read;
        }
        let ends = parsed.ends(*steps as usize);
        let at = ends.iter().position(|&end| step <= end).unwrap_or(ends.len() - 1);
        let first = if at == 0 { 0 } else { ends[at - 1] + 1 };
        Self { steps: first..=ends[at], changes: ends.len() > 1, ..read }
    }

    /// Reads the negative prompt, in which AND is an ordinary word.
    pub fn negative(words: &PromptTokenizer, recipe: &Recipe) -> Self {
        let Recipe { negative_prompt: prompt, text, steps, .. } = recipe;
        let parsed = words.parse_single(prompt, text.weights, *steps as usize);
        Self::of_parts(words, prompt, words.read_at(&parsed, text, prompt, 0))
    }

    fn of_parts(words: &PromptTokenizer, prompt: &str, parts: Vec<(f32, Tokenized)>) -> Self {
        let (prompt, marks) = (prompt.to_owned(), words.marks(prompt));
        Self { prompt, parts, marks, steps: 0..=usize::MAX, changes: false }
    }

    /// The number of tokens used.
    pub fn used(&self) -> usize {
        self.parts.iter().map(|(_, text)| text.used()).sum()
    }

    /// The number of tokens that fit into the chunks.
    pub fn capacity(&self) -> usize {
        self.parts.iter().map(|(_, text)| text.capacity * text.chunks.len()).sum()
    }

    /// The part that is not read; empty if all of it is.
    pub fn cut(&self) -> &str {
        self.parts.iter().map(|(_, text)| text.cut.as_str()).find(|cut| !cut.is_empty()).unwrap_or_default()
    }
}
