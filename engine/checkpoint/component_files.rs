//! The files of a model, in a folder or inside the program. A one-file checkpoint brings its weights
//! alone; the words of its tokenizer are those of OpenAI's CLIP.

use std::borrow::Cow;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::weight_file::WeightFile;
use super::{ModelSource, OpenError, built_in};

/// Larger than any configuration or vocabulary; a file beyond it is something else.
const MAX_TEXT: u64 = 32 << 20;

/// What the weights of a part are called, before variant and extension.
#[derive(Clone, Copy)]
pub(super) struct FileStems {
    safetensors: &'static str,
    pickle: &'static str,
}

pub(super) const DIFFUSERS: FileStems =
    FileStems { safetensors: "diffusion_pytorch_model", pickle: "diffusion_pytorch_model" };
pub(super) const TRANSFORMERS: FileStems = FileStems { safetensors: "model", pickle: "pytorch_model" };

/// Of these, what is nearest to the whole comes first.
const VARIANTS: [&str; 5] = ["", ".fp32", ".fp16", ".bf16", ".non_ema"];

pub(super) struct ComponentFiles<'a> {
    source: &'a ModelSource,
}

impl<'a> ComponentFiles<'a> {
    pub fn new(source: &'a ModelSource) -> Self {
        Self { source }
    }

    /// Where a file is, to be shown.
    pub fn path(&self, name: &str) -> PathBuf {
        match self.source {
            ModelSource::BuiltIn => PathBuf::from("built-in").join(name),
            ModelSource::Folder(folder) => folder.join(name),
            ModelSource::File(file) => file.clone(),
        }
    }

    /// A configuration or vocabulary file, whole.
    pub fn read(&self, name: &str) -> Result<Cow<'static, [u8]>, OpenError> {
        let path = match self.source {
            ModelSource::Folder(folder) => folder.join(name),
            ModelSource::BuiltIn | ModelSource::File(_) => return self.embedded(name).map(Cow::Borrowed),
        };
        let read = || {
            let file = File::open(&path)?;
            if !file.metadata()?.is_file() {
                return Err(std::io::Error::other("it is no regular file"));
            }
            let mut bytes = Vec::new();
            file.take(MAX_TEXT).read_to_end(&mut bytes)?;
            Ok(Cow::Owned(bytes))
        };
        read().map_err(|error| OpenError::Unreadable(error, path.clone()))
    }

    /// The weights of a part, under the first of the names that they have been seen under: with or
    /// without a variant, in one file or in several with an index, safetensors before pickles.
    pub fn weights(&self, part: &str, stems: FileStems) -> Result<WeightFile, OpenError> {
        let plain = format!("{}.safetensors", stems.safetensors);
        let ModelSource::Folder(folder) = self.source else {
            let name = format!("{part}/{plain}");
            return WeightFile::embedded(self.embedded(&name)?, self.path(&name));
        };
        let folder = folder.join(part);
        WeightFile::open(&first_of(&folder, stems).unwrap_or_else(|| folder.join(plain)))
    }

    /// The token that fills short prompts up. transformers reads `special_tokens_map.json` after
    /// `tokenizer_config.json`, and in SD 2.x they differ.
    pub fn padding(&self) -> Result<Option<String>, OpenError> {
        #[derive(Deserialize)]
        struct Tokens {
            pad_token: Option<Token>,
        }
        /// Written as it is, or with how it is to be found in texts.
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Token {
            Plain(String),
            Described { content: String },
        }
        for name in ["tokenizer/special_tokens_map.json", "tokenizer/tokenizer_config.json"] {
            let bytes = match self.read(name) {
                Err(OpenError::Unreadable(error, _)) if error.kind() == ErrorKind::NotFound => continue,
                bytes => bytes?,
            };
            let tokens: Tokens = serde_json::from_slice(&bytes)
                .map_err(|error| OpenError::BadConfig(error.to_string(), self.path(name)))?;
            if let Some(Token::Plain(token) | Token::Described { content: token }) = tokens.pad_token {
                return Ok(Some(token));
            }
        }
        Ok(None)
    }

    fn embedded(&self, name: &str) -> Result<&'static [u8], OpenError> {
        let files = match self.source {
            ModelSource::File(_) => built_in::CLIP,
            ModelSource::BuiltIn | ModelSource::Folder(_) => built_in::FILES,
        };
        let file = files.iter().find(|(file, _)| *file == name);
        file.map(|(_, bytes)| *bytes).ok_or_else(|| OpenError::Missing(name.into(), self.path(name)))
    }
}

/// Where a diffusers folder keeps the weights of a part: a file, or the index of several.
pub fn weights_of_part(model: &Path, part: &str) -> Option<PathBuf> {
    let folder = model.join(part);
    [DIFFUSERS, TRANSFORMERS].into_iter().find_map(|stems| first_of(&folder, stems))
}

fn first_of(folder: &Path, stems: FileStems) -> Option<PathBuf> {
    let names = [(stems.safetensors, "safetensors"), (stems.pickle, "bin")].into_iter().flat_map(
        |(stem, extension)| {
            VARIANTS.into_iter().flat_map(move |variant| {
                [
                    format!("{stem}{variant}.{extension}"),
                    format!("{stem}.{extension}.index{variant}.json"),
                    format!("{stem}{variant}.{extension}.index.json"),
                ]
            })
        },
    );
    names.map(|name| folder.join(name)).find(|path| path.exists())
}
