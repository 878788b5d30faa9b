//! Tells whether the files of a model have changed since they were read.

use std::io;
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

/// A file's length and modification time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFingerprint {
    path: PathBuf,
    len: u64,
    /// `None` on systems that do not record it.
    modified: Option<SystemTime>,
}

impl FileFingerprint {
    pub fn read(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        Ok(Self { path: path.to_owned(), len: metadata.len(), modified: metadata.modified().ok() })
    }

    /// True if the file has not changed.
    pub fn still_matches(&self) -> bool {
        self.modified.is_some() && Self::read(&self.path).is_ok_and(|now| now == *self)
    }
}

/// The fingerprints of everything that a model depends on.
pub fn fingerprints_of(source: &ModelSource, weight_files: &[PathBuf]) -> Vec<FileFingerprint> {
    let others = match source {
        ModelSource::Folder(folder) => FOLDER_FILES.map(|name| folder.join(name)).to_vec(),
        ModelSource::File(path) => vec![path.with_extension("yaml")],
        ModelSource::BuiltIn => Vec::new(),
    };
    weight_files.iter().chain(&others).filter_map(|path| FileFingerprint::read(path).ok()).collect()
}
