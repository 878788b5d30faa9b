//! What a weight file or a model folder is, read from headers and configuration files alone.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use engine::checkpoint::{
    OpenError, PipelineClass, TensorDtype, WeightFile, WeightKind, component_weights, kind_of,
};
use serde::{Deserialize, Serialize};

/// Longer than any configuration file.
const MAX_CONFIG: u64 = 1 << 20;

/// A weight file, as its header describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileMetadata {
    pub kind: WeightKind,
    /// The type of most of its bytes.
    pub precision: Option<TensorDtype>,
    pub is_pickle: bool,
    /// If it is an index: the files beside it that contain the weights.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<String>,
}

impl FileMetadata {
    /// Reads the header.
    pub fn read(path: &Path) -> Result<Self, OpenError> {
        let file = WeightFile::open(path)?;
        let bytes_of = |precision| -> u64 {
            let names = file.names().filter(|name| file.dtype(name) == precision);
            names.map(|name| file.byte_len(name)).sum()
        };
        let known = [None].into_iter().chain(TensorDtype::ALL.map(Some));
        let shards = file.files().into_iter().filter(|shard| *shard != path);
        Ok(Self {
            kind: kind_of(&file),
            precision: known.max_by_key(|&precision| bytes_of(precision)).flatten(),
            is_pickle: file.is_pickle(),
            shards: shards.filter_map(|shard| Some(shard.file_name()?.to_str()?.to_owned())).collect(),
        })
    }

    /// The files that contain the weights, where `path` is the file that this describes.
    pub fn weight_files(&self, path: &Path) -> Vec<PathBuf> {
        match self.shards.as_slice() {
            [] => vec![path.to_owned()],
            shards => shards.iter().map(|shard| path.with_file_name(shard)).collect(),
        }
    }
}

/// A model folder in diffusers layout.
#[derive(Clone, Debug, PartialEq)]
pub struct FolderMetadata {
    pub kind: WeightKind,
    /// The UNet's weights: a file, or the index of several.
    pub unet: Option<PathBuf>,
    /// Size of all its files.
    pub bytes: u64,
    /// Why it cannot be opened, as the end of a sentence that starts with "This" or "it".
    pub unreadable_reason: Option<String>,
    /// A network has no weights.
    pub is_incomplete: bool,
}

impl FolderMetadata {
    pub fn read(folder: &Path) -> Self {
        let class = PipelineClass::read(
            &config(&folder.join("model_index.json")),
            Some(&config(&folder.join("unet/config.json"))),
        );
        let missing = ["unet", "vae", "text_encoder"]
            .into_iter()
            .find(|part| component_weights(folder, part).is_none());
        let kind = class.as_ref().map_or(WeightKind::Unknown, |class| class.kind);
        let unreadable_reason = match (class, missing) {
            (Err(error), _) => Some(format!("has an invalid model_index.json ({error})")),
            (Ok(PipelineClass { refusal: Some(what), .. }), _) => Some(format!("is {what}")),
            (Ok(_), Some(part)) => Some(format!("is incomplete: {part} has no weights")),
            (Ok(_), None) => None,
        };
        Self {
            kind,
            unet: component_weights(folder, "unet"),
            bytes: bytes_below(folder),
            unreadable_reason,
            is_incomplete: missing.is_some(),
        }
    }
}

/// A configuration file; empty if it cannot be read.
fn config(path: &Path) -> Vec<u8> {
    let mut json = Vec::new();
    if path.is_file()
        && let Ok(file) = fs::File::open(path)
    {
        // What was read of a file that cannot be read to its end is not valid JSON.
        let _ = file.take(MAX_CONFIG).read_to_end(&mut json);
    }
    json
}

/// The limits are generous: a model has a few dozen files, at most two folders deep.
fn bytes_below(folder: &Path) -> u64 {
    let entries = walkdir::WalkDir::new(folder).follow_links(true).max_depth(3).into_iter().take(10_000);
    let files = entries.flatten().filter(|entry| entry.file_type().is_file());
    files.filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum()
}
