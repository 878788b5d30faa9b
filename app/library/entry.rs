//! A model in the library, as lists show it.

use std::path::{Path, PathBuf};

use engine::checkpoint::{ModelSource, TensorDtype, WeightKind};
use serde::Serialize;

/// Hex digits by which people know a model; A1111 shows as many.
const SHORT_HASH: usize = 10;

/// A model or VAE on the disk.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Where it lies below its folder, without an ending; `owner/name` in the Hugging Face cache.
    pub name: String,
    pub source: ModelSource,
    pub kind: WeightKind,
    pub format: Format,
    /// All its files, on the disk.
    pub bytes: u64,
    /// What most of its numbers are, if that is of a kind that Tidepool reads.
    pub precision: Option<TensorDtype>,
    /// Of its weights; of a folder, of its UNet's.
    pub sha256: Option<String>,
    /// The folder that was looked through.
    pub from: PathBuf,
    /// Why Tidepool does not open it, as a sentence.
    pub refusal: Option<String>,
    /// The files that [`Self::sha256`] is of.
    pub hashed: Vec<PathBuf>,
}

/// How a model lies on the disk.
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

    /// True for a whole model that Tidepool opens.
    pub fn opens(&self) -> bool {
        self.refusal.is_none() && self.kind != WeightKind::Vae
    }

    /// True for a VAE that can be put over a model's own.
    pub fn is_vae(&self) -> bool {
        self.refusal.is_none() && self.kind == WeightKind::Vae
    }

    /// The first ten hex digits, as other programs name models.
    pub fn short_hash(&self) -> Option<&str> {
        self.sha256.as_deref().map(|sha256| &sha256[..SHORT_HASH.min(sha256.len())])
    }

    pub fn precision_label(&self) -> &'static str {
        match self.precision {
            Some(TensorDtype::F16) => "f16",
            Some(TensorDtype::BF16) => "bf16",
            Some(TensorDtype::F32) => "f32",
            None => "",
        }
    }
}

/// Why a thing of this kind is of no use here, if so.
pub fn refusal_of(kind: WeightKind) -> Option<String> {
    let is_read =
        matches!(kind, WeightKind::StableDiffusion1 | WeightKind::StableDiffusion2 | WeightKind::Vae);
    (!is_read).then(|| format!("This is {kind}; Tidepool reads SD 1.x and 2.x"))
}
