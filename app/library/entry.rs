//! A model in the library.

use std::path::{Path, PathBuf};

use engine::checkpoint::{MissingNetwork, ModelSource, TensorDtype, WeightKind};
use serde::Serialize;

/// Hex digits of a short hash, as in A1111.
const SHORT_HASH: usize = 10;

/// A model or a VAE on the disk.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its path relative to the scanned folder, without extension; `owner/name` in the Hugging Face cache.
    pub name: String,
    pub source: ModelSource,
    pub kind: WeightKind,
    pub format: Format,
    /// Size of all its files.
    pub bytes: u64,
    /// The type of most of its weights, if Tidepool reads that type.
    pub precision: Option<TensorDtype>,
    /// Hash of its weights; for a folder, of its UNet's weights.
    pub sha256: Option<String>,
    /// The scanned folder.
    pub root: PathBuf,
    /// Why Tidepool cannot open it, as a sentence.
    pub refusal: Option<String>,
    /// What it needs to be opened, as a sentence: a VAE, if it has none.
    pub remark: Option<String>,
    /// The files that [`Self::sha256`] covers.
    pub hashed_files: Vec<PathBuf>,
}

/// How a model is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    Diffusers,
    Safetensors,
    Pickle,
}

impl Format {
    pub fn label(self) -> &'static str {
        match self {
            Self::Diffusers => "diffusers folder",
            Self::Safetensors => "safetensors",
            Self::Pickle => "pickle",
        }
    }
}

impl Entry {
    pub fn path(&self) -> &Path {
        match &self.source {
            ModelSource::Folder(path) | ModelSource::File(path) => path,
            ModelSource::BuiltIn => Path::new(""),
        }
    }

    /// True for a whole model that Tidepool can open.
    pub fn opens(&self) -> bool {
        self.refusal.is_none() && self.kind != WeightKind::Vae
    }

    /// True for a VAE that can replace a model's own.
    pub fn is_vae(&self) -> bool {
        self.refusal.is_none() && self.kind == WeightKind::Vae
    }

    /// The first ten hex digits, as other programs name models.
    pub fn short_hash(&self) -> Option<&str> {
        self.sha256.as_deref().map(|sha256| &sha256[..SHORT_HASH.min(sha256.len())])
    }

    pub fn precision_label(&self) -> &'static str {
        self.precision.map_or("", TensorDtype::label)
    }
}

/// Why Tidepool cannot open weights of this kind; `None` if it can.
pub fn refusal_of(kind: WeightKind) -> Option<String> {
    let is_supported =
        matches!(kind, WeightKind::StableDiffusion1 | WeightKind::StableDiffusion2 | WeightKind::Vae);
    (!is_supported).then(|| refusal(&format!("is {kind}")))
}

/// The sentence about a model that lacks a network: a refusal, or a remark.
pub fn lack_of(missing: Option<MissingNetwork>, source: &ModelSource) -> (Option<String>, Option<String>) {
    let sentence = missing.map(|network| network.error(source).to_string());
    match missing {
        Some(MissingNetwork::Vae) => (None, sentence),
        _ => (sentence, None),
    }
}

/// Why Tidepool cannot open a model: `reason` is the end of a sentence that starts with "This".
pub fn refusal(reason: &str) -> String {
    format!("This {reason}; Tidepool opens SD 1.x and 2.x")
}
