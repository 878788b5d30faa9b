//! A prompt in chunks of the text encoder's input length.
//!
//! The encoder has 77 positions, two of which are begin and end. A longer prompt continues in further chunks, whose
//! outputs are joined. Programs differ in where they split: A1111 after a nearby comma, ComfyUI between words.

use std::ops::Range;
use std::sync::Arc;

use super::concept_names::{ConceptMatch, MatchKind};
use super::options::{PromptOverflow, PromptWeights, TextOptions};
use super::parse::{Segment, WeightedText};
use crate::concepts::Concept;
use crate::tokenizer::Tokenizer;

/// A prompt as the text encoder sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tokenized {
    /// At least one.
    pub chunks: Vec<Chunk>,
    /// The most tokens of a chunk, without begin and end (75 for CLIP).
    pub capacity: usize,
    /// The end of the prompt that is ignored, as it was written; empty if the whole prompt is read.
    pub cut: String,
}

/// One input of the text encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// Begin, the prompt's tokens, end, padding: as many as the encoder has positions.
    pub ids: Vec<u32>,
    /// The tokens of the prompt, from position 1 on.
    pub tokens: Vec<Token>,
}

/// A token of the prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// Meaningless if a concept's vector replaces it.
    pub id: u32,
    /// The bytes of the prompt that it represents.
    pub range: Range<usize>,
    pub weight: f32,
    /// A concept and the index of one of its vectors.
    pub vector: Option<(Arc<Concept>, usize)>,
}

/// The place of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenPlace {
    pub chunk: usize,
    /// In the chunk; begin is at 0.
    pub position: usize,
}

/// The id of tokens whose embedding is replaced by a concept's vector; any id would do.
const PLACEHOLDER: u32 = 0;

impl Tokenizer {
    /// A prompt without syntax, truncated to one chunk.
    pub fn tokenize(&self, prompt: &str) -> Tokenized {
        let plain = Segment::Text(WeightedText::plain(prompt));
        fill_chunks(self, &|_| Vec::new(), &[plain], &TextOptions::PLAIN, prompt)
    }

    /// A whole chunk: begin, the tokens, end, padding.
    fn chunk(&self, tokens: Vec<Token>) -> Chunk {
        Chunk { ids: self.chunk_ids(tokens.iter().map(|token| token.id)), tokens }
    }
}

impl Tokenized {
    /// The number of tokens that are read; a concept has as many as it has vectors.
    pub fn used(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.tokens.len()).sum()
    }

    /// The tokens of the prompt in order, with their places.
    pub fn tokens(&self) -> impl Iterator<Item = (TokenPlace, &Token)> {
        self.chunks.iter().enumerate().flat_map(|(index, chunk)| {
            let places = (1..).map(move |position| TokenPlace { chunk: index, position });
            places.zip(&chunk.tokens)
        })
    }

    /// The token at a place, unless it is begin, end or padding.
    pub fn at(&self, place: TokenPlace) -> Option<&Token> {
        self.chunks.get(place.chunk)?.tokens.get(place.position.checked_sub(1)?)
    }

    /// The concepts in order, with the places of their first vectors.
    pub fn concepts(&self) -> impl Iterator<Item = (TokenPlace, &Arc<Concept>)> {
        self.tokens().filter_map(|(place, token)| match &token.vector {
            Some((concept, 0)) => Some((place, concept)),
            _ => None,
        })
    }

    /// The words of the prompt: the bytes of each, and its tokens counted over all chunks including begin and end.
    /// Punctuation is skipped; a word that is split over two chunks is two words.
    pub fn words(&self, prompt: &str) -> Vec<(Range<usize>, Range<usize>)> {
        let mut words: Vec<(Range<usize>, Range<usize>)> = Vec::new();
        let of_chunk = self.chunks[0].ids.len();
        for (TokenPlace { chunk, position }, token) in self.tokens() {
            let text = prompt.get(token.range.clone()).unwrap_or_default();
            if token.vector.is_none() && !text.contains(char::is_alphanumeric) {
                continue;
            }
            let at = chunk * of_chunk + position;
            match words.last_mut() {
                Some((range, tokens))
                    if tokens.end == at && (range.end == token.range.start || *range == token.range) =>
                {
                    (range.end, tokens.end) = (token.range.end, at + 1);
                }
                _ => words.push((token.range.clone(), at..at + 1)),
            }
        }
        words
    }

    /// Whether any token has a weight other than 1.
    pub fn is_weighted(&self) -> bool {
        self.tokens().any(|(_, token)| token.weight != 1.0)
    }
}

/// Packs segments into chunks; `concepts_in` finds the concepts of a text.
pub(super) fn fill_chunks(
    tokenizer: &Tokenizer,
    concepts_in: &dyn Fn(&str) -> Vec<ConceptMatch>,
    segments: &[Segment],
    options: &TextOptions,
    prompt: &str,
) -> Tokenized {
    let mut packer = ChunkPacker {
        tokenizer,
        options,
        capacity: tokenizer.capacity(),
        chunks: Vec::new(),
        tokens: Vec::new(),
        last_comma: None,
    };
    // The end of the segments; the prompt may continue with another part.
    let end = segments.iter().rev().find_map(|segment| match segment {
        Segment::Text(text) => Some(text.origin(0..text.text.len()).end),
        Segment::Break => None,
    });
    let mut cut = String::new();
    'segments: for segment in segments {
        let Segment::Text(text) = segment else {
            packer.break_here();
            continue;
        };
        for mut group in groups(tokenizer, &concepts_in(&text.text), text, options.weights) {
            if group.is_concept {
                // Only a concept with more vectors than a chunk has places is truncated.
                group.tokens.truncate(packer.capacity);
            }
            let start = group.tokens.first().map(|token| token.range.start);
            if let (Err(DoesNotFit { at }), Some(start)) = (packer.put(group), start) {
                let rest = at.unwrap_or(start)..end.unwrap_or(prompt.len());
                cut = prompt.get(rest).unwrap_or(prompt).trim().to_owned();
                break 'segments;
            }
        }
    }
    packer.finish(cut)
}

/// Tokens that stay in one chunk if possible.
struct Group {
    tokens: Vec<Token>,
    is_concept: bool,
}

/// The prompt is truncated, from byte `at` on.
struct DoesNotFit {
    at: Option<usize>,
}

/// A text in groups: concepts, and the tokens between them. For ComfyUI all tokens between two concepts or brackets
/// are one group, which it calls a word; otherwise each token is a group.
fn groups(
    tokenizer: &Tokenizer,
    marks: &[ConceptMatch],
    text: &WeightedText,
    weights: PromptWeights,
) -> Vec<Group> {
    let mut groups = Vec::new();
    let mut from = 0;
    let words = |range: Range<usize>, groups: &mut Vec<Group>| {
        let read = |range: Range<usize>| {
            let tokens: Vec<Token> = tokenizer
                .pieces(&text.text[range.clone()])
                .into_iter()
                .map(|(id, piece)| Token {
                    id,
                    range: text.origin(range.start + piece.start..range.start + piece.end),
                    weight: text.weight,
                    vector: None,
                })
                .collect();
            tokens
        };
        match weights {
            PromptWeights::Comfy => groups.push(Group { tokens: read(range), is_concept: false }),
            PromptWeights::A1111 | PromptWeights::None => groups.extend(
                read(range).into_iter().map(|token| Group { tokens: vec![token], is_concept: false }),
            ),
        }
    };
    for ConceptMatch { range, meaning } in marks {
        let MatchKind::Concept(concept) = meaning else { continue };
        words(from..range.start, &mut groups);
        let origin = text.origin(range.clone());
        let vector = |index| Token {
            id: PLACEHOLDER,
            range: origin.clone(),
            weight: text.weight,
            vector: Some((Arc::clone(concept), index)),
        };
        groups.push(Group { tokens: (0..concept.count()).map(vector).collect(), is_concept: true });
        from = range.end;
    }
    words(from..text.text.len(), &mut groups);
    groups.retain(|group| !group.tokens.is_empty());
    groups
}

struct ChunkPacker<'a> {
    tokenizer: &'a Tokenizer,
    options: &'a TextOptions,
    capacity: usize,
    chunks: Vec<Chunk>,
    /// The tokens of the current chunk.
    tokens: Vec<Token>,
    /// The number of tokens before the last comma of the current chunk.
    last_comma: Option<usize>,
}

/// A1111 moves the tokens after a comma to the next chunk, if they are at most this many.
const COMMA_BACKTRACK: usize = 20;
/// ComfyUI splits words of at least this many tokens.
const LONG_WORD: usize = 8;

impl ChunkPacker<'_> {
    fn put(&mut self, group: Group) -> Result<(), DoesNotFit> {
        match (self.options.overflow, self.options.weights) {
            (PromptOverflow::Truncate, _) => self.put_if_it_fits(group),
            (PromptOverflow::Chunk, PromptWeights::Comfy) => {
                self.put_word(group.tokens);
                Ok(())
            }
            (PromptOverflow::Chunk, PromptWeights::A1111 | PromptWeights::None) => {
                self.put_near_comma(group);
                Ok(())
            }
        }
    }

    /// A part of a concept has another meaning, so a concept is added whole or not at all. Words may be split.
    fn put_if_it_fits(&mut self, group: Group) -> Result<(), DoesNotFit> {
        let free = self.capacity - self.tokens.len();
        let fits = group.tokens.len() <= free;
        if group.is_concept && !fits {
            return Err(DoesNotFit { at: None });
        }
        let at = group.tokens.get(free).map(|token| token.range.start);
        self.tokens.extend(group.tokens.into_iter().take(free));
        if fits { Ok(()) } else { Err(DoesNotFit { at }) }
    }

    fn put_near_comma(&mut self, group: Group) {
        let is_comma = group
            .tokens
            .first()
            .is_some_and(|token| token.vector.is_none() && Some(token.id) == self.tokenizer.comma());
        let full = self.tokens.len() == self.capacity;
        if is_comma {
            self.last_comma = Some(self.tokens.len());
        } else if full
            && let Some(comma) = self.last_comma
            && self.tokens.len() - comma <= COMMA_BACKTRACK
        {
            let moved = self.tokens.split_off(comma + 1);
            self.end_chunk();
            self.tokens = moved;
        }
        let needed = if group.is_concept { group.tokens.len() } else { 1 };
        if self.tokens.len() + needed > self.capacity {
            self.end_chunk();
        }
        self.tokens.extend(group.tokens);
    }

    fn put_word(&mut self, tokens: Vec<Token>) {
        let is_long = tokens.len() >= LONG_WORD.min(self.capacity + 1);
        let mut tokens = tokens.into_iter();
        while self.tokens.len() + tokens.len() > self.capacity {
            if is_long {
                self.tokens.extend(tokens.by_ref().take(self.capacity - self.tokens.len()));
            }
            self.end_chunk();
        }
        self.tokens.extend(tokens);
    }

    fn break_here(&mut self) {
        if self.options.overflow == PromptOverflow::Chunk {
            self.end_chunk();
        }
    }

    fn end_chunk(&mut self) {
        self.chunks.push(self.tokenizer.chunk(std::mem::take(&mut self.tokens)));
        self.last_comma = None;
    }

    fn finish(mut self, cut: String) -> Tokenized {
        if !self.tokens.is_empty() || self.chunks.is_empty() {
            self.end_chunk();
        }
        Tokenized { chunks: self.chunks, capacity: self.capacity, cut }
    }
}
