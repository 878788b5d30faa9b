//! The configuration files of a diffusers folder.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::OpenError;
use super::component_files::ComponentFiles;
use super::fixed_settings::Component;
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
#[serde(default)]
pub struct SchedulerConfig {
    pub beta_start: f64,
    pub beta_end: f64,
    pub beta_schedule: BetaSchedule,
    pub num_train_timesteps: usize,
    pub prediction_type: String,
    /// The last training step is pure noise: Lin et al. (2024).
    pub rescale_betas_zero_snr: bool,
}

impl Default for SchedulerConfig {
    /// Stable Diffusion 1.x.
    fn default() -> Self {
        Self {
            beta_start: 0.00085,
            beta_end: 0.012,
            beta_schedule: BetaSchedule::ScaledLinear,
            num_train_timesteps: 1000,
            prediction_type: Prediction::Epsilon.name().into(),
            rescale_betas_zero_snr: false,
        }
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

impl ModelConfig {
    /// Reads the configuration files. Without `needs_vae`, that of the VAE may be missing, because another one was
    /// chosen.
    pub(super) fn read(files: &ComponentFiles<'_>, needs_vae: bool) -> Result<Self, OpenError> {
        let config = Self {
            unet: read(files, Component::Unet, "unet/config.json")?,
            vae: match read(files, Component::Vae, "vae/config.json") {
                Err(OpenError::Unreadable(..)) if !needs_vae => Self::sd15().vae,
                vae => vae?,
            },
            text_encoder: read(files, Component::TextEncoder, "text_encoder/config.json")?,
            scheduler: read_scheduler(files)?,
        };
        config.check(files)?;
        Ok(config)
    }

    /// The configuration of Stable Diffusion 1.5, which ships with the program.
    pub(crate) fn sd15() -> Self {
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
        if unet.out_channels != vae.latent_channels {
            let what = format!(
                "a UNet that writes {} channels and a VAE that reads {} (out_channels)",
                unet.out_channels, vae.latent_channels
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

/// The scheduler's configuration. What it leaves out is the default of its class in diffusers.
fn read_scheduler(files: &ComponentFiles<'_>) -> Result<SchedulerConfig, OpenError> {
    let file = "scheduler/scheduler_config.json";
    let index = json_of(files, "model_index.json")?;
    let class = index["scheduler"][1].as_str();
    let mut config = json_of(files, file)?;
    if let Some(settings) = config.as_object_mut() {
        let has_betas =
            ["beta_start", "beta_end", "beta_schedule"].iter().all(|key| settings.contains_key(*key));
        match class.and_then(default_betas) {
            Some((start, end, schedule)) => {
                settings.entry("beta_start").or_insert(json!(start));
                settings.entry("beta_end").or_insert(json!(end));
                settings.entry("beta_schedule").or_insert(json!(schedule));
            }
            None if has_betas => {}
            None => {
                let what = format!("a scheduler of {}", class.unwrap_or("no class"));
                return Err(OpenError::Unsupported(what, files.path(file)));
            }
        }
    }
    configured(files, Component::Scheduler, file, config)
}

/// `beta_start`, `beta_end` and `beta_schedule` of a class of diffusers; `None` if its noise is not made by betas.
fn default_betas(class: &str) -> Option<(f64, f64, &'static str)> {
    Some(match class {
        "LCMScheduler" | "TCDScheduler" => (0.00085, 0.012, "scaled_linear"),
        "DPMSolverSDEScheduler"
        | "HeunDiscreteScheduler"
        | "KDPM2AncestralDiscreteScheduler"
        | "KDPM2DiscreteScheduler" => (0.00085, 0.012, "linear"),
        "DDIMInverseScheduler"
        | "DDIMParallelScheduler"
        | "DDIMScheduler"
        | "DDPMParallelScheduler"
        | "DDPMScheduler"
        | "DEISMultistepScheduler"
        | "DPMSolverMultistepInverseScheduler"
        | "DPMSolverMultistepScheduler"
        | "DPMSolverSinglestepScheduler"
        | "EulerAncestralDiscreteScheduler"
        | "EulerDiscreteScheduler"
        | "LMSDiscreteScheduler"
        | "PNDMScheduler"
        | "SASolverScheduler"
        | "UniPCMultistepScheduler" => (0.0001, 0.02, "linear"),
        _ => return None,
    })
}

/// Reads the configuration of a component.
fn read<T: DeserializeOwned>(
    files: &ComponentFiles<'_>,
    component: Component,
    file: &str,
) -> Result<T, OpenError> {
    configured(files, component, file, json_of(files, file)?)
}

/// A component's configuration out of its file.
pub(super) fn configured<T: DeserializeOwned>(
    files: &ComponentFiles<'_>,
    component: Component,
    file: &str,
    mut config: Value,
) -> Result<T, OpenError> {
    // transformers takes this part of a configuration of both of CLIP's encoders.
    if let (Component::TextEncoder, Some(text @ Value::Object(_))) =
        (component, config.get_mut("text_config"))
    {
        config = text.take();
    }
    match component.unsupported(&config) {
        Some(what) => Err(OpenError::Unsupported(what, files.path(file))),
        None => deserialize(files, file, config),
    }
}

/// The error names the key whose value cannot be read, if it is one alone.
fn deserialize<T: DeserializeOwned>(
    files: &ComponentFiles<'_>,
    file: &str,
    config: Value,
) -> Result<T, OpenError> {
    let settings = config.as_object().cloned().unwrap_or_default();
    serde_json::from_value(config).map_err(|error| {
        let of_key = settings.into_iter().find_map(|(key, value)| {
            let error = serde_json::from_value::<T>(json!({ &key: value })).err()?;
            Some(format!("{key}: {error}"))
        });
        OpenError::BadConfig(of_key.unwrap_or_else(|| error.to_string()), files.path(file))
    })
}

/// The JSON of a configuration file.
pub(super) fn json_of(files: &ComponentFiles<'_>, file: &str) -> Result<Value, OpenError> {
    let bytes = files.read(file)?;
    let bad = |error: String| OpenError::BadConfig(error, files.path(file));
    let text = std::str::from_utf8(&bytes).map_err(|error| bad(error.to_string()))?;
    serde_json::from_str(&without_infinities(text)).map_err(|error| bad(error.to_string()))
}

/// Python writes `Infinity` and `NaN` into its JSON, where other programs allow numbers only; diffusers does for
/// the `lambda_min_clipped` of DPM-Solver. They become null.
fn without_infinities(json: &str) -> String {
    let mut is_string = false;
    let parts = json.split_inclusive('"').map(|part| {
        if is_string {
            let escapes = part.trim_end_matches('"').bytes().rev().take_while(|&byte| byte == b'\\').count();
            is_string = !escapes.is_multiple_of(2);
            return part.to_owned();
        }
        is_string = part.ends_with('"');
        ["-Infinity", "Infinity", "NaN"].iter().fold(part.to_owned(), |part, name| part.replace(name, "null"))
    });
    parts.collect()
}
