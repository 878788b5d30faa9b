//! Every word that a prompt can be made of: those of a model, and the concepts at hand.

use std::collections::HashMap;
use std::sync::Arc;

use super::chunks::{Tokenized, fill_chunks};
use super::concept_names::{ConceptMatch, ConceptNames};
use super::options::TextOptions;
use super::parse::{ParsedPrompt, PromptPart, Segment, parse, parse_part};
use crate::concepts::ConceptSet;
use crate::tokenizer::Tokenizer;

/// A model's tokenizer with the concepts of the moment. Plain data: whoever has a clone reads
/// prompts as the engine does, and never waits for it.
#[derive(Clone, Debug)]
pub struct PromptTokenizer {
    tokenizer: Arc<Tokenizer>,
    names: Arc<ConceptNames>,
}

/// A prompt as it is read over a run.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenizedPrompt {
    /// Composed by AND; at least one.
    pub parts: Vec<TokenizedPart>,
}

/// One of the prompts that AND composes.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenizedPart {
    pub weight: f32,
    /// What it says up to a step, from 0; the last holds to the end.
    pub scenes: Vec<(usize, Arc<Tokenized>)>,
}

impl TokenizedPrompt {
    /// What each part says at a step.
    pub fn at(&self, step: usize) -> impl Iterator<Item = (f32, &Arc<Tokenized>)> {
        self.parts.iter().map(move |part| (part.weight, part.at(step)))
    }

    /// Every text of it, those that return once for each time.
    pub fn texts(&self) -> impl Iterator<Item = &Arc<Tokenized>> {
        self.parts.iter().flat_map(|part| part.scenes.iter().map(|(_, text)| text))
    }

    /// What of the prompt is not read at some step; empty when all is.
    pub fn cut(&self) -> &str {
        self.texts().map(|text| text.cut.as_str()).find(|cut| !cut.is_empty()).unwrap_or_default()
    }
}

impl TokenizedPart {
    pub fn at(&self, step: usize) -> &Arc<Tokenized> {
        let holds = self.scenes.iter().find(|(last, _)| step <= *last).or(self.scenes.last());
        &holds.expect("a part says something").1
    }
}

impl PromptTokenizer {
    /// For a model that reads embeddings of a width; concepts of others are known and not used.
    pub fn new(tokenizer: Arc<Tokenizer>, width: usize, concepts: &ConceptSet) -> Self {
        Self { tokenizer, names: Arc::new(ConceptNames::new(concepts, width)) }
    }

    /// A prompt as it stands, cut to one chunk, with places for its concepts.
    pub fn tokenize(&self, prompt: &str) -> Tokenized {
        let reading = self.read(prompt, &TextOptions::PLAIN, 1);
        Tokenized::clone(reading.parts[0].at(0))
    }

    /// A prompt as it is read over a run of so many steps.
    pub fn read(&self, prompt: &str, options: &TextOptions, steps: usize) -> TokenizedPrompt {
        self.read_script(&parse(prompt, options.weights, steps), options, prompt)
    }

    /// The same for a prompt that AND does not compose, so that it has one part.
    pub fn read_whole(&self, prompt: &str, options: &TextOptions, steps: usize) -> TokenizedPrompt {
        let script = ParsedPrompt { parts: vec![parse_part(prompt, options.weights, steps)] };
        self.read_script(&script, options, prompt)
    }

    fn read_script(&self, script: &ParsedPrompt, options: &TextOptions, prompt: &str) -> TokenizedPrompt {
        let parts = script.parts.iter().map(|part| self.read_part(part, options, prompt));
        TokenizedPrompt { parts: parts.collect() }
    }

    /// What each part of a prompt says at one step. The whole schedule is taken apart for it, but what
    /// is said at other steps is not made into tokens.
    pub fn read_at(
        &self,
        prompt: &str,
        options: &TextOptions,
        steps: usize,
        step: usize,
    ) -> Vec<(f32, Tokenized)> {
        let script = parse(prompt, options.weights, steps);
        let read = |part: &PromptPart| (part.weight, self.read_part_at(part, options, prompt, step));
        script.parts.iter().map(read).collect()
    }

    /// The last step, from 0, of each stretch of a run over which a prompt says the same, in order.
    pub fn stretches(&self, prompt: &str, options: &TextOptions, steps: usize) -> Vec<usize> {
        let script = parse(prompt, options.weights, steps);
        let scenes = script.parts.iter().flat_map(|part| &part.scenes);
        let mut ends: Vec<usize> = scenes.map(|scene| scene.last_step.min(steps.saturating_sub(1))).collect();
        ends.sort_unstable();
        ends.dedup();
        ends
    }

    /// What a prompt says at one step that AND does not compose, as [`Self::read_whole`] reads it.
    pub fn read_whole_at(&self, prompt: &str, options: &TextOptions, steps: usize, step: usize) -> Tokenized {
        self.read_part_at(&parse_part(prompt, options.weights, steps), options, prompt, step)
    }

    fn read_part_at(&self, part: &PromptPart, options: &TextOptions, prompt: &str, step: usize) -> Tokenized {
        let scene = part.scenes.iter().find(|scene| step <= scene.last_step).or(part.scenes.last());
        self.tokenize_runs(scene.map_or(&[], |scene| &scene.runs), options, prompt)
    }

    /// Scenes that share what they say, such as those of `[a|b]`, share one text.
    fn read_part(&self, part: &PromptPart, options: &TextOptions, prompt: &str) -> TokenizedPart {
        let mut known: HashMap<*const [Segment], Arc<Tokenized>> = HashMap::new();
        let mut read = |runs: &Arc<[Segment]>| {
            let text = known.entry(Arc::as_ptr(runs));
            Arc::clone(text.or_insert_with(|| Arc::new(self.tokenize_runs(runs, options, prompt))))
        };
        let scenes = part.scenes.iter().map(|scene| (scene.last_step, read(&scene.runs))).collect();
        TokenizedPart { weight: part.weight, scenes }
    }

    fn tokenize_runs(&self, runs: &[Segment], options: &TextOptions, prompt: &str) -> Tokenized {
        fill_chunks(&self.tokenizer, &|text| self.marks(text), runs, options, prompt)
    }

    /// The words of a prompt that are concepts or look like some, in its order.
    pub fn marks(&self, prompt: &str) -> Vec<ConceptMatch> {
        self.names.marks(prompt)
    }

    /// A token as the vocabulary spells it: `puppy</w>`.
    pub fn piece(&self, id: u32) -> Option<String> {
        self.tokenizer.piece(id)
    }
}
