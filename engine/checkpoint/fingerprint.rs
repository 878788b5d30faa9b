//! Whether the files of a model are still those that were read.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::ModelSource;

/// What a model in diffusers layout depends on beside its weights. A folder's time tells of a file
/// that appears in it, which might be preferred to the one that was read.
const OF_A_FOLDER: [&str; 13] = [
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
    "scheduler/scheduler_config.json",
];

/// A file's length and time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFingerprint {
    path: PathBuf,
    len: u64,
    /// Absent on systems that do not tell.
    modified: Option<SystemTime>,
}

impl FileFingerprint {
    pub fn of(path: &Path) -> io::Result<Self> {
        let about = std::fs::metadata(path)?;
        Ok(Self { path: path.to_owned(), len: about.len(), modified: about.modified().ok() })
    }

    /// True if the file is as it was.
    pub fn still_matches(&self) -> bool {
        self.modified.is_some() && Self::of(&self.path).is_ok_and(|now| now == *self)
    }
}

/// Of everything that a model depends on.
pub fn fingerprints_of(source: &ModelSource, weight_files: &[PathBuf]) -> Vec<FileFingerprint> {
    let others = match source {
        ModelSource::Folder(folder) => OF_A_FOLDER.map(|name| folder.join(name)).to_vec(),
        ModelSource::BuiltIn | ModelSource::File(_) => Vec::new(),
    };
    weight_files.iter().chain(&others).filter_map(|path| FileFingerprint::of(path).ok()).collect()
}
