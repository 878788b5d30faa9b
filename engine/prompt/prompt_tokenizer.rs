//! The tokenizer of prompts: a model's vocabulary with its prompt syntax and the loaded concepts.

use std::collections::HashMap;
use std::sync::Arc;

use super::chunks::{Tokenized, fill_chunks};
use super::concept_names::{ConceptMatch, ConceptNames, MatchKind};
use super::options::{PromptWeights, TextOptions};
use super::parse::lexer::SourceText;
use super::parse::{ParsedPrompt, Segment, parse_source, parse_source_single};
use super::timeline::PromptPart;
use crate::concepts::ConceptSet;
use crate::tokenizer::Tokenizer;

/// A model's tokenizer with the loaded concepts. It is plain data: a clone reads prompts exactly as the engine
/// does, without waiting for it.
#[derive(Clone, Debug)]
pub struct PromptTokenizer {
    tokenizer: Arc<Tokenizer>,
    names: Arc<ConceptNames>,
}

/// The tokens of a prompt over a run: the parts that AND composes, at least one. Steps with the same text share
/// its tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenizedPrompt {
    pub parts: Vec<PromptPart<Arc<Tokenized>>>,
}

impl TokenizedPrompt {
    /// The weight and the tokens of each part at a step.
    pub fn at(&self, step: usize) -> impl Iterator<Item = (f32, &Arc<Tokenized>)> {
        self.parts.iter().map(move |part| (part.weight, part.at(step)))
    }

    /// The texts of all parts in the order of the steps; one that recurs is repeated.
    pub fn texts(&self) -> impl Iterator<Item = &Arc<Tokenized>> {
        self.parts.iter().flat_map(|part| part.timeline.values())
    }

    /// The end of the prompt that is ignored at some step; empty if the whole prompt is read.
    pub fn cut(&self) -> &str {
        self.texts().map(|text| text.cut.as_str()).find(|cut| !cut.is_empty()).unwrap_or_default()
    }
}

impl PromptTokenizer {
    /// For a text encoder with embeddings of a width. Concepts of another width are recognised, but not used.
    pub fn new(tokenizer: Arc<Tokenizer>, width: usize, concepts: &ConceptSet) -> Self {
        Self { tokenizer, names: Arc::new(ConceptNames::new(concepts, width)) }
    }

    /// A prompt without syntax, truncated to one chunk.
    pub fn tokenize(&self, prompt: &str) -> Tokenized {
        let options = TextOptions::PLAIN;
        let parsed = self.parse_single(prompt, options.weights, 1);
        self.tokenize_segments(parsed.parts[0].at(0), &options, prompt)
    }

    /// A prompt over a run of so many steps.
    pub fn read(&self, prompt: &str, options: &TextOptions, steps: usize) -> TokenizedPrompt {
        self.tokenize_parsed(&self.parse(prompt, options.weights, steps), options, prompt)
    }

    /// A prompt in which AND is an ordinary word, such as a negative prompt, so that it has one part.
    pub fn read_single(&self, prompt: &str, options: &TextOptions, steps: usize) -> TokenizedPrompt {
        self.tokenize_parsed(&self.parse_single(prompt, options.weights, steps), options, prompt)
    }

    /// Parses a prompt for a run of so many steps. Brackets in the name of a concept are not syntax, and A1111's
    /// extra networks are left out.
    pub fn parse(&self, prompt: &str, weights: PromptWeights, steps: usize) -> ParsedPrompt {
        parse_source(&self.source(prompt, weights), weights, steps)
    }

    /// The same for a prompt in which AND is an ordinary word.
    pub fn parse_single(&self, prompt: &str, weights: PromptWeights, steps: usize) -> ParsedPrompt {
        parse_source_single(&self.source(prompt, weights), weights, steps)
    }

    fn source(&self, prompt: &str, weights: PromptWeights) -> SourceText {
        let syntax: &[char] = match weights {
            PromptWeights::A1111 => &['(', ')', '[', ']', '\\'],
            PromptWeights::Comfy => &['(', ')'],
            PromptWeights::None => return SourceText::whole(prompt),
        };
        let mut source = SourceText::default();
        let mut from = 0;
        for ConceptMatch { range, meaning } in self.marks(prompt) {
            match meaning {
                MatchKind::Concept(_) => {
                    for (at, _) in prompt[range.clone()].match_indices(syntax) {
                        source.push(&prompt[from..range.start + at], from);
                        from = range.start + at;
                        source.push("\\", from);
                    }
                }
                MatchKind::ExtraNetwork if weights == PromptWeights::A1111 => {
                    source.push(&prompt[from..range.start], from);
                    from = range.end;
                }
                _ => {}
            }
        }
        source.push(&prompt[from..], from);
        source
    }

    /// The weight and the tokens of each part of a parsed prompt at one step. Other steps are not tokenized.
    pub fn read_at(
        &self,
        parsed: &ParsedPrompt,
        options: &TextOptions,
        prompt: &str,
        step: usize,
    ) -> Vec<(f32, Tokenized)> {
        let parts = parsed.parts.iter();
        parts.map(|part| (part.weight, self.tokenize_segments(part.at(step), options, prompt))).collect()
    }

    fn tokenize_parsed(&self, parsed: &ParsedPrompt, options: &TextOptions, prompt: &str) -> TokenizedPrompt {
        let parts = parsed.parts.iter().map(|part| {
            // Every value of the timeline is alive, so an address identifies the segments behind it.
            let mut known: HashMap<*const [Segment], Arc<Tokenized>> = HashMap::new();
            let timeline = part.timeline.map(|segments| {
                let text = known.entry(Arc::as_ptr(segments));
                let tokenize = || Arc::new(self.tokenize_segments(segments, options, prompt));
                Arc::clone(text.or_insert_with(tokenize))
            });
            PromptPart { weight: part.weight, timeline }
        });
        TokenizedPrompt { parts: parts.collect() }
    }

    fn tokenize_segments(&self, segments: &[Segment], options: &TextOptions, prompt: &str) -> Tokenized {
        fill_chunks(&self.tokenizer, &|text| self.marks(text), segments, options, prompt)
    }

    /// The words of a prompt that are concepts or look like concepts, in order.
    pub fn marks(&self, prompt: &str) -> Vec<ConceptMatch> {
        let mut marks = self.names.marks(prompt);
        // The model knows the tokens that were added to its vocabulary.
        marks.retain(|ConceptMatch { range, meaning }| match meaning {
            MatchKind::Concept(_) | MatchKind::NotUsable { .. } => true,
            MatchKind::Unknown { .. } | MatchKind::ExtraNetwork => {
                !self.tokenizer.is_added_token(&prompt[range.clone()])
            }
        });
        marks
    }

    /// A token as the vocabulary spells it: `puppy</w>`.
    pub fn piece(&self, id: u32) -> Option<String> {
        self.tokenizer.piece(id)
    }
}
