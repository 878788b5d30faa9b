//! The files of a model, in a folder or inside the program. A one-file checkpoint has weights only; its
//! tokenizer is that of OpenAI's CLIP.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::weight_file::WeightFile;
use super::{ModelSource, OpenError, built_in};

/// Longer than any configuration file.
pub const MAX_CONFIG_BYTES: usize = 1 << 20;
/// Longer than any file of a tokenizer.
const MAX_TOKENIZER_BYTES: usize = 32 << 20;

/// The file names of a network's weights, without variant and extension.
#[derive(Clone, Copy, Debug)]
pub struct FileStems {
    safetensors: &'static str,
    pickle: &'static str,
}

impl FileStems {
    /// Each with its extension, safetensors before pickles.
    pub fn with_extensions(self) -> [(&'static str, &'static str); 2] {
        [(self.safetensors, "safetensors"), (self.pickle, "bin")]
    }
}

pub(super) const DIFFUSERS: FileStems =
    FileStems { safetensors: "diffusion_pytorch_model", pickle: "diffusion_pytorch_model" };
pub(super) const TRANSFORMERS: FileStems = FileStems { safetensors: "model", pickle: "pytorch_model" };

/// The networks of a model in diffusers layout: their folders, and how their weights are named.
pub const NETWORK_FILES: [(&str, FileStems); 3] =
    [("unet", DIFFUSERS), ("vae", DIFFUSERS), ("text_encoder", TRANSFORMERS)];

/// The variants of weights, the most precise and complete first.
pub const WEIGHT_VARIANTS: [&str; 5] = ["", ".fp32", ".fp16", ".bf16", ".non_ema"];

pub(super) struct ComponentFiles<'a> {
    source: &'a ModelSource,
    is_flat: bool,
}

impl<'a> ComponentFiles<'a> {
    pub fn new(source: &'a ModelSource) -> Self {
        Self { source, is_flat: false }
    }

    /// Of a folder that has the files of all components beside each other, as transformers saves a CLIP.
    pub fn flat(source: &'a ModelSource) -> Self {
        Self { source, is_flat: true }
    }

    /// The path of a file, for messages.
    pub fn path(&self, name: &str) -> PathBuf {
        match self.source {
            ModelSource::File(file) => file.clone(),
            ModelSource::Folder(_) | ModelSource::BuiltIn => self.root().join(self.place(name)),
        }
    }

    /// Where a file is in the folder.
    fn place<'n>(&self, name: &'n str) -> &'n str {
        match name.rsplit_once('/') {
            Some((_, file)) if self.is_flat => file,
            _ => name,
        }
    }

    /// The path of the model, for messages.
    pub fn root(&self) -> PathBuf {
        match self.source {
            ModelSource::BuiltIn => PathBuf::from("built-in"),
            ModelSource::Folder(path) | ModelSource::File(path) => path.clone(),
        }
    }

    /// Reads a configuration or vocabulary file.
    pub fn read(&self, name: &str) -> Result<Cow<'static, [u8]>, OpenError> {
        let path = match self.source {
            ModelSource::Folder(folder) => folder.join(self.place(name)),
            ModelSource::BuiltIn | ModelSource::File(_) => return self.embedded(name).map(Cow::Borrowed),
        };
        let read = || {
            // Opening a pipe would wait for its writer.
            if !std::fs::metadata(&path)?.is_file() {
                return Err(std::io::Error::other("it is not a regular file"));
            }
            let limit = if name.starts_with("tokenizer/") { MAX_TOKENIZER_BYTES } else { MAX_CONFIG_BYTES };
            let mut bytes = Vec::new();
            File::open(&path)?.take(limit as u64).read_to_end(&mut bytes)?;
            Ok(Cow::Owned(bytes))
        };
        read().map_err(|error| OpenError::Unreadable(error, path.clone()))
    }

    /// Opens the weights of a component, under the first of the usual names that exists: with or without a
    /// variant, in one file or in several with an index, safetensors before pickles.
    pub fn weights(&self, component: &str, stems: FileStems) -> Result<WeightFile, OpenError> {
        let plain = format!("{}.safetensors", stems.safetensors);
        let ModelSource::Folder(folder) = self.source else {
            let name = format!("{component}/{plain}");
            return WeightFile::embedded(self.embedded(&name)?, self.path(&name));
        };
        let folder = folder.join(component);
        WeightFile::open(&find_weights(&folder, stems).unwrap_or_else(|| folder.join(plain)))
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

/// The weights of a component in a diffusers folder: a file, or the index of several.
pub fn component_weights(model: &Path, component: &str) -> Option<PathBuf> {
    let folder = model.join(component);
    [DIFFUSERS, TRANSFORMERS].into_iter().find_map(|stems| find_weights(&folder, stems))
}

fn find_weights(folder: &Path, stems: FileStems) -> Option<PathBuf> {
    let names = stems.with_extensions().into_iter().flat_map(|(stem, extension)| {
        WEIGHT_VARIANTS.into_iter().flat_map(move |variant| {
            [
                format!("{stem}{variant}.{extension}"),
                format!("{stem}.{extension}.index{variant}.json"),
                format!("{stem}{variant}.{extension}.index.json"),
            ]
        })
    });
    names.map(|name| folder.join(name)).find(|path| path.exists())
}
