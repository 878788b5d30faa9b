//! A model on a device: opened, its networks called one by one, and the main flow in [`generate`].

pub mod animation_export;
mod autoencoder;
mod conditioning;
mod embeddings;
mod error;
pub mod generate;
mod guided_unet;
mod latent_rgb_fit;
mod loss_guidance;
mod model_info;
mod paint;
mod progress;
mod random_sd15;
mod resume;
mod stop;
mod weighting;

pub use error::GenerateError;
pub use generate::{Generated, Timings};
pub use model_info::ModelInfo;
pub use progress::{Frame, FrameLosses, Progress};
pub use random_sd15::random_sd15;
pub use stop::StopFlag;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};

use crate::checkpoint::{FileFingerprint, ModelSource, OpenError, OpenedModel, open};
use crate::concepts::ConceptSet;
use crate::cpu;
use crate::device::{DeviceChoice, DeviceError, SelectedDevice, choose};
use crate::diffusion::{LatentRgb, Latents, SD1_LATENT_RGB, are_finite_and_nonzero};
use crate::error::EngineError;
use crate::images::Array;
use crate::losses::GradientPath;
use crate::memory::estimate::{MemoryEstimate, free_bytes};
use crate::memory::low_memory::MemoryGuard;
use crate::memory::mode::MemoryMode;
use crate::models::values;
use crate::prompt::{PromptTokenizer, TextOptions, Tokenized};
use crate::recipe::Recipe;

/// A model on a device, ready to make pictures.
pub struct Pipeline {
    pub(crate) model: OpenedModel,
    pub(crate) device: Device,
    pub(crate) unet_dtype: FloatDType,
    pub(crate) latent_rgb: LatentRgb,
    pub(crate) info: ModelInfo,
    concepts: ConceptSet,
    pub(crate) prompt_tokenizer: PromptTokenizer,
    /// The norms of the vocabulary's embeddings, `[words, 1]`, computed on first use.
    pub(crate) embedding_norms: OnceLock<Tensor<2>>,
}

/// How to open a model.
#[derive(Default)]
pub struct OpenOptions<'a> {
    pub device: DeviceChoice,
    /// A file or folder whose VAE replaces the model's own.
    pub vae: Option<&'a Path>,
    /// Called before any weight is read, with the bytes that all weights will take on the device.
    pub make_room: Option<&'a mut dyn FnMut(u64)>,
}

impl From<DeviceChoice> for OpenOptions<'_> {
    fn from(device: DeviceChoice) -> Self {
        Self { device, ..Self::default() }
    }
}

impl Pipeline {
    /// Opens a model. `progress` gets the fraction of the bytes read, and returns whether to continue.
    pub fn open<'a>(
        source: &ModelSource,
        options: impl Into<OpenOptions<'a>>,
        progress: &mut dyn FnMut(f32) -> bool,
    ) -> Result<Self, OpenError> {
        let OpenOptions { device, vae, make_room } = options.into();
        let selected = choose(device)?;
        cpu::join_workers();
        let mut ignore = |_| ();
        let make_room = make_room.unwrap_or(&mut ignore);
        let model = open(source, vae, &selected.device, selected.unet_dtype, make_room, progress)?;
        let mut pipeline = Self::new(source.name(), model, selected)?;
        let file_name =
            |path: &Path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        pipeline.info.vae = vae.map(file_name);
        Ok(pipeline)
    }

    pub(crate) fn new(name: String, model: OpenedModel, selected: SelectedDevice) -> Result<Self, OpenError> {
        let SelectedDevice { device, unet_dtype, info: device_info } = selected;
        let vae_factor = model.config.vae.factor() as u32;
        let native_side = match (model.config.unet.sample_size, model.config.vae.sample_size) {
            (Some(latent_side), _) => latent_side as u32 * vae_factor,
            (None, Some(side)) => side as u32,
            (None, None) => 512,
        };
        let info = ModelInfo {
            name,
            kind: model.config.family().into(),
            vae: None,
            file_bytes: model.file_bytes,
            parameters: model.parameters,
            native_side,
            vae_factor,
            notes: model.notes.clone(),
            device: device_info,
            tokenizer: model.tokenizer.clone(),
            text_width: model.config.text_encoder.hidden_size,
            scheduler: model.config.scheduler.clone(),
            memory: MemoryEstimate::new(&model.config, if unet_dtype == FloatDType::F16 { 2 } else { 4 }),
        };
        let concepts = ConceptSet::default();
        let prompt_tokenizer = info.prompt_tokenizer(&concepts);
        let mut pipeline = Self {
            model,
            device,
            unet_dtype,
            latent_rgb: SD1_LATENT_RGB,
            info,
            concepts,
            prompt_tokenizer,
            embedding_norms: OnceLock::new(),
        };
        if !pipeline.model.config.vae.is_sd1() {
            pipeline.latent_rgb = pipeline.fit_latent_rgb().map_err(|error| match error {
                EngineError::Stopped => OpenError::Stopped,
                EngineError::OutOfMemory(text) | EngineError::Failed(text) => {
                    OpenError::Device(DeviceError::Failed(text))
                }
            })?;
        }
        Ok(pipeline)
    }

    /// Bytes of the weights on the device.
    pub fn held_bytes(&self) -> u64 {
        self.model.held_bytes
    }

    pub fn weight_files(&self) -> &[PathBuf] {
        &self.model.weight_files
    }

    pub(crate) fn fingerprints(&self) -> &[FileFingerprint] {
        &self.model.fingerprints
    }

    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// The SHA-256 of all weights: see [`OpenedModel::digest`].
    pub fn digest(&self) -> Result<String, String> {
        self.model.digest()
    }

    /// Replaces the concepts that prompts may use.
    pub fn set_concepts(&mut self, concepts: &ConceptSet) {
        if !self.concepts.is_same(concepts) {
            self.concepts = concepts.clone();
            self.prompt_tokenizer = self.info.prompt_tokenizer(concepts);
        }
    }

    pub fn prompt_tokenizer(&self) -> &PromptTokenizer {
        &self.prompt_tokenizer
    }

    /// A prompt without syntax, truncated to one chunk.
    pub fn tokenize(&self, prompt: &str) -> Tokenized {
        self.prompt_tokenizer.tokenize(prompt)
    }

    /// The token embeddings of a prompt without syntax, before the text encoder adds positions.
    ///
    /// # Shapes
    /// - output: `[1, tokens, width]`
    pub fn token_embeddings(&self, prompt: &str) -> Result<Array, EngineError> {
        to_array(self.embed_tokens(&self.tokenize(prompt), &[]))
    }

    /// The output embeddings of a prompt without syntax.
    ///
    /// # Shapes
    /// - output: `[1, tokens, width]`
    pub fn text_embeddings(&self, prompt: &str) -> Result<Array, EngineError> {
        to_array(self.encode_text(&self.tokenize(prompt), &TextOptions::PLAIN, &[])?)
    }

    /// What the UNet reads of a prompt without syntax, in its precision.
    pub(crate) fn context(&self, prompt: &str) -> Result<Tensor<3>, EngineError> {
        Ok(self.encode_text(&self.tokenize(prompt), &TextOptions::PLAIN, &[])?.cast(self.unet_dtype))
    }

    /// The UNet's prediction (noise, or v) for latents that are scaled already, with one prompt per picture.
    pub fn predict_eps(&self, x: &Latents, timestep: f32, prompts: &[&str]) -> Result<Latents, EngineError> {
        let texts = prompts.iter().map(|prompt| self.context(prompt));
        let context = Tensor::cat(texts.collect::<Result<_, _>>()?, 0);
        self.predict(x, timestep, &context, MemoryMode::Full, &StopFlag::default())
    }

    /// Chooses the memory mode for a recipe.
    ///
    /// # Errors
    /// [`GenerateError::TooLarge`] if the pictures do not fit into main memory even in low-memory mode. A GPU
    /// does not report its free memory, so there the check is skipped.
    pub(crate) fn memory_guard(&self, recipe: &Recipe) -> Result<MemoryGuard, GenerateError> {
        let free = free_bytes().filter(|_| !self.info.device.is_gpu);
        let mode =
            MemoryMode::choose(&self.info.memory, recipe, free.unwrap_or(u64::MAX)).map_err(|needed| {
                let Recipe { width, height, .. } = *recipe;
                GenerateError::TooLarge { width, height, needed, free: free.unwrap_or_default() }
            })?;
        self.check_guides_fit(recipe, free)?;
        let memory = MemoryGuard::new(self.device.clone(), mode);
        if mode == MemoryMode::LowMemory {
            memory.note("Memory is short, so the work was done in smaller pieces, which takes longer");
        }
        Ok(memory)
    }

    /// # Errors
    /// [`GenerateError::GuideTooLarge`] if a gradient does not fit into `free` bytes, where they are known.
    fn check_guides_fit(&self, recipe: &Recipe, free: Option<u64>) -> Result<(), GenerateError> {
        let Recipe { width, height, .. } = *recipe;
        for path in GradientPath::ALL {
            let guides = recipe.guides.iter().any(|guide| guide.through == path && guide.scale != 0.0);
            let needed = self.info.memory.guide_bytes(u64::from(width) * u64::from(height), path);
            match free {
                Some(free) if guides && needed > free => {
                    return Err(GenerateError::GuideTooLarge { path, width, height, needed, free });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Checks the output of a network that computes in f32.
    ///
    /// # Errors
    /// If a number is not finite, or all are zero: a GPU may return zeros when it is out of memory.
    pub(crate) fn check_finite(&self, network: &str, output: &[f32]) -> Result<(), EngineError> {
        match are_finite_and_nonzero(output) {
            true => Ok(()),
            false if self.info.device.is_gpu => {
                Err(EngineError::OutOfMemory(format!("the {network} returned zeros or invalid numbers")))
            }
            false => Err(EngineError::invalid_numbers(network)),
        }
    }

    pub(crate) fn upload(&self, latents: &Latents, dtype: FloatDType) -> Tensor<4> {
        let data = TensorData::new(latents.data.clone(), latents.shape);
        Tensor::from_data(data, (&self.device, DType::from(dtype)))
    }
}

pub(crate) fn to_array<const D: usize>(x: Tensor<D>) -> Result<Array, EngineError> {
    let shape = x.dims();
    Ok(Array::new(shape, values(x)?))
}

#[cfg(test)]
mod tests;
