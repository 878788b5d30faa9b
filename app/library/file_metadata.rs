//! What a weight file or a model folder is, read from headers and configuration files alone.

use std::path::{Path, PathBuf};

use engine::checkpoint::{
    MissingNetwork, ModelSource, OpenError, PipelineClass, TensorDtype, WeightFile, WeightKind,
    component_weights, kind_of,
};
use serde::{Deserialize, Serialize};

use super::entry::{lack_of, refusal};

/// A weight file, as its header describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileMetadata {
    pub kind: WeightKind,
    /// A network that it lacks, if it is a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<MissingNetwork>,
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
            missing: MissingNetwork::in_file(&file),
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
    /// `None` if its `model_index.json` cannot be read.
    pub class: Option<PipelineClass>,
    /// The UNet's weights: a file, or the index of several.
    pub unet: Option<PathBuf>,
    /// Size of all its files.
    pub bytes: u64,
    /// Why it cannot be opened, as a sentence.
    pub refusal: Option<String>,
    /// What it needs to be opened, as a sentence.
    pub remark: Option<String>,
    pub missing: Option<MissingNetwork>,
}

impl FolderMetadata {
    pub fn read(folder: &Path) -> Self {
        let missing = MissingNetwork::in_folder(folder);
        let class = PipelineClass::of_folder(folder);
        let (refusal, remark) = match &class {
            Err(error) => (Some(error.to_string()), None),
            Ok(PipelineClass { refusal: Some(what), .. }) => (Some(refusal(&format!("is {what}"))), None),
            Ok(_) => lack_of(missing, &ModelSource::Folder(folder.to_owned())),
        };
        Self {
            class: class.ok(),
            unet: component_weights(folder, "unet"),
            bytes: bytes_below(folder),
            refusal,
            remark,
            missing,
        }
    }

    pub fn kind(&self) -> WeightKind {
        self.class.as_ref().map_or(WeightKind::Unknown, |class| class.kind)
    }
}

/// The limits are generous: a model has a few dozen files, at most two folders deep.
fn bytes_below(folder: &Path) -> u64 {
    let entries = walkdir::WalkDir::new(folder).follow_links(true).max_depth(3).into_iter().take(10_000);
    let files = entries.flatten().filter(|entry| entry.file_type().is_file());
    files.filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum()
}
