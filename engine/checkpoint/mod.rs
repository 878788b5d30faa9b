//! Opens models: configuration and weight files become networks.
//!
//! [`open()`] reads a model's configuration, builds its networks and loads their weights. A [`WeightFile`] is
//! a safetensors file, several of them with an index, or a PyTorch file, whose pickle is read as data. Files
//! name the same weights differently; the differences are rows of a table in `key_map`, never branches of
//! the loader. Every weight is accounted for: a missing or misshapen one is an error that names it, one that
//! is not needed is a note.

pub(crate) mod built_in;
pub(crate) mod component_files;
pub(crate) mod detect;
pub(crate) mod dtype;
pub(crate) mod fingerprint;
pub mod formats;
pub(crate) mod key_map;
pub(crate) mod ldm_layout;
pub(crate) mod transpose;
pub(crate) mod weight_file;

mod clip_model;
mod config;
mod convert;
mod digest;
mod fixed_settings;
mod hub_snapshot;
mod load;
mod missing_network;
mod open;
mod pipeline_class;
mod random_model;
mod read;
mod tokenizer_files;
mod vae_file;

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use clip_model::{ClipModel, open_clip, open_own_clip};
pub use component_files::{FileStems, MAX_CONFIG_BYTES, NETWORK_FILES, WEIGHT_VARIANTS, component_weights};
pub use config::{ModelConfig, SchedulerConfig};
pub use convert::{ConvertError, convert};
pub use detect::{WeightKind, kind_of};
pub use dtype::TensorDtype;
pub use fingerprint::FileFingerprint;
pub use hub_snapshot::{HubSnapshot, repository_name};
pub use missing_network::MissingNetwork;
pub use open::{OpenedModel, open};
pub use pipeline_class::PipelineClass;
pub use random_model::open_random_sd15;
pub use weight_file::WeightFile;

/// Where a model comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelSource {
    /// The model inside the program.
    #[default]
    BuiltIn,
    /// A folder in diffusers layout.
    Folder(PathBuf),
    /// A checkpoint in one file.
    File(PathBuf),
}

impl ModelSource {
    /// The model at a path: a file if the path is one, else a folder, which may be missing. Of a repository
    /// in the Hugging Face cache it is the current snapshot.
    pub fn at(path: PathBuf) -> Self {
        if std::fs::metadata(&path).is_ok_and(|metadata| !metadata.is_dir()) {
            return Self::File(path);
        }
        HubSnapshot::at(&path).map_or(Self::Folder(path), HubSnapshot::model)
    }

    /// True for a file, and for a folder in diffusers layout.
    pub fn is_model(&self) -> bool {
        match self {
            Self::BuiltIn | Self::File(_) => true,
            Self::Folder(path) => path.join("model_index.json").is_file(),
        }
    }

    /// A short name: the folder's or file's, the repository's for its snapshot, or that of the built-in model.
    pub fn name(&self) -> String {
        let (Self::Folder(path) | Self::File(path)) = self else { return "Built-in".into() };
        match (hub_snapshot::repository_of(path), path.file_name()) {
            (Some(repository), _) if matches!(self, Self::Folder(_)) => repository,
            (_, Some(name)) => name.to_string_lossy().into_owned(),
            (_, None) => path.display().to_string(),
        }
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("the built-in model"),
            Self::Folder(path) | Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Why a model cannot be opened: what, why, what to do, path last.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "This is not a model: {0}. Choose a folder in diffusers layout, which holds model_index.json, unet, vae, text_encoder, tokenizer and scheduler, or a checkpoint in one .safetensors, .ckpt or .pt file: {1}"
    )]
    NotAModel(String, PathBuf),
    #[error("The file cannot be read ({0}). Check that it is there and that you may read it: {1}")]
    Unreadable(std::io::Error, PathBuf),
    #[error(
        "The configuration is invalid ({0}). Download the file again from where the model came from: {1}"
    )]
    BadConfig(String, PathBuf),
    #[error("This model has {0}, which Tidepool does not run. It runs Stable Diffusion 1.x and 2.x: {1}")]
    Unsupported(String, PathBuf),
    #[error(
        "This is {0}. Tidepool opens complete Stable Diffusion 1.x and 2.x models: choose one of those: {1}"
    )]
    WrongKind(WeightKind, PathBuf),
    #[error(
        "This is {0}. Tidepool opens complete Stable Diffusion 1.x and 2.x models: choose one of those: {1}"
    )]
    OtherPipeline(String, PathBuf),
    #[error(
        "This is not a VAE for the model: {0}. Choose a VAE of the same model family, as a .safetensors, .ckpt or .pt file or a diffusers folder: {1}"
    )]
    NotAVae(String, PathBuf),
    #[error("The weight file is damaged ({0}). Download it again from where the model came from: {1}")]
    BadWeights(String, PathBuf),
    #[error(
        "The weight {0} is missing. The file belongs to another model or is incomplete. Download it again: {1}"
    )]
    Missing(String, PathBuf),
    #[error(
        "The weight {name} has the shape {found:?}, but the configuration requires {expected:?}. They belong to different models. Download both again: {path}"
    )]
    Misshapen { name: String, expected: Vec<usize>, found: Vec<usize>, path: PathBuf },
    #[error(
        "The weight {name} is of type {dtype}, which is not supported. Choose a file with weights of type F64, F32, F16, BF16, F8_E4M3 or F8_E5M2: {path}"
    )]
    UnsupportedType { name: String, dtype: String, path: PathBuf },
    #[error(
        "The weights can only be had by running {0}, and Tidepool runs nothing from a weight file. Save them as safetensors with the program that they are from: {1}"
    )]
    NeedsCode(String, PathBuf),
    #[error("The model has no UNet ({0}), so it cannot make pictures. Choose a complete model: {1}")]
    NoUnet(String, PathBuf),
    #[error(
        "The model has no VAE ({0}). Choose one: --vae on the command line or a VAE in the Models tab: {1}"
    )]
    NoVae(String, PathBuf),
    #[error("The model has no text encoder ({0}), so it cannot read prompts. Choose a complete model: {1}")]
    NoTextEncoder(String, PathBuf),
    #[error(
        "CLIP is not a part of this model, which has no image encoder with a projection of its text encoder. Name a CLIP model by model=FOLDER: {0}"
    )]
    NoImageEncoder(PathBuf),
    #[error("{0}")]
    Device(#[from] crate::device::DeviceError),
    #[error("Opening was stopped")]
    Stopped,
}
