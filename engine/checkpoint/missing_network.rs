//! Which network a model lacks, told by the names of its files or weights alone: the library and opening both
//! answer from here.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::component_files::{ComponentFiles, component_weights};
use super::detect::{WeightKind, has_text_encoder, kind_of};
use super::key_map::VAE_PREFIX;
use super::weight_file::WeightFile;
use super::{ModelSource, OpenError};

/// A network of which a model has no weights: of several, the first of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingNetwork {
    Unet,
    TextEncoder,
    /// Another one can be chosen, and the model opens.
    Vae,
}

impl MissingNetwork {
    /// The one that a checkpoint in one file lacks. A file of another kind is refused for its kind.
    pub fn in_file(file: &WeightFile) -> Option<Self> {
        match kind_of(file) {
            WeightKind::StableDiffusion1 | WeightKind::StableDiffusion2 if !has_text_encoder(file) => {
                Some(Self::TextEncoder)
            }
            WeightKind::StableDiffusion1 | WeightKind::StableDiffusion2 if !file.has_prefix(VAE_PREFIX) => {
                Some(Self::Vae)
            }
            _ => None,
        }
    }

    /// The one that a model in diffusers layout lacks.
    pub fn in_folder(folder: &Path) -> Option<Self> {
        let networks = [("unet", Self::Unet), ("text_encoder", Self::TextEncoder), ("vae", Self::Vae)];
        let missing = networks.into_iter().find(|(part, _)| component_weights(folder, part).is_none());
        missing.map(|(_, network)| network)
    }

    /// The sentence about a model that lacks it.
    pub fn error(self, source: &ModelSource) -> OpenError {
        let (part, prefix) = match self {
            Self::Unet => ("unet", "model.diffusion_model."),
            Self::TextEncoder => ("text_encoder", "cond_stage_model."),
            Self::Vae => ("vae", VAE_PREFIX),
        };
        let why = match source {
            ModelSource::File(_) => format!("no weight starts with {prefix}"),
            ModelSource::Folder(_) | ModelSource::BuiltIn => format!("{part} has no weights"),
        };
        let path = ComponentFiles::new(source).root();
        match self {
            Self::Unet => OpenError::NoUnet(why, path),
            Self::TextEncoder => OpenError::NoTextEncoder(why, path),
            Self::Vae => OpenError::NoVae(why, path),
        }
    }
}
