//! The configuration files of a diffusers folder.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::OpenError;
use super::component_files::ComponentFiles;
use crate::diffusion::{BetaSchedule, NoiseSchedule, Prediction, ScheduleOptions};
use crate::models::{ClipTextConfig, UnetConfig, VaeConfig};

/// The configuration of a model.
#[derive(Clone, Debug)]
pub struct ModelConfig {
    pub unet: UnetConfig,
    pub vae: VaeConfig,
    pub text_encoder: ClipTextConfig,
    pub scheduler: SchedulerConfig,
}

/// `scheduler/scheduler_config.json`: the noise schedule that the model was trained with.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct SchedulerConfig {
    pub beta_start: f64,
    pub beta_end: f64,
    pub beta_schedule: BetaSchedule,
    pub num_train_timesteps: usize,
    #[serde(default = "epsilon")]
    pub prediction_type: String,
    /// The last training step is pure noise: Lin et al. (2024).
    #[serde(default)]
    pub rescale_betas_zero_snr: bool,
}

fn epsilon() -> String {
    Prediction::Epsilon.name().into()
}

impl Default for SchedulerConfig {
    /// Stable Diffusion 1.x.
    fn default() -> Self {
        ModelConfig::sd15().scheduler
    }
}

impl SchedulerConfig {
    pub fn noise_schedule(&self) -> NoiseSchedule {
        let make = match self.rescale_betas_zero_snr {
            true => NoiseSchedule::with_zero_terminal_snr,
            false => NoiseSchedule::new,
        };
        make(self.beta_schedule, self.beta_start, self.beta_end, self.num_train_timesteps)
    }

    /// A copy with the betas and training steps that are set in `options`.
    pub fn with_options(&self, options: &ScheduleOptions) -> Self {
        Self {
            beta_start: options.beta_start.unwrap_or(self.beta_start),
            beta_end: options.beta_end.unwrap_or(self.beta_end),
            beta_schedule: options.beta_kind.unwrap_or(self.beta_schedule),
            num_train_timesteps: options.train_steps.map_or(self.num_train_timesteps, |steps| steps as usize),
            ..self.clone()
        }
    }

    fn prediction(&self) -> Option<Prediction> {
        Prediction::ALL.into_iter().find(|prediction| prediction.name() == self.prediction_type)
    }
}

/// `model_index.json`: the classes of the components.
#[derive(Deserialize)]
struct ModelIndex {
    unet: (Option<String>, Option<String>),
    vae: (Option<String>, Option<String>),
    text_encoder: (Option<String>, Option<String>),
}

/// Settings of networks that this program does not have.
const MUST_BE_ABSENT: [&str; 6] = [
    "addition_embed_type",
    "class_embed_type",
    "encoder_hid_dim",
    "time_cond_proj_dim",
    "time_embedding_act_fn",
    "timestep_post_act",
];

impl ModelConfig {
    pub(super) fn read(files: &ComponentFiles<'_>) -> Result<Self, OpenError> {
        let index: ModelIndex = match files.read("model_index.json") {
            Ok(bytes) => parse(files, "model_index.json", &bytes)?,
            Err(OpenError::Unreadable(error, path)) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(OpenError::NotAModel("it has no model_index.json".into(), folder_of(&path)));
            }
            Err(error) => return Err(error),
        };
        let classes = [
            (index.unet, "UNet2DConditionModel"),
            (index.vae, "AutoencoderKL"),
            (index.text_encoder, "CLIPTextModel"),
        ];
        for ((_, class), expected) in classes {
            if class.as_deref() != Some(expected) {
                let class = class.unwrap_or_else(|| "no class".into());
                return Err(OpenError::Unsupported(
                    format!("{class} in place of a {expected}"),
                    files.path("model_index.json"),
                ));
            }
        }

        let unet_file = "unet/config.json";
        let unet_json: serde_json::Value = parse(files, unet_file, &files.read(unet_file)?)?;
        for name in MUST_BE_ABSENT {
            if unet_json.get(name).is_some_and(|value| !value.is_null()) {
                return Err(OpenError::Unsupported(format!("a UNet with {name}"), files.path(unet_file)));
            }
        }
        let config = Self {
            unet: serde_json::from_value(unet_json)
                .map_err(|error| OpenError::BadConfig(error.to_string(), files.path(unet_file)))?,
            vae: read(files, "vae/config.json")?,
            text_encoder: read(files, "text_encoder/config.json")?,
            scheduler: read(files, "scheduler/scheduler_config.json")?,
        };
        config.check(files)?;
        Ok(config)
    }

    /// The configuration of Stable Diffusion 1.5, which ships with the program.
    pub(super) fn sd15() -> Self {
        macro_rules! component {
            ($name:literal) => {
                serde_json::from_str(include_str!(concat!("../../assets/sd15/", $name, ".json")))
                    .expect("the shipped configuration is valid")
            };
        }
        Self {
            unet: component!("unet"),
            vae: component!("vae"),
            text_encoder: component!("text_encoder"),
            scheduler: component!("scheduler"),
        }
    }

    /// The common name of the model family.
    pub fn family(&self) -> &'static str {
        match self.text_encoder.is_open_clip() {
            true => "Stable Diffusion 2.x",
            false => "Stable Diffusion 1.x",
        }
    }

    /// What the UNet predicts.
    pub fn prediction(&self) -> Prediction {
        self.scheduler.prediction().expect("a model with another prediction type is not opened")
    }

    pub(super) fn check(&self, files: &ComponentFiles<'_>) -> Result<(), OpenError> {
        let refuse = |what: String, file: &str| Err(OpenError::Unsupported(what, files.path(file)));
        if let Err(what) = self.unet.check() {
            return refuse(what, "unet/config.json");
        }
        if let Err(what) = self.vae.check() {
            return refuse(what, "vae/config.json");
        }
        if let Err(what) = self.text_encoder.check() {
            return refuse(what, "text_encoder/config.json");
        }
        let (unet, vae, text) = (&self.unet, &self.vae, &self.text_encoder);
        if unet.in_channels != vae.latent_channels {
            let what = format!(
                "a UNet with {} channels and a VAE with {} (an inpainting or depth model?)",
                unet.in_channels, vae.latent_channels
            );
            return refuse(what, "unet/config.json");
        }
        if unet.cross_attention_dim != text.hidden_size {
            let what = format!(
                "a UNet that reads text embeddings {} wide and a text encoder that writes {}",
                unet.cross_attention_dim, text.hidden_size
            );
            return refuse(what, "unet/config.json");
        }
        let file = "scheduler/scheduler_config.json";
        let scheduler = &self.scheduler;
        match scheduler.prediction() {
            None => return refuse(format!("{} prediction", scheduler.prediction_type), file),
            Some(Prediction::Epsilon) if scheduler.rescale_betas_zero_snr => {
                let what = "noise prediction with zero terminal SNR (rescale_betas_zero_snr)";
                return refuse(what.into(), file);
            }
            Some(_) => {}
        }
        let is_bounded = (2..=100_000).contains(&scheduler.num_train_timesteps);
        if !is_bounded || !scheduler.noise_schedule().is_valid() {
            return Err(OpenError::BadConfig(
                "betas or training steps out of range".into(),
                files.path(file),
            ));
        }
        Ok(())
    }
}

fn read<T: DeserializeOwned>(files: &ComponentFiles<'_>, file: &str) -> Result<T, OpenError> {
    parse(files, file, &files.read(file)?)
}

fn parse<T: DeserializeOwned>(files: &ComponentFiles<'_>, file: &str, bytes: &[u8]) -> Result<T, OpenError> {
    serde_json::from_slice(bytes).map_err(|error| OpenError::BadConfig(error.to_string(), files.path(file)))
}

fn folder_of(path: &Path) -> std::path::PathBuf {
    path.parent().unwrap_or(path).to_owned()
}
