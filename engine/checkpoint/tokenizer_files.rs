//! The files of a tokenizer: its vocabulary, and the tokens that were added to it, as transformers reads them into a
//! `CLIPTokenizer`.
//!
//! Since version 5 it writes `tokenizer.json` and `tokenizer_config.json`. Older versions wrote `vocab.json` and
//! `merges.txt`, with the added tokens in up to four other files.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::ErrorKind;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::OpenError;
use super::component_files::ComponentFiles;
use crate::tokenizer::{AddedToken, BEGIN, END, Tokenizer};

const TOKENIZER: &str = "tokenizer/tokenizer.json";

/// Reads the tokenizer of a model whose text encoder has so many positions.
pub fn read(files: &ComponentFiles<'_>, positions: usize) -> Result<Tokenizer, OpenError> {
    let (tokenizer, name) = match optional(files, TOKENIZER)? {
        Some(json) => (Tokenizer::from_tokenizer_json(&json, positions), TOKENIZER),
        None => {
            let (vocab, merges) = (files.read("tokenizer/vocab.json")?, files.read("tokenizer/merges.txt")?);
            (Tokenizer::from_vocabulary(&vocab, &merges, positions), "tokenizer")
        }
    };
    let tokenizer = tokenizer.map_err(|what| OpenError::BadConfig(what, files.path(name)))?;
    let added = added_tokens(files, &tokenizer)?;
    Ok(tokenizer.with_added_tokens(added))
}

/// The token that short prompts are padded with.
pub fn padding(files: &ComponentFiles<'_>) -> Result<String, OpenError> {
    Ok(config(files)?.padding().to_owned())
}

/// What the configuration says about tokens.
#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenizerConfig {
    /// By id.
    added_tokens_decoder: Option<BTreeMap<u32, AddedToken>>,
    bos_token: Option<NamedToken>,
    eos_token: Option<NamedToken>,
    unk_token: Option<NamedToken>,
    sep_token: Option<NamedToken>,
    pad_token: Option<NamedToken>,
    cls_token: Option<NamedToken>,
    mask_token: Option<NamedToken>,
    extra_special_tokens: Option<ExtraTokens>,
    /// The name of the former before version 5.
    additional_special_tokens: Option<ExtraTokens>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NamedToken {
    Plain(String),
    Described(AddedToken),
}

impl NamedToken {
    fn content(&self) -> &str {
        match self {
            Self::Plain(content) | Self::Described(AddedToken { content, .. }) => content,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ExtraTokens {
    List(Vec<NamedToken>),
    Map(BTreeMap<String, NamedToken>),
}

impl TokenizerConfig {
    /// The default is that of transformers' `CLIPTokenizer`.
    fn padding(&self) -> &str {
        self.pad_token.as_ref().map_or(END, NamedToken::content)
    }

    /// The tokens with a meaning of their own, in the order in which transformers adds them.
    fn special_tokens(self) -> impl Iterator<Item = AddedToken> {
        let or = |token: Option<NamedToken>, default: &str| {
            Some(token.unwrap_or_else(|| NamedToken::Plain(default.to_owned())))
        };
        let named = [
            or(self.bos_token, BEGIN),
            or(self.eos_token, END),
            or(self.unk_token, END),
            self.sep_token,
            or(self.pad_token, END),
            self.cls_token,
            self.mask_token,
        ];
        let extra = [self.extra_special_tokens, self.additional_special_tokens];
        let extra = extra.into_iter().flatten().flat_map(|tokens| match tokens {
            ExtraTokens::List(tokens) => tokens,
            ExtraTokens::Map(tokens) => tokens.into_values().collect(),
        });
        named.into_iter().flatten().chain(extra).map(|token| match token {
            NamedToken::Plain(content) => AddedToken::special(content),
            NamedToken::Described(token) => AddedToken { special: true, ..token },
        })
    }
}

/// `tokenizer_config.json`, and unless it lists the added tokens, so that it is complete, `special_tokens_map.json`,
/// which takes precedence.
fn config(files: &ComponentFiles<'_>) -> Result<TokenizerConfig, OpenError> {
    const NAME: &str = "tokenizer/tokenizer_config.json";
    let mut fields: Map<String, Value> = json(files, NAME)?;
    if !fields.contains_key("added_tokens_decoder") {
        fields.extend(json::<Map<String, Value>>(files, "tokenizer/special_tokens_map.json")?);
    }
    let config = serde_json::from_value(fields.into());
    config.map_err(|error| OpenError::BadConfig(error.to_string(), files.path(NAME)))
}

/// The added tokens in the order of their ids, then the special ones that are not among them.
fn added_tokens(files: &ComponentFiles<'_>, vocabulary: &Tokenizer) -> Result<Vec<AddedToken>, OpenError> {
    let mut config = config(files)?;
    let by_id = match config.added_tokens_decoder.take() {
        Some(tokens) => tokens,
        None => older_added_tokens(files)?,
    };
    let mut tokens: Vec<AddedToken> = by_id.into_values().collect();
    let padding = config.padding().to_owned();
    let (listed, mut described) = (tokens.len(), HashSet::new());
    let contents = tokens.iter().enumerate().rev();
    let mut places: HashMap<String, usize> =
        contents.map(|(at, token)| (token.content.clone(), at)).collect();
    for special in config.special_tokens() {
        // Of several different descriptions of a token the last one counts.
        if !described.insert(special.clone()) {
            continue;
        }
        match *places.entry(special.content.clone()).or_insert(tokens.len()) {
            at if at < listed => tokens[at].special = true,
            at if at < tokens.len() => tokens[at] = special,
            _ => tokens.push(special),
        }
    }
    // SD 2.x pads with `!`, and transformers takes every `!` of a prompt for padding. OpenCLIP, which knows no such
    // token, trained with `!</w>` there.
    let is_word = |content: &str| content != END && vocabulary.id(content).is_some();
    tokens.retain(|token| token.content != padding || !is_word(&token.content));
    Ok(tokens)
}

/// By id: those of `added_tokens.json`, then those of `tokenizer.json`, which say more.
fn older_added_tokens(files: &ComponentFiles<'_>) -> Result<BTreeMap<u32, AddedToken>, OpenError> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct TokenizerJson {
        added_tokens: Vec<NumberedToken>,
    }
    #[derive(Deserialize)]
    struct NumberedToken {
        id: u32,
        #[serde(flatten)]
        token: AddedToken,
    }
    let plain: HashMap<String, u32> = json(files, "tokenizer/added_tokens.json")?;
    let plain = plain
        .into_iter()
        .map(|(content, id)| (id, AddedToken { special: false, ..AddedToken::special(content) }));
    let TokenizerJson { added_tokens } = json(files, TOKENIZER)?;
    Ok(plain.chain(added_tokens.into_iter().map(|NumberedToken { id, token }| (id, token))).collect())
}

/// The contents of a file, or the default if there is no such file.
fn json<T: DeserializeOwned + Default>(files: &ComponentFiles<'_>, name: &str) -> Result<T, OpenError> {
    match optional(files, name)? {
        None => Ok(T::default()),
        Some(bytes) => serde_json::from_slice(&bytes)
            .map_err(|error| OpenError::BadConfig(error.to_string(), files.path(name))),
    }
}

fn optional(files: &ComponentFiles<'_>, name: &str) -> Result<Option<Cow<'static, [u8]>>, OpenError> {
    match files.read(name) {
        Err(OpenError::Unreadable(error, _)) if error.kind() == ErrorKind::NotFound => Ok(None),
        // The model inside the program and CLIP's vocabulary are without this file.
        Err(OpenError::Missing(..)) => Ok(None),
        read => read.map(Some),
    }
}
