//! Tells whether the files of a model have changed since they were read.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::ModelSource;

/// What a model in diffusers layout depends on besides its weights. The time of a folder changes when a
/// file is added, which may take precedence over the one that was read.
const FOLDER_FILES: [&str; 17] = [
    "",
    "unet",
    "vae",
    "text_encoder",
    "tokenizer",
    "scheduler",
    "model_index.json",
    "unet/config.json",
    "vae/config.json",
    "text_encoder/config.json",
    "tokenizer/vocab.json",
    "tokenizer/merges.txt",
    "tokenizer/tokenizer.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer/added_tokens.json",
    "tokenizer/special_tokens_map.json",
    "scheduler/scheduler_config.json",
];

/// A file's length and modification time, or that it was not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFingerprint {
    path: PathBuf,
    /// `None` if there was no such file, which may be added. The time is `None` on systems that do not record it.
    version: Option<(u64, Option<SystemTime>)>,
}

impl FileFingerprint {
    pub fn read(path: PathBuf) -> Self {
        let metadata = std::fs::metadata(&path).ok();
        Self { path, version: metadata.map(|file| (file.len(), file.modified().ok())) }
    }

    /// True if the file has not changed.
    pub fn still_matches(&self) -> bool {
        let is_recorded = !matches!(self.version, Some((_, None)));
        is_recorded && Self::read(self.path.clone()) == *self
    }
}

/// The fingerprints of everything that a model depends on, with the VAE that replaces its own.
pub fn fingerprints_of(
    source: &ModelSource,
    vae: Option<&Path>,
    weight_files: &[PathBuf],
) -> Vec<FileFingerprint> {
    let mut paths = match source {
        ModelSource::Folder(folder) => FOLDER_FILES.map(|name| folder.join(name)).to_vec(),
        ModelSource::File(path) => vec![path.with_extension("yaml")],
        ModelSource::BuiltIn => Vec::new(),
    };
    paths.extend(vae.into_iter().flat_map(|vae| [vae.to_owned(), vae.join("config.json")]));
    paths.extend_from_slice(weight_files);
    paths.into_iter().map(FileFingerprint::read).collect()
}
