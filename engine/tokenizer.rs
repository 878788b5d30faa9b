//! CLIP's byte-pair tokenizer: a text into the ids of the text encoder.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::unicode::NFC;
use tokenizers::normalizers::utils::Lowercase;
use tokenizers::normalizers::{self, Replace};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedVocabulary, SplitDelimiterBehavior};

pub(crate) const BEGIN: &str = "<|startoftext|>";
pub(crate) const END: &str = "<|endoftext|>";

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

/// A token that was added to the vocabulary, such as `<cat-toy>`. It is found anywhere in a text, within words too,
/// before the text is split into words.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
pub struct AddedToken {
    pub content: String,
    /// Whether it is found as a whole word only.
    #[serde(default)]
    pub single_word: bool,
    /// Whether the white space before it belongs to it.
    #[serde(default)]
    pub lstrip: bool,
    /// Whether the white space after it belongs to it.
    #[serde(default)]
    pub rstrip: bool,
    /// Whether it is found in any case; by default unless it is special.
    pub normalized: Option<bool>,
    #[serde(default)]
    pub special: bool,
}

impl AddedToken {
    /// A token with a meaning of its own, such as the one that ends a text.
    pub fn special(content: impl Into<String>) -> Self {
        let content = content.into();
        let [single_word, lstrip, rstrip] = [false; 3];
        Self { content, single_word, lstrip, rstrip, normalized: None, special: true }
    }
}

impl From<AddedToken> for tokenizers::AddedToken {
    fn from(token: AddedToken) -> Self {
        let normalized = token.normalized.unwrap_or(!token.special);
        Self::from(token.content, token.special)
            .single_word(token.single_word)
            .lstrip(token.lstrip)
            .rstrip(token.rstrip)
            .normalized(normalized)
    }
}

impl Tokenizer {
    /// From the contents of `vocab.json` and `merges.txt`, for a text encoder with so many positions.
    ///
    /// # Errors
    /// What is wrong with the files, as part of a sentence.
    pub fn from_vocabulary(vocab: &[u8], merges: &[u8], positions: usize) -> Result<Self, String> {
        let vocab = serde_json::from_slice(vocab).map_err(|error| format!("vocab.json: {error}"))?;
        let merges = std::str::from_utf8(merges).map_err(|error| format!("merges.txt: {error}"))?;
        let merges = merges.lines().filter(|line| !line.starts_with("#version") && !line.trim().is_empty());
        let merges = merges.map(pair).collect::<Result<_, _>>()?;
        Self::new(vocab, merges, positions)
    }

    /// From the contents of `tokenizer.json`, which has the vocabulary and the merges in one file. As in transformers,
    /// the rest of the file has no effect, except for its added tokens ([`Self::with_added_tokens`]).
    ///
    /// # Errors
    /// What is wrong with the file, as part of a sentence.
    pub fn from_tokenizer_json(json: &[u8], positions: usize) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct File {
            model: Model,
        }
        #[derive(Deserialize)]
        struct Model {
            vocab: HashMap<String, u32>,
            merges: Vec<Merge>,
        }
        /// Older files have a line of `merges.txt` in place of the pair.
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Merge {
            Pair(String, String),
            Line(String),
        }
        let File { model } =
            serde_json::from_slice(json).map_err(|error| format!("tokenizer.json: {error}"))?;
        let merges = model.merges.into_iter().map(|merge| match merge {
            Merge::Pair(left, right) => Ok((left, right)),
            Merge::Line(line) => pair(&line),
        });
        Self::new(model.vocab, merges.collect::<Result<_, _>>()?, positions)
    }

    fn new(
        vocab: HashMap<String, u32>,
        merges: Vec<(String, String)>,
        positions: usize,
    ) -> Result<Self, String> {
        let id =
            |token: &str| vocab.get(token).copied().ok_or_else(|| format!("the vocabulary has no {token}"));
        let (begin, end) = (id(BEGIN)?, id(END)?);
        if positions < 3 {
            return Err(format!("a text encoder of {positions} positions"));
        }
        let bpe = BPE::builder()
            .vocab_and_merges(vocab.into_iter().collect::<ahash::AHashMap<_, _>>(), merges)
            .unk_token(END.into())
            .end_of_word_suffix("</w>".into())
            .build()
            .map_err(|error| format!("the merges: {error}"))?;
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
        Ok(Self { pieces, begin, end, padding: end, positions }.with_added_tokens([]))
    }

    /// This tokenizer with these added tokens in place of its own, apart from begin and end. Those that are not in the
    /// vocabulary have the ids after it, in this order.
    pub fn with_added_tokens(mut self, tokens: impl IntoIterator<Item = AddedToken>) -> Self {
        let mut tokens: Vec<tokenizers::AddedToken> = tokens.into_iter().map(Into::into).collect();
        for name in [BEGIN, END] {
            if !tokens.iter().any(|token| token.content == name) {
                tokens.push(AddedToken::special(name).into());
            }
        }
        self.pieces.with_added_vocabulary(AddedVocabulary::new()).add_tokens(&tokens);
        self
    }

    /// This tokenizer with another padding token. The default is the end token.
    ///
    /// # Errors
    /// If the token is not in the vocabulary, as part of a sentence.
    pub fn padded_with(self, token: &str) -> Result<Self, String> {
        let padding = self.id(token).ok_or_else(|| format!("the vocabulary has no {token}, the padding"))?;
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
    pub(crate) fn pieces(&self, text: &str) -> Vec<(u32, Range<usize>)> {
        let encoding = self.pieces.encode(text, false).expect("a byte-level tokenizer encodes every text");
        let pieces = encoding.get_ids().iter().zip(encoding.get_offsets());
        // An added token may come with the white space around it.
        pieces.map(|(&id, &(start, end))| (id, without_space(text, start..end))).collect()
    }

    /// Whether a word is a single token that was added to the vocabulary.
    pub(crate) fn is_added_token(&self, word: &str) -> bool {
        let added = self.pieces.get_added_vocabulary();
        matches!(self.pieces(word)[..], [(id, _)] if added.simple_id_to_token(id).is_some())
    }

    /// The id of a token as the vocabulary spells it.
    pub(crate) fn id(&self, token: &str) -> Option<u32> {
        self.pieces.token_to_id(token)
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
        self.id(",</w>")
    }
}

/// A line of `merges.txt`.
fn pair(line: &str) -> Result<(String, String), String> {
    let (left, right) = line.split_once(' ').ok_or_else(|| format!("the merges have the line {line:?}"))?;
    Ok((left.to_owned(), right.to_owned()))
}

/// The range of a text without the white space at its ends, unless it is all white space.
fn without_space(text: &str, range: Range<usize>) -> Range<usize> {
    let piece = text.get(range.clone()).unwrap_or_default();
    match piece.trim_start() {
        "" => range,
        trimmed => range.end - trimmed.len()..range.start + piece.trim_end().len(),
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokenizer({} positions)", self.positions)
    }
}
