//! A separate VAE that replaces the one of a model: a file in diffusers' layout or in the original (LDM)
//! one, or a diffusers folder.

use std::path::Path;

use super::component_files::{ComponentFiles, DIFFUSERS};
use super::config::{configured, json_of};
use super::detect::{WeightKind, kind_of};
use super::fixed_settings::Component;
use super::key_map;
use super::key_map::{KeyMap, VAE_PREFIX};
use super::ldm_layout;
use super::load::ComponentSource;
use super::weight_file::WeightFile;
use super::{ModelSource, OpenError};
use crate::models::VaeConfig;

/// A VAE that was chosen for a model and is compatible with it.
pub struct VaeFile {
    pub config: VaeConfig,
    file: WeightFile,
    prefix: &'static str,
    key_map: KeyMap,
}

impl VaeFile {
    /// Opens a file or a folder. `model_vae` is the configuration of the model's own VAE.
    ///
    /// # Errors
    /// What the file is, if it is not a VAE, or why the VAE is not compatible.
    pub fn open(path: &Path, model_vae: &VaeConfig) -> Result<Self, OpenError> {
        let vae = if path.is_dir() { Self::open_folder(path)? } else { Self::open_file(path, model_vae)? };
        match vae.config.check().and_then(|()| vae.check_fit(model_vae)) {
            Ok(()) => Ok(vae),
            Err(what) => Err(OpenError::NotAVae(what, path.to_owned())),
        }
    }

    pub fn source(&self) -> ComponentSource<'_> {
        ComponentSource { file: &self.file, prefix: self.prefix, key_map: self.key_map.clone() }
    }

    fn open_folder(path: &Path) -> Result<Self, OpenError> {
        let source = ModelSource::Folder(path.to_owned());
        let files = ComponentFiles::new(&source);
        let config = match json_of(&files, "config.json") {
            Err(OpenError::Unreadable(error, _)) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(OpenError::NotAVae("the folder has no config.json".into(), path.to_owned()));
            }
            config => config?,
        };
        if let Some(name) = config["_class_name"].as_str().filter(|&name| name != "AutoencoderKL") {
            return Err(OpenError::NotAVae(format!("its class is {name}"), path.to_owned()));
        }
        let config = configured(&files, Component::Vae, "config.json", config)?;
        Ok(Self { config, file: files.weights("", DIFFUSERS)?, prefix: "", key_map: key_map::vae() })
    }

    /// Values that the file does not tell are taken from the model's own VAE.
    fn open_file(path: &Path, model_vae: &VaeConfig) -> Result<Self, OpenError> {
        let file = WeightFile::open(path)?;
        let kind = kind_of(&file);
        if kind != WeightKind::Vae {
            return Err(OpenError::NotAVae(format!("it is {kind}"), path.to_owned()));
        }
        let prefix = if file.has_prefix(VAE_PREFIX) { VAE_PREFIX } else { "" };
        let is_ldm = file.has_prefix(&format!("{prefix}encoder.down."));
        let config = ldm_layout::vae_config(&file, model_vae.clone(), prefix, is_ldm)
            .map_err(|name| OpenError::Missing(name, path.to_owned()))?;
        let key_map = match is_ldm {
            true => key_map::ldm_vae(&config, prefix),
            false => key_map::vae(),
        };
        Ok(Self { config, file, prefix, key_map })
    }

    /// Two VAEs that differ in one of these cannot read each other's latents.
    fn check_fit(&self, model_vae: &VaeConfig) -> Result<(), String> {
        let VaeConfig { latent_channels, scaling_factor, .. } = self.config;
        if latent_channels != model_vae.latent_channels {
            return Err(format!(
                "its latents have {latent_channels} channels, the model's have {}",
                model_vae.latent_channels
            ));
        }
        if self.config.factor() != model_vae.factor() {
            return Err(format!(
                "its scale factor is {} pixels per latent pixel, the model's is {}",
                self.config.factor(),
                model_vae.factor()
            ));
        }
        if scaling_factor != model_vae.scaling_factor {
            return Err(format!(
                "its scaling_factor is {scaling_factor}, the model's is {}",
                model_vae.scaling_factor
            ));
        }
        Ok(())
    }
}
