//! A prompt in chunks, each as long as the text encoder reads at once.
//!
//! The encoder has 77 positions, of which the begin and the end take two. What is longer goes on in
//! a further chunk, and the outputs of all are laid end to end. Programs differ in where they like to
//! break: A1111 after a comma that is near, ComfyUI between words.

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
    /// Tokens that fit into a chunk at most, without begin and end (75 for CLIP).
    pub capacity: usize,
    /// The part of the prompt that is not read, as it was written; empty when all is.
    pub cut: String,
}

/// What the encoder reads at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// Begin, the prompt's tokens, end, padding: as many as the encoder has positions.
    pub ids: Vec<u32>,
    /// The prompt's own, which stand from position 1 on.
    pub tokens: Vec<Token>,
}

/// A token of the prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// Meaningless where a concept's vector comes to stand.
    pub id: u32,
    /// Bytes of the prompt that it stands for.
    pub range: Range<usize>,
    pub weight: f32,
    /// A concept, and which of its vectors.
    pub vector: Option<(Arc<Concept>, usize)>,
}

/// Where a token stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenPlace {
    pub chunk: usize,
    /// In the chunk; begin stands at 0.
    pub position: usize,
}

/// Any id will do where a concept's vectors come to stand.
const PLACEHOLDER: u32 = 0;

impl Tokenizer {
    /// The ids of a prompt as it stands, cut to the room there is.
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
    /// Tokens of the prompt that are read; a concept counts as many as it has vectors.
    pub fn used(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.tokens.len()).sum()
    }

    /// The prompt's tokens in order, with their places.
    pub fn tokens(&self) -> impl Iterator<Item = (TokenPlace, &Token)> {
        self.chunks.iter().enumerate().flat_map(|(chunk, it)| {
            let places = (1..).map(move |position| TokenPlace { chunk, position });
            places.zip(&it.tokens)
        })
    }

    /// The token at a place, unless it is begin, end or padding.
    pub fn at(&self, place: TokenPlace) -> Option<&Token> {
        self.chunks.get(place.chunk)?.tokens.get(place.position.checked_sub(1)?)
    }

    /// The concepts in it, in order, where their first vectors stand.
    pub fn concepts(&self) -> impl Iterator<Item = (TokenPlace, &Arc<Concept>)> {
        self.tokens().filter_map(|(place, token)| match &token.vector {
            Some((concept, 0)) => Some((place, concept)),
            _ => None,
        })
    }

    /// The prompt's words: the bytes of each, and its tokens counted over all chunks, begin and end
    /// among them. Signs are no words; a word that a chunk breaks is two.
    pub fn words(&self, prompt: &str) -> Vec<(Range<usize>, Range<usize>)> {
        let mut words: Vec<(Range<usize>, Range<usize>)> = Vec::new();
        let of_chunk = self.chunks[0].ids.len();
        for (TokenPlace { chunk, position }, token) in self.tokens() {
            let letters = prompt.get(token.range.clone()).unwrap_or_default();
            if token.vector.is_none() && !letters.contains(char::is_alphanumeric) {
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

    /// True if any of it is weighted.
    pub fn is_weighted(&self) -> bool {
        self.tokens().any(|(_, token)| token.weight != 1.0)
    }
}

/// Reads runs of letters into chunks; `marks_in` finds the concepts of a text.
pub(super) fn fill_chunks(
    tokenizer: &Tokenizer,
    marks_in: &dyn Fn(&str) -> Vec<ConceptMatch>,
    runs: &[Segment],
    options: &TextOptions,
    prompt: &str,
) -> Tokenized {
    let mut filling = ChunkPacker {
        tokenizer,
        options,
        capacity: tokenizer.capacity(),
        chunks: Vec::new(),
        tokens: Vec::new(),
        last_comma: None,
    };
    // Where the runs end: what comes after them in the prompt is another part's.
    let end = runs.iter().rev().find_map(|run| match run {
        Segment::Text(text) => Some(text.origin(0..text.text.len()).end),
        Segment::Break => None,
    });
    let mut cut = String::new();
    'runs: for run in runs {
        let Segment::Text(text) = run else {
            filling.break_here();
            continue;
        };
        for mut group in groups(tokenizer, &marks_in(&text.text), text, options.weights) {
            if group.is_concept {
                // No text encoder in use is so short.
                group.tokens.truncate(filling.capacity);
            }
            let start = group.tokens.first().map(|token| token.range.start);
            if let (Err(DoesNotFit { at }), Some(start)) = (filling.put(group), start) {
                let rest = at.unwrap_or(start)..end.unwrap_or(prompt.len());
                cut = prompt.get(rest).unwrap_or(prompt).trim().to_owned();
                break 'runs;
            }
        }
    }
    filling.finish(cut)
}

/// Tokens that stay together if they can.
struct Group {
    tokens: Vec<Token>,
    is_concept: bool,
}

/// What is left for a prompt that is cut: from which byte on.
struct DoesNotFit {
    at: Option<usize>,
}

/// A text in groups: concepts and, for ComfyUI, all that stands between two of them or between
/// brackets, which it calls a word; for the others token by token.
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
    /// Of the chunk that is being filled.
    tokens: Vec<Token>,
    /// How many tokens came before the last comma of this chunk.
    last_comma: Option<usize>,
}

/// A1111 moves what follows a comma to the next chunk, if it is no more than so many tokens.
const COMMA_BACKTRACK: usize = 20;
/// Stretches of so many tokens ComfyUI breaks.
const LONG_WORD: usize = 8;

impl ChunkPacker<'_> {
    fn put(&mut self, group: Group) -> Result<(), DoesNotFit> {
        match (self.options.overflow, self.options.weights) {
            (PromptOverflow::Truncate, _) => self.put_while_there_is_room(group),
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

    /// Half a concept means something else, so it goes in whole or not at all; words may be broken.
    fn put_while_there_is_room(&mut self, group: Group) -> Result<(), DoesNotFit> {
        let room = self.capacity - self.tokens.len();
        let fits = group.tokens.len() <= room;
        if group.is_concept && !fits {
            return Err(DoesNotFit { at: None });
        }
        let at = group.tokens.get(room).map(|token| token.range.start);
        self.tokens.extend(group.tokens.into_iter().take(room));
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
