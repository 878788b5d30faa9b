//! A VAE of its own, in place of the one that came with a model: a file in diffusers' layout or in the
//! original one, or a diffusers folder.

use std::path::Path;

use serde::Deserialize;

use super::component_files::{ComponentFiles, DIFFUSERS};
use super::detect::{WeightKind, kind_of};
use super::key_map;
use super::key_map::{KeyMap, VAE_PREFIX};
use super::ldm_layout;
use super::load::ComponentSource;
use super::weight_file::WeightFile;
use super::{ModelSource, OpenError};
use crate::models::VaeConfig;

/// A VAE that was chosen for a model and fits it.
pub struct VaeFile {
    pub config: VaeConfig,
    file: WeightFile,
    prefix: &'static str,
    table: KeyMap,
}

impl VaeFile {
    /// Opens a file or a folder. `own` is what the model came with.
    ///
    /// # Errors
    /// What it is, if it is no VAE, and why a VAE does not fit.
    pub fn open(path: &Path, own: &VaeConfig) -> Result<Self, OpenError> {
        let vae = if path.is_dir() { Self::of_folder(path)? } else { Self::of_file(path, own)? };
        match vae.config.check().and_then(|()| vae.check_fit(own)) {
            Ok(()) => Ok(vae),
            Err(what) => Err(OpenError::NotAVae(what, path.to_owned())),
        }
    }

    pub fn part(&self) -> ComponentSource<'_> {
        ComponentSource { file: &self.file, prefix: self.prefix, table: self.table.clone() }
    }

    fn of_folder(path: &Path) -> Result<Self, OpenError> {
        #[derive(Deserialize)]
        struct Class {
            #[serde(rename = "_class_name")]
            name: Option<String>,
        }
        let source = ModelSource::Folder(path.to_owned());
        let files = ComponentFiles::new(&source);
        let json = match files.read("config.json") {
            Err(OpenError::Unreadable(error, _)) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(OpenError::NotAVae("the folder holds no config.json".into(), path.to_owned()));
            }
            json => json?,
        };
        let bad =
            |error: serde_json::Error| OpenError::BadConfig(error.to_string(), files.path("config.json"));
        let class: Class = serde_json::from_slice(&json).map_err(bad)?;
        if let Some(name) = class.name.filter(|name| name != "AutoencoderKL") {
            return Err(OpenError::NotAVae(format!("its class is {name}"), path.to_owned()));
        }
        let config = serde_json::from_slice(&json).map_err(bad)?;
        Ok(Self { config, file: files.weights("", DIFFUSERS)?, prefix: "", table: key_map::vae() })
    }

    /// What a file does not tell is as in the model's own.
    fn of_file(path: &Path, own: &VaeConfig) -> Result<Self, OpenError> {
        let file = WeightFile::open(path)?;
        let kind = kind_of(&file);
        if kind != WeightKind::Vae {
            return Err(OpenError::NotAVae(format!("it is {kind}"), path.to_owned()));
        }
        let prefix = if file.names().any(|name| name.starts_with(VAE_PREFIX)) { VAE_PREFIX } else { "" };
        let is_original = file.names().any(|name| name.starts_with(&format!("{prefix}encoder.down.")));
        let config = ldm_layout::vae_config(&file, own.clone(), prefix, is_original)
            .map_err(|name| OpenError::Missing(name, path.to_owned()))?;
        let table = match is_original {
            true => key_map::ldm_vae(&config, prefix),
            false => key_map::vae(),
        };
        Ok(Self { config, file, prefix, table })
    }

    /// Latents of one VAE mean nothing to another, if they differ in these.
    fn check_fit(&self, own: &VaeConfig) -> Result<(), String> {
        let VaeConfig { latent_channels, scaling_factor, .. } = self.config;
        if latent_channels != own.latent_channels {
            return Err(format!(
                "its latents have {latent_channels} channels, where the model's have {}",
                own.latent_channels
            ));
        }
        if self.config.factor() != own.factor() {
            return Err(format!(
                "it makes {} pixels a side of a latent pixel, where the model's makes {}",
                self.config.factor(),
                own.factor()
            ));
        }
        if scaling_factor != own.scaling_factor {
            return Err(format!(
                "its latents are scaled by {scaling_factor}, where the model's are by {}",
                own.scaling_factor
            ));
        }
        Ok(())
    }
}
