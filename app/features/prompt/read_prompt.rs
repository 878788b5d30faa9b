//! A prompt as the model reads it, for the panels that show it.

use std::ops::RangeInclusive;

use engine::prompt::parse::{parse, parse_single};
use engine::prompt::{ConceptMatch, PromptTokenizer, Tokenized};
use engine::recipe::Recipe;

/// What a prompt comes to at a step of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadPrompt {
    /// As it was written.
    pub prompt: String,
    /// What AND composes, each with its weight; at least one.
    pub parts: Vec<(f32, Tokenized)>,
    /// Words of the prompt that are concepts, or look like some.
    pub marks: Vec<ConceptMatch>,
    /// The steps, from 0, at which it comes to just this.
    pub steps: RangeInclusive<usize>,
    /// True if it comes to something else at others.
    pub changes: bool,
}

impl ReadPrompt {
    /// The prompt of a recipe at a step, which AND may compose.
    pub fn new(words: &PromptTokenizer, recipe: &Recipe, step: usize) -> Self {
        let Recipe { prompt, text, steps, .. } = recipe;
        let parsed = parse(prompt, text.weights, *steps as usize);
        let read = Self::of_parts(words, prompt, words.read_at(&parsed, text, prompt, step));
        // Only a bracket makes a prompt change.
        if !prompt.contains('[') {
            return read;
        }
        let ends = parsed.ends(*steps as usize);
        let at = ends.iter().position(|&end| step <= end).unwrap_or(ends.len() - 1);
        let first = if at == 0 { 0 } else { ends[at - 1] + 1 };
        Self { steps: first..=ends[at], changes: ends.len() > 1, ..read }
    }

    /// Its negative prompt, where AND is a word.
    pub fn negative(words: &PromptTokenizer, recipe: &Recipe) -> Self {
        let Recipe { negative_prompt: prompt, text, steps, .. } = recipe;
        let parsed = parse_single(prompt, text.weights, *steps as usize);
        Self::of_parts(words, prompt, words.read_at(&parsed, text, prompt, 0))
    }

    fn of_parts(words: &PromptTokenizer, prompt: &str, parts: Vec<(f32, Tokenized)>) -> Self {
        let (prompt, marks) = (prompt.to_owned(), words.marks(prompt));
        Self { prompt, parts, marks, steps: 0..=usize::MAX, changes: false }
    }

    /// Tokens that are read.
    pub fn used(&self) -> usize {
        self.parts.iter().map(|(_, text)| text.used()).sum()
    }

    /// Tokens that there is room for, in the chunks that there are.
    pub fn capacity(&self) -> usize {
        self.parts.iter().map(|(_, text)| text.capacity * text.chunks.len()).sum()
    }

    /// What of it is not read; empty when all is.
    pub fn cut(&self) -> &str {
        self.parts.iter().map(|(_, text)| text.cut.as_str()).find(|cut| !cut.is_empty()).unwrap_or_default()
    }
}
