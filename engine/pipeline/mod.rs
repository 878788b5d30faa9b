//! A model on a device: opened, and its networks called one by one.

pub mod animation_export;
mod autoencoder;
mod conditioning;
mod embeddings;
mod error;
pub mod generate;
mod guided_unet;
mod model_info;
mod progress;
mod random_sd15;
mod resume;
mod stop;
mod weighting;

pub use error::GenerateError;
pub use generate::{Generated, Timings};
pub use model_info::ModelInfo;
pub use progress::{Frame, Progress};
pub use random_sd15::random_sd15;
pub use stop::StopFlag;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};

use crate::checkpoint::{FileFingerprint, ModelSource, OpenError, OpenedModel, open};
use crate::concepts::ConceptSet;
use crate::cpu;
use crate::device::{DeviceChoice, DeviceError, DeviceInfo, SelectedDevice, choose};
use crate::diffusion::{LatentRgb, Latents, SD1_LATENT_RGB};
use crate::error::EngineError;
use crate::images::{Array, Pixels, to_signed_planes};
use crate::memory::estimate::MemoryEstimate;
use crate::memory::low_memory::MemoryMode;
use crate::models::values;
use crate::prompt::{PromptTokenizer, TextOptions, Tokenized};

/// A model on a device, ready to make pictures.
pub struct Pipeline {
    pub(crate) model: OpenedModel,
    pub(crate) device: Device,
    pub(crate) unet_dtype: FloatDType,
    pub(crate) latent_rgb: LatentRgb,
    pub(crate) info: ModelInfo,
    concepts: ConceptSet,
    pub(crate) words: PromptTokenizer,
    /// The lengths of the vocabulary's embeddings, once they were asked for: `[words, 1]`.
    pub(crate) word_norms: OnceLock<Tensor<2>>,
}

impl Pipeline {
    /// Opens a model on the device chosen. `progress` is told the fraction read, and answers whether
    /// to go on.
    pub fn open(
        source: &ModelSource,
        choice: DeviceChoice,
        progress: &mut dyn FnMut(f32) -> bool,
    ) -> Result<Self, OpenError> {
        Self::open_with_vae(source, None, choice, progress)
    }

    /// The same, with another VAE than the model's own if one is given.
    pub fn open_with_vae(
        source: &ModelSource,
        vae: Option<&Path>,
        choice: DeviceChoice,
        progress: &mut dyn FnMut(f32) -> bool,
    ) -> Result<Self, OpenError> {
        Self::open_with_room(source, vae, choice, &mut |_| (), progress)
    }

    /// The same. Before any weight is read, `make_room` is told the bytes that all of them will take.
    pub fn open_with_room(
        source: &ModelSource,
        vae: Option<&Path>,
        choice: DeviceChoice,
        make_room: &mut dyn FnMut(u64),
        progress: &mut dyn FnMut(f32) -> bool,
    ) -> Result<Self, OpenError> {
        let SelectedDevice { device, unet_dtype, info } = choose(choice)?;
        cpu::join_workers();
        let model = open(source, vae, &device, unet_dtype, make_room, progress)?;
        let mut pipeline = Self::new(source.name(), model, device, unet_dtype, info)?;
        let name_of =
            |path: &Path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        pipeline.info.vae = vae.map(name_of);
        Ok(pipeline)
    }

    pub(crate) fn new(
        name: String,
        model: OpenedModel,
        device: Device,
        unet_dtype: FloatDType,
        device_card: DeviceInfo,
    ) -> Result<Self, OpenError> {
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
            device: device_card,
            tokenizer: model.tokenizer.clone(),
            text_width: model.config.text_encoder.hidden_size,
            training_sigmas: Arc::new(model.config.scheduler.noise_schedule().training_sigmas),
            scheduler: model.config.scheduler.clone(),
            memory: MemoryEstimate::new(&model.config, if unet_dtype == FloatDType::F16 { 2 } else { 4 }),
        };
        let concepts = ConceptSet::default();
        let words = info.words(&concepts);
        let latent_rgb = SD1_LATENT_RGB;
        let mut pipeline = Self {
            model,
            device,
            unet_dtype,
            latent_rgb,
            info,
            concepts,
            words,
            word_norms: OnceLock::new(),
        };
        if !pipeline.model.config.vae.is_sd1() {
            pipeline.latent_rgb = pipeline.fit_latent_rgb().map_err(|halt| match halt {
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

    /// The SHA-256 of every weight: see [`OpenedModel::digest`].
    pub fn digest(&self) -> Result<String, String> {
        self.model.digest()
    }

    /// The concepts that prompts may use from now on.
    pub fn set_concepts(&mut self, concepts: &ConceptSet) {
        if !self.concepts.is_same(concepts) {
            self.concepts = concepts.clone();
            self.words = self.info.words(concepts);
        }
    }

    /// What reads prompts here.
    pub fn words(&self) -> &PromptTokenizer {
        &self.words
    }

    /// A prompt as it stands, in one chunk.
    pub fn tokenize(&self, prompt: &str) -> Tokenized {
        self.words.tokenize(prompt)
    }

    /// What enters the text encoder, before it adds positions.
    ///
    /// # Shapes
    /// - output: `[1, tokens, width]`
    pub fn token_embeddings(&self, prompt: &str) -> Result<Array, EngineError> {
        to_array(self.embed_tokens(&self.tokenize(prompt), &[]))
    }

    /// The networks alone, as a notebook would call them.
    ///
    /// # Shapes
    /// - output embeddings of a prompt: `[1, tokens, width]`
    pub fn text_embeddings(&self, prompt: &str) -> Result<Array, EngineError> {
        to_array(self.encode_text(&self.tokenize(prompt), &TextOptions::PLAIN, &[])?)
    }

    /// The UNet's prediction (noise, or v) for latents as they are, one prompt a picture.
    pub fn predict_eps(&self, x: &Latents, timestep: f32, prompts: &[&str]) -> Result<Latents, EngineError> {
        let texts =
            prompts.iter().map(|prompt| self.encode_text(&self.tokenize(prompt), &TextOptions::PLAIN, &[]));
        let context = Tensor::cat(texts.collect::<Result<_, _>>()?, 0).cast(self.unet_dtype);
        self.predict(x, timestep, &context, MemoryMode::Full, &StopFlag::default())
    }

    /// The encoder's mean and log variance, `[batch, channels, height, width]`, unscaled, of pixels
    /// `[batch, 3, ..]` in -1..1.
    pub fn moments(&self, pixels: &Latents, stop: &StopFlag) -> Result<(Latents, Latents), EngineError> {
        self.encode_moments(MemoryMode::Full, pixels, stop)
    }

    /// The same, frugally for one picture only.
    pub fn encode_moments(
        &self,
        mode: MemoryMode,
        pixels: &Latents,
        stop: &StopFlag,
    ) -> Result<(Latents, Latents), EngineError> {
        let (vae, x) = (&self.model.vae, self.upload(pixels, FloatDType::F32));
        let moments = match mode {
            MemoryMode::Full => vae.encode(x, &|| stop.is_raised())?,
            MemoryMode::LowMemory => vae.encode_tiled(x, &|| stop.is_raised())?,
        };
        Ok((to_latents(moments.mean)?, to_latents(moments.log_variance)?))
    }

    /// The decoder's answer to unscaled latents, `[batch, 3, ..]`, about -1..1.
    pub fn decoder(&self, latents: &Latents, stop: &StopFlag) -> Result<Latents, EngineError> {
        self.decode_raw(MemoryMode::Full, latents, stop)
    }

    /// The same, frugally for one picture only.
    pub fn decode_raw(
        &self,
        mode: MemoryMode,
        latents: &Latents,
        stop: &StopFlag,
    ) -> Result<Latents, EngineError> {
        let (vae, x) = (&self.model.vae, self.upload(latents, FloatDType::F32));
        to_latents(match mode {
            MemoryMode::Full => vae.decode(x, &|| stop.is_raised())?,
            MemoryMode::LowMemory => vae.decode_tiled(x, &|| stop.is_raised())?,
        })
    }

    pub(crate) fn upload(&self, latents: &Latents, dtype: FloatDType) -> Tensor<4> {
        let data = TensorData::new(latents.data.clone(), latents.shape);
        Tensor::from_data(data, (&self.device, DType::from(dtype)))
    }

    /// The linear map from this model's latents to colours, learned from its own autoencoder on a
    /// picture of soft colours.
    fn fit_latent_rgb(&self) -> Result<LatentRgb, EngineError> {
        let never = StopFlag::default();
        let picture = calibration_gradient(16 * self.info.vae_factor);
        let (mean, _) = self.moments(&to_planes(&picture), &never)?;
        let decoded = self.decoder(&mean, &never)?;
        let small = downsample(&decoded, self.info.vae_factor as usize);
        let latents = mean.scale(self.model.config.vae.scaling_factor);
        Ok(LatentRgb::fit(&latents, &small.into_iter().map(to_unit_range).collect::<Vec<_>>()))
    }
}

/// `[1, 3, height, width]` in -1..1.
pub(crate) fn to_planes(picture: &Pixels) -> Latents {
    Latents::new([1, 3, picture.height as usize, picture.width as usize], to_signed_planes(picture))
}

/// From the autoencoder's -1..1 to 0..1.
pub(crate) fn to_unit_range(value: f32) -> f32 {
    (value / 2.0 + 0.5).clamp(0.0, 1.0)
}

/// `[batch, channels, height, width]`
fn to_latents(x: Tensor<4>) -> Result<Latents, EngineError> {
    let shape = x.dims();
    Ok(Latents::new(shape, values(x)?))
}

pub(crate) fn to_array<const D: usize>(x: Tensor<D>) -> Result<Array, EngineError> {
    let shape = x.dims();
    Ok(Array::new(shape, values(x)?))
}

/// A square picture in which every colour occurs and none jumps.
fn calibration_gradient(side: u32) -> Pixels {
    let wave = |x: f32| (127.5 + 127.5 * (std::f32::consts::TAU * x).sin()) as u8;
    let at = |i: u32| i as f32 / side as f32;
    let colour = |y: u32, x: u32| {
        [wave(at(x) + 0.3 * at(y)), wave(1.7 * at(y) - 0.4 * at(x)), wave(at(x) * at(y) * 2.3 + 0.6)]
    };
    let rgb = (0..side).flat_map(|y| (0..side).flat_map(move |x| colour(y, x))).collect();
    Pixels::new(side, side, rgb)
}

/// Means over squares of `factor` pixels a side.
fn downsample(image: &Latents, factor: usize) -> Vec<f32> {
    let (height, width) = (image.shape[2], image.shape[3]);
    let planes = image.data.chunks_exact(height * width);
    let mean = |plane: &[f32], y: usize, x: usize| {
        let rows = (y * factor..(y + 1) * factor).map(|row| &plane[row * width + x * factor..][..factor]);
        rows.flatten().sum::<f32>() / (factor * factor) as f32
    };
    planes
        .flat_map(|plane| {
            (0..height / factor).flat_map(move |y| (0..width / factor).map(move |x| mean(plane, y, x)))
        })
        .collect()
}

#[cfg(test)]
mod tests;
