//! A written prompt taken apart, before any of it is a token: stretches of letters with weights.

use std::ops::Range;

use super::options::Weights;

/// A prompt taken apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// Composed by AND; at least one.
    pub parts: Vec<Part>,
}

/// One of the prompts that AND composes.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub weight: f32,
    /// In order; at least one.
    pub scenes: Vec<Scene>,
}

/// What a part says for a stretch of the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// The last step that it holds for, from 0; `usize::MAX` for the last scene.
    pub last_step: usize,
    pub runs: Vec<Run>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Run {
    Text(Weighted),
    /// The next chunk begins here.
    Break,
}

/// Letters with a weight, all of them from the prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Weighted {
    pub text: String,
    pub weight: f32,
    /// From which byte of the text on it stands from which byte of the prompt on.
    origins: Vec<(usize, usize)>,
}

impl Weighted {
    /// A prompt that is meant letter by letter.
    pub fn plain(prompt: &str) -> Self {
        Self { text: prompt.to_owned(), weight: 1.0, origins: vec![(0, 0)] }
    }

    /// The bytes of the prompt under those of the text.
    pub fn origin(&self, range: Range<usize>) -> Range<usize> {
        let (_, from) = self.origins.first().copied().unwrap_or_default();
        from + range.start..from + range.end
    }
}

/// Takes a prompt apart for a run of so many steps.
pub fn parse(prompt: &str, weights: Weights, steps: usize) -> Script {
    Script { parts: vec![parse_part(prompt, weights, steps)] }
}

/// The same for a prompt in which AND is a word, as it is in A1111's negative prompt.
pub fn parse_part(prompt: &str, _weights: Weights, _steps: usize) -> Part {
    let scene = Scene { last_step: usize::MAX, runs: vec![Run::Text(Weighted::plain(prompt))] };
    Part { weight: 1.0, scenes: vec![scene] }
}
