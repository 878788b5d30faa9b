//! CLIP's byte-pair tokenizer: a prompt into the ids that a text encoder takes.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::unicode::NFC;
use tokenizers::normalizers::utils::Lowercase;
use tokenizers::normalizers::{self, Replace};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior};

use super::names::{Mark, Meaning};
use crate::concepts::Concept;

const BEGIN: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";

/// OpenAI CLIP's split of text into words, before any is cut into pieces.
const WORDS: &str = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// Turns prompts into ids.
#[derive(Clone)]
pub struct Tokenizer {
    pieces: tokenizers::Tokenizer,
    begin: u32,
    end: u32,
    padding: u32,
    positions: usize,
}

/// A prompt as the text encoder sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tokenized {
    /// Begin, the prompt's tokens, end, padding: as many as the encoder has positions.
    pub ids: Vec<u32>,
    /// Tokens of the prompt that fit, without begin and end; a concept counts as many as it has vectors.
    pub used: usize,
    /// Tokens that fit at most (75 for CLIP).
    pub room: usize,
    /// The part of the prompt that did not fit, as it was written; empty when all did.
    pub cut: String,
    /// Where concepts stand among the ids, each whole.
    pub splices: Vec<Splice>,
    /// Words of the prompt that are concepts, or look like some.
    pub marks: Vec<Mark>,
}

/// A concept among the ids: its vectors take the place of as many embeddings from `position` on.
#[derive(Clone, Debug, PartialEq)]
pub struct Splice {
    pub position: usize,
    pub concept: Arc<Concept>,
}

/// Any id will do where a concept's vectors come to stand.
const PLACEHOLDER: u32 = 0;

impl Tokenizer {
    /// From the contents of `vocab.json` and `merges.txt`, for an encoder of so many positions.
    ///
    /// # Errors
    /// What is wrong with them, as half a sentence.
    pub fn from_vocabulary(vocab: &[u8], merges: &[u8], positions: usize) -> Result<Self, String> {
        let vocab: HashMap<String, u32> =
            serde_json::from_slice(vocab).map_err(|error| format!("vocab.json: {error}"))?;
        let id = |token: &str| vocab.get(token).copied().ok_or_else(|| format!("vocab.json has no {token}"));
        let (begin, end) = (id(BEGIN)?, id(END)?);
        if positions < 3 {
            return Err(format!("a text encoder of {positions} positions"));
        }
        let merges = std::str::from_utf8(merges).map_err(|error| format!("merges.txt: {error}"))?;
        let merges: Vec<(String, String)> = merges
            .lines()
            .filter(|line| !line.starts_with("#version") && !line.trim().is_empty())
            .map(|line| match line.split_once(' ') {
                Some((left, right)) => Ok((left.to_owned(), right.to_owned())),
                None => Err(format!("merges.txt has the line {line:?}")),
            })
            .collect::<Result<_, _>>()?;

        let bpe = BPE::builder()
            .vocab_and_merges(vocab.into_iter().collect::<ahash::AHashMap<_, _>>(), merges)
            .unk_token(END.into())
            .end_of_word_suffix("</w>".into())
            .build()
            .map_err(|error| format!("merges.txt: {error}"))?;
        let mut pieces = tokenizers::Tokenizer::new(bpe);
        let whitespace = Replace::new(normalizers::replace::ReplacePattern::Regex(r"\s+".into()), " ");
        let words = Split::new(SplitPattern::Regex(WORDS.into()), SplitDelimiterBehavior::Removed, true);
        let (whitespace, words) =
            (whitespace.map_err(|error| error.to_string())?, words.map_err(|error| error.to_string())?);
        pieces
            .with_normalizer(Some(normalizers::Sequence::new(vec![
                NFC.into(),
                whitespace.into(),
                Lowercase.into(),
            ])))
            .with_pre_tokenizer(Some(Sequence::new(vec![
                words.into(),
                ByteLevel::new(false, true, true).into(),
            ])));
        pieces.add_special_tokens(&[BEGIN, END].map(|token| AddedToken::from(token, true)));
        Ok(Self { pieces, begin, end, padding: end, positions })
    }

    /// The same with another token for the places that a short prompt leaves; it is the end token
    /// unless this is said.
    ///
    /// # Errors
    /// Half a sentence, if it is no token.
    pub fn padded_with(self, token: &str) -> Result<Self, String> {
        let padding = self.pieces.token_to_id(token);
        let padding = padding.ok_or_else(|| format!("vocab.json has no {token}, the padding"))?;
        Ok(Self { padding, ..self })
    }

    /// Words in the vocabulary: ids are below it.
    pub fn vocabulary_len(&self) -> usize {
        self.pieces.get_vocab(true).values().max().map_or(0, |&id| id as usize + 1)
    }

    /// The ids of a prompt, cut to the room there is and padded.
    pub fn tokenize(&self, prompt: &str) -> Tokenized {
        self.tokenize_marked(prompt, Vec::new())
    }

    /// The same for a prompt in which concepts are marked.
    pub(super) fn tokenize_marked(&self, prompt: &str, marks: Vec<Mark>) -> Tokenized {
        let (mut ids, mut splices) = (vec![self.begin], Vec::new());
        let cut = self.fill(prompt, &marks, &mut ids, &mut splices).unwrap_or(prompt.len());
        let used = ids.len() - 1;
        ids.push(self.end);
        ids.resize(self.positions, self.padding);
        let cut = prompt.get(cut..).unwrap_or(prompt).trim().to_owned();
        Tokenized { ids, used, room: self.positions - 2, cut, splices, marks }
    }

    /// Adds tokens and concepts while there is room; answers with where in the prompt it ended.
    fn fill(
        &self,
        prompt: &str,
        marks: &[Mark],
        ids: &mut Vec<u32>,
        splices: &mut Vec<Splice>,
    ) -> Option<usize> {
        let most = self.positions - 1;
        let mut from = 0;
        for Mark { range, meaning } in marks {
            let Meaning::Concept(concept) = meaning else { continue };
            let cut = self.fill_words(&prompt[from..range.start], ids);
            if let Some(cut) = cut {
                return Some(from + cut);
            }
            // Half a concept means something else: it goes in whole or not at all.
            if ids.len() + concept.count() > most {
                return Some(range.start);
            }
            splices.push(Splice { position: ids.len(), concept: Arc::clone(concept) });
            ids.resize(ids.len() + concept.count(), PLACEHOLDER);
            from = range.end;
        }
        Some(from + self.fill_words(&prompt[from..], ids)?)
    }

    fn fill_words(&self, words: &str, ids: &mut Vec<u32>) -> Option<usize> {
        let encoding = self.pieces.encode(words, false).expect("a byte-level tokenizer knows every text");
        let room = self.positions - 1 - ids.len();
        ids.extend(encoding.get_ids().iter().take(room));
        encoding.get_offsets().get(room).map(|&(start, _)| start)
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokenizer({} positions)", self.positions)
    }
}
