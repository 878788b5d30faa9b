//! Opens a model: configuration, networks, weights, tokenizer.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, FloatDType};

use super::config::ModelConfig;
use super::files::Files;
use super::load::{Target, load};
use super::{ModelSource, OpenError, names};
use crate::models::{ClipText, Unet, Vae};
use crate::text::Tokenizer;

/// The parts of a model, ready to run.
pub struct OpenedModel {
    pub config: ModelConfig,
    pub tokenizer: Arc<Tokenizer>,
    pub text_encoder: ClipText,
    pub unet: Unet,
    pub vae: Vae,
    /// Bytes of the weights in their files.
    pub file_bytes: u64,
    pub parameters: u64,
}

const DIFFUSERS_WEIGHTS: &[&str] =
    &["diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors"];
const TRANSFORMERS_WEIGHTS: &[&str] = &["model.safetensors", "model.fp16.safetensors"];

/// Opens a model on a device. `unet_dtype` is what its UNet computes in; text encoder and VAE, small
/// beside it and more easily upset, stay in f32.
///
/// `progress` is told the fraction of the bytes read, and answers whether to go on.
pub fn open(
    source: &ModelSource,
    device: &Device,
    unet_dtype: FloatDType,
    progress: &mut dyn FnMut(f32) -> bool,
) -> Result<OpenedModel, OpenError> {
    let files = Files::new(source);
    if let ModelSource::Folder(folder) = source {
        if !folder.exists() {
            return Err(OpenError::NotAModel("there is no such folder".into(), folder.clone()));
        }
        if !folder.is_dir() {
            return Err(OpenError::NotAModel("it is a file".into(), folder.clone()));
        }
    }
    let config = ModelConfig::read(&files)?;
    let tokenizer = tokenizer(&files, &config)?;

    let text_file = files.weights("text_encoder", TRANSFORMERS_WEIGHTS)?;
    let unet_file = files.weights("unet", DIFFUSERS_WEIGHTS)?;
    let vae_file = files.weights("vae", DIFFUSERS_WEIGHTS)?;
    let file_bytes = text_file.data_len() + unet_file.data_len() + vae_file.data_len();
    let mut read = 0;
    let mut count = |bytes: u64| {
        read += bytes;
        progress((read as f64 / file_bytes.max(1) as f64) as f32)
    };

    let exact = Target { device, dtype: FloatDType::F32 };
    let fast = Target { device, dtype: unet_dtype };
    let text_encoder = load(config.text_encoder.init(device), &text_file, names::CLIP, &exact, &mut count)?;
    let unet = load(config.unet.init(device), &unet_file, names::UNET, &fast, &mut count)?;
    let vae = load(config.vae.init(device), &vae_file, names::VAE, &exact, &mut count)?;
    let parameters = text_encoder.num_params() + unet.num_params() + vae.num_params();
    Ok(OpenedModel {
        config,
        tokenizer: Arc::new(tokenizer),
        text_encoder,
        unet,
        vae,
        file_bytes,
        parameters: parameters as u64,
    })
}

/// The tokenizer of a model, checked against its text encoder.
pub(super) fn tokenizer(files: &Files<'_>, config: &ModelConfig) -> Result<Tokenizer, OpenError> {
    let tokenizer = Tokenizer::from_vocabulary(
        &files.read("tokenizer/vocab.json")?,
        &files.read("tokenizer/merges.txt")?,
        config.text_encoder.max_position_embeddings,
    )
    .map_err(|what| OpenError::BadConfig(what, files.path("tokenizer")))?;
    if tokenizer.vocabulary_len() > config.text_encoder.vocab_size {
        let what = format!(
            "{} words where the text encoder knows {}",
            tokenizer.vocabulary_len(),
            config.text_encoder.vocab_size
        );
        return Err(OpenError::BadConfig(what, files.path("tokenizer/vocab.json")));
    }
    Ok(tokenizer)
}
