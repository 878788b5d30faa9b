//! CLIP's byte-pair tokenizer: a prompt into the ids that a text encoder takes.

use std::collections::HashMap;
use std::fmt;

use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::unicode::NFC;
use tokenizers::normalizers::utils::Lowercase;
use tokenizers::normalizers::{self, Replace};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior};

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
    positions: usize,
}

/// A prompt as the text encoder sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokenized {
    /// Begin, the prompt's tokens, end, padding: as many as the encoder has positions.
    pub ids: Vec<u32>,
    /// Tokens of the prompt that fit, without begin and end.
    pub used: usize,
    /// Tokens that fit at most (75 for CLIP).
    pub room: usize,
    /// The part of the prompt that did not fit, as it was written; empty when all did.
    pub cut: String,
}

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
        Ok(Self { pieces, begin, end, positions })
    }

    /// Words in the vocabulary: ids are below it.
    pub fn vocabulary_len(&self) -> usize {
        self.pieces.get_vocab(true).values().max().map_or(0, |&id| id as usize + 1)
    }

    /// The ids of a prompt, cut to the room there is and padded with the end token.
    pub fn tokenize(&self, prompt: &str) -> Tokenized {
        let room = self.positions - 2;
        let encoding = self.pieces.encode(prompt, false).expect("a byte-level tokenizer knows every text");
        let all = encoding.get_ids();
        let used = all.len().min(room);
        let cut = match encoding.get_offsets().get(room) {
            Some(&(start, _)) => prompt.get(start..).unwrap_or(prompt).trim().to_owned(),
            None => String::new(),
        };
        let mut ids = Vec::with_capacity(self.positions);
        ids.push(self.begin);
        ids.extend_from_slice(&all[..used]);
        ids.resize(self.positions, self.end);
        Tokenized { ids, used, room, cut }
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokenizer({} positions)", self.positions)
    }
}
