//! CLIP's byte-pair tokenizer: a text into the ids of the text encoder.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

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

/// OpenAI CLIP's split of text into words, before the byte-pair encoding.
const WORDS: &str = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// Turns texts into ids.
#[derive(Clone)]
pub struct Tokenizer {
    pieces: tokenizers::Tokenizer,
    begin: u32,
    end: u32,
    padding: u32,
    positions: usize,
}

impl Tokenizer {
    /// From the contents of `vocab.json` and `merges.txt`, for a text encoder with so many positions.
    ///
    /// # Errors
    /// What is wrong with the files, as part of a sentence.
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

    /// This tokenizer with another padding token. The default is the end token.
    ///
    /// # Errors
    /// If the token is not in the vocabulary, as part of a sentence.
    pub fn padded_with(self, token: &str) -> Result<Self, String> {
        let padding = self.pieces.token_to_id(token);
        let padding = padding.ok_or_else(|| format!("vocab.json has no {token}, the padding"))?;
        Ok(Self { padding, ..self })
    }

    /// The number of tokens in the vocabulary; ids are below it.
    pub fn vocabulary_len(&self) -> usize {
        self.pieces.get_vocab(true).values().max().map_or(0, |&id| id as usize + 1)
    }

    /// The number of ids of a chunk (77 for CLIP).
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// The most tokens of a chunk, without begin and end (75 for CLIP).
    pub fn capacity(&self) -> usize {
        self.positions - 2
    }

    /// The tokens of a text with the bytes that each represents.
    pub(crate) fn pieces(&self, text: &str) -> impl Iterator<Item = (u32, Range<usize>)> + use<> {
        let encoding = self.pieces.encode(text, false).expect("a byte-level tokenizer encodes every text");
        let ids = encoding.get_ids().to_vec();
        ids.into_iter().zip(encoding.get_offsets().to_vec()).map(|(id, (start, end))| (id, start..end))
    }

    /// A token as the vocabulary spells it: `puppy</w>`.
    pub fn piece(&self, id: u32) -> Option<String> {
        self.pieces.id_to_token(id)
    }

    /// The ids of a whole chunk: begin, the tokens, end, padding.
    pub(crate) fn chunk_ids(&self, tokens: impl Iterator<Item = u32>) -> Vec<u32> {
        let mut ids: Vec<u32> = [self.begin].into_iter().chain(tokens).chain([self.end]).collect();
        ids.resize(self.positions, self.padding);
        ids
    }

    /// The id of the comma, after which A1111 prefers to end a chunk.
    pub(crate) fn comma(&self) -> Option<u32> {
        self.pieces.token_to_id(",</w>")
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokenizer({} positions)", self.positions)
    }
}
