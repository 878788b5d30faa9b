//! Opens a model: configuration, networks, weights, tokenizer.

use std::path::Path;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, FloatDType};

use super::beginning::Beginning;
use super::config::ModelConfig;
use super::files::{DIFFUSERS, Files, TRANSFORMERS};
use super::load::{Part, Target, load};
use super::vae_file::VaeFile;
use super::weights::WeightFile;
use super::{ModelSource, OpenError, names, original};
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

/// Opens a model on a device, with another VAE than its own if one is given. `unet_dtype` is what its UNet computes in; text encoder and VAE, small
/// beside it and more easily upset, stay in f32.
///
/// `progress` is told the fraction of the bytes read, and answers whether to go on.
pub fn open(
    source: &ModelSource,
    vae: Option<&Path>,
    device: &Device,
    unet_dtype: FloatDType,
    progress: &mut dyn FnMut(f32) -> bool,
) -> Result<OpenedModel, OpenError> {
    match source {
        ModelSource::File(path) => open_file(source, path, vae, device, unet_dtype, progress),
        ModelSource::BuiltIn | ModelSource::Folder(_) => {
            open_folder(source, vae, device, unet_dtype, progress)
        }
    }
}

/// In diffusers layout: a folder of parts, each with its configuration.
fn open_folder(
    source: &ModelSource,
    vae: Option<&Path>,
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
    let mut config = ModelConfig::read(&files)?;
    let chosen = choose_vae(vae, &mut config)?;
    let tokenizer = tokenizer(&files, &config, files.padding()?.as_deref())?;
    let text_file = files.weights("text_encoder", TRANSFORMERS)?;
    let unet_file = files.weights("unet", DIFFUSERS)?;
    let vae_file = if chosen.is_none() { Some(files.weights("vae", DIFFUSERS)?) } else { None };
    let own_vae = vae_file.as_ref().map(|file| Part { file, prefix: "", table: names::vae() });
    let parts = Parts {
        text_encoder: Part { file: &text_file, prefix: "", table: names::clip() },
        unet: Part { file: &unet_file, prefix: "", table: names::unet() },
        vae: own_vae.or(chosen.as_ref().map(VaeFile::part)).expect("a model's own VAE, or the one chosen"),
    };
    parts.load(config, tokenizer, device, unet_dtype, progress)
}

/// In the layout that Stable Diffusion was published in: one file, without configuration.
fn open_file(
    source: &ModelSource,
    path: &Path,
    vae: Option<&Path>,
    device: &Device,
    unet_dtype: FloatDType,
    progress: &mut dyn FnMut(f32) -> bool,
) -> Result<OpenedModel, OpenError> {
    let beginning = Beginning::of(path).map_err(|error| OpenError::Unreadable(error, path.to_owned()))?;
    if beginning == Beginning::Unknown {
        return Err(OpenError::NotAModel("it is a file of another kind".into(), path.to_owned()));
    }
    let file = WeightFile::open(path)?;
    let mut config = original::config_of(&file)?;
    let chosen = choose_vae(vae, &mut config)?;
    let files = Files::new(source);
    config.check(&files)?;
    let words = match tokenizer(&files, &config, None) {
        // A small model of the built-in one's family knows fewer words.
        Err(_) => tokenizer(&Files::new(&ModelSource::BuiltIn), &config, None)?,
        fits => fits?,
    };
    let (prefix, table) = names::original_text(&config.text_encoder);
    let own_vae = || {
        let table = names::original_vae(&config.vae, names::VAE_PREFIX);
        Part { file: &file, prefix: names::VAE_PREFIX, table }
    };
    let parts = Parts {
        text_encoder: Part { file: &file, prefix, table },
        unet: Part { file: &file, prefix: names::UNET_PREFIX, table: names::original_unet(&config.unet) },
        vae: chosen.as_ref().map_or_else(own_vae, VaeFile::part),
    };
    parts.load(config, words, device, unet_dtype, progress)
}

/// The VAE that takes the place of the model's own, and its configuration with it.
fn choose_vae(path: Option<&Path>, config: &mut ModelConfig) -> Result<Option<VaeFile>, OpenError> {
    let chosen = path.map(|path| VaeFile::open(path, &config.vae)).transpose()?;
    if let Some(vae) = &chosen {
        config.vae = vae.config.clone();
    }
    Ok(chosen)
}

/// Where the weights of each network are.
struct Parts<'a> {
    text_encoder: Part<'a>,
    unet: Part<'a>,
    vae: Part<'a>,
}

impl Parts<'_> {
    fn load(
        &self,
        config: ModelConfig,
        tokenizer: Tokenizer,
        device: &Device,
        unet_dtype: FloatDType,
        progress: &mut dyn FnMut(f32) -> bool,
    ) -> Result<OpenedModel, OpenError> {
        let file_bytes = self.text_encoder.byte_len() + self.unet.byte_len() + self.vae.byte_len();
        let mut read = 0;
        let mut count = |bytes: u64| {
            read += bytes;
            progress((read as f64 / file_bytes.max(1) as f64) as f32)
        };
        let exact = Target { device, dtype: FloatDType::F32 };
        let fast = Target { device, dtype: unet_dtype };
        let text_encoder = load(config.text_encoder.init(device), &self.text_encoder, &exact, &mut count)?;
        let unet = load(config.unet.init(device), &self.unet, &fast, &mut count)?;
        let vae = load(config.vae.init(device), &self.vae, &exact, &mut count)?;
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
}

/// The tokenizer of a model, checked against its text encoder. `padding` is what the files say of it.
pub(super) fn tokenizer(
    files: &Files<'_>,
    config: &ModelConfig,
    padding: Option<&str>,
) -> Result<Tokenizer, OpenError> {
    let text_encoder = &config.text_encoder;
    let tokenizer = Tokenizer::from_vocabulary(
        &files.read("tokenizer/vocab.json")?,
        &files.read("tokenizer/merges.txt")?,
        text_encoder.max_position_embeddings,
    )
    .and_then(|tokenizer| tokenizer.padded_with(padding.unwrap_or(text_encoder.padding())))
    .map_err(|what| OpenError::BadConfig(what, files.path("tokenizer")))?;
    if tokenizer.vocabulary_len() > text_encoder.vocab_size {
        let what = format!(
            "{} words where the text encoder knows {}",
            tokenizer.vocabulary_len(),
            text_encoder.vocab_size
        );
        return Err(OpenError::BadConfig(what, files.path("tokenizer/vocab.json")));
    }
    Ok(tokenizer)
}
