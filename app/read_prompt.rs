//! A prompt as the model reads it, for the panels that show it.

use engine::recipe::Recipe;
use engine::text::{Mark, Tokenized, Words};

/// What a prompt comes to at the first step.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadPrompt {
    /// As it was written.
    pub prompt: String,
    /// What AND composes, each with its weight; at least one.
    pub parts: Vec<(f32, Tokenized)>,
    /// Words of the prompt that are concepts, or look like some.
    pub marks: Vec<Mark>,
}

impl ReadPrompt {
    /// The prompt of a recipe, which AND may compose.
    pub fn new(words: &Words, recipe: &Recipe) -> Self {
        let Recipe { prompt, text, steps, .. } = recipe;
        Self::of_parts(words, prompt, words.read_at(prompt, text, *steps as usize, 0))
    }

    /// Its negative prompt, where AND is a word.
    pub fn negative(words: &Words, recipe: &Recipe) -> Self {
        let Recipe { negative_prompt: prompt, text, steps, .. } = recipe;
        let whole = words.read_whole_at(prompt, text, *steps as usize, 0);
        Self::of_parts(words, prompt, vec![(1.0, whole)])
    }

    fn of_parts(words: &Words, prompt: &str, parts: Vec<(f32, Tokenized)>) -> Self {
        Self { prompt: prompt.to_owned(), parts, marks: words.marks(prompt) }
    }

    /// Tokens that are read.
    pub fn used(&self) -> usize {
        self.parts.iter().map(|(_, text)| text.used()).sum()
    }

    /// Tokens that there is room for, in the chunks that there are.
    pub fn room(&self) -> usize {
        self.parts.iter().map(|(_, text)| text.room * text.chunks.len()).sum()
    }

    /// What of it is not read; empty when all is.
    pub fn cut(&self) -> &str {
        self.parts.iter().map(|(_, text)| text.cut.as_str()).find(|cut| !cut.is_empty()).unwrap_or_default()
    }
}
