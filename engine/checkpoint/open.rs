//! Opens a model: configuration, networks, weights, tokenizer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, FloatDType};

use super::component_files::{ComponentFiles, DIFFUSERS, TRANSFORMERS};
use super::config::ModelConfig;
use super::fingerprint::{FileFingerprint, fingerprints_of};
use super::load::{ComponentSource, LoadPlan, Target};
use super::vae_file::VaeFile;
use super::weight_file::WeightFile;
use super::{ModelSource, OpenError, key_map, ldm_layout};
use crate::files::FileSignature;
use crate::models::{ClipText, Unet, Vae};
use crate::tokenizer::Tokenizer;

/// The parts of a model, ready to run.
pub struct OpenedModel {
    pub config: ModelConfig,
    pub tokenizer: Arc<Tokenizer>,
    pub text_encoder: ClipText,
    pub unet: Unet,
    pub vae: Vae,
    /// Bytes of the weights in their files.
    pub file_bytes: u64,
    /// Bytes of the weights on the device.
    pub held_bytes: u64,
    pub parameters: u64,
    pub weight_files: Vec<PathBuf>,
    /// Of every file and folder that it depends on; none of the built-in model.
    pub fingerprints: Vec<FileFingerprint>,
}

/// Opens a model on a device, with another VAE than its own if one is given. `unet_dtype` is what its UNet computes in; text encoder and VAE, small
/// beside it and more easily upset, stay in f32.
///
/// Before any weight is read, `make_room` is told the bytes that all of them will take on the device.
/// `progress` is told the fraction of the bytes read, and answers whether to go on.
pub fn open(
    source: &ModelSource,
    vae: Option<&Path>,
    device: &Device,
    unet_dtype: FloatDType,
    make_room: &mut dyn FnMut(u64),
    progress: &mut dyn FnMut(f32) -> bool,
) -> Result<OpenedModel, OpenError> {
    let way = OpenOptions { source, vae, device, unet_dtype, make_room, progress };
    match source {
        ModelSource::File(path) => open_file(path, way),
        ModelSource::BuiltIn | ModelSource::Folder(_) => open_folder(way),
    }
}

/// How a model is to be opened.
struct OpenOptions<'a> {
    source: &'a ModelSource,
    vae: Option<&'a Path>,
    device: &'a Device,
    unet_dtype: FloatDType,
    make_room: &'a mut dyn FnMut(u64),
    progress: &'a mut dyn FnMut(f32) -> bool,
}

/// In diffusers layout: a folder of parts, each with its configuration.
fn open_folder(way: OpenOptions<'_>) -> Result<OpenedModel, OpenError> {
    let files = ComponentFiles::new(way.source);
    if let ModelSource::Folder(folder) = way.source {
        if !folder.exists() {
            return Err(OpenError::NotAModel("there is no such folder".into(), folder.clone()));
        }
        if !folder.is_dir() {
            return Err(OpenError::NotAModel("it is a file".into(), folder.clone()));
        }
    }
    let mut config = ModelConfig::read(&files)?;
    let chosen = choose_vae(way.vae, &mut config)?;
    let tokenizer = tokenizer(&files, &config, files.padding()?.as_deref())?;
    let text_file = files.weights("text_encoder", TRANSFORMERS)?;
    let unet_file = files.weights("unet", DIFFUSERS)?;
    let vae_file = if chosen.is_none() { Some(files.weights("vae", DIFFUSERS)?) } else { None };
    let own_vae = vae_file.as_ref().map(|file| ComponentSource { file, prefix: "", table: key_map::vae() });
    let parts = Parts {
        text_encoder: ComponentSource { file: &text_file, prefix: "", table: key_map::clip() },
        unet: ComponentSource { file: &unet_file, prefix: "", table: key_map::unet() },
        vae: own_vae.or(chosen.as_ref().map(VaeFile::part)).expect("a model's own VAE, or the one chosen"),
    };
    parts.load(config, tokenizer, way)
}

/// In the layout that Stable Diffusion was published in: one file, without configuration.
fn open_file(path: &Path, way: OpenOptions<'_>) -> Result<OpenedModel, OpenError> {
    let beginning = FileSignature::of(path).map_err(|error| OpenError::Unreadable(error, path.to_owned()))?;
    if beginning == FileSignature::Unknown {
        return Err(OpenError::NotAModel("it is a file of another kind".into(), path.to_owned()));
    }
    let file = WeightFile::open(path)?;
    let mut config = ldm_layout::config_of(&file)?;
    let chosen = choose_vae(way.vae, &mut config)?;
    let files = ComponentFiles::new(way.source);
    config.check(&files)?;
    let words = match tokenizer(&files, &config, None) {
        // A small model of the built-in one's family knows fewer words.
        Err(_) => tokenizer(&ComponentFiles::new(&ModelSource::BuiltIn), &config, None)?,
        fits => fits?,
    };
    let (prefix, table) = key_map::ldm_text(&config.text_encoder);
    let own_vae = || {
        let table = key_map::ldm_vae(&config.vae, key_map::VAE_PREFIX);
        ComponentSource { file: &file, prefix: key_map::VAE_PREFIX, table }
    };
    let parts = Parts {
        text_encoder: ComponentSource { file: &file, prefix, table },
        unet: ComponentSource {
            file: &file,
            prefix: key_map::UNET_PREFIX,
            table: key_map::ldm_unet(&config.unet),
        },
        vae: chosen.as_ref().map_or_else(own_vae, VaeFile::part),
    };
    parts.load(config, words, way)
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
    text_encoder: ComponentSource<'a>,
    unet: ComponentSource<'a>,
    vae: ComponentSource<'a>,
}

impl Parts<'_> {
    fn load(
        &self,
        config: ModelConfig,
        tokenizer: Tokenizer,
        way: OpenOptions<'_>,
    ) -> Result<OpenedModel, OpenError> {
        let OpenOptions { source, device, unet_dtype, make_room, progress, .. } = way;
        let exact = Target { device, dtype: FloatDType::F32 };
        let fast = Target { device, dtype: unet_dtype };
        let text_encoder = config.text_encoder.init(device);
        let unet = config.unet.init(device);
        let vae = config.vae.init(device);
        // All that is wanted is found before a number is read.
        let text_plan = LoadPlan::new(&text_encoder, &self.text_encoder, &exact)?;
        let unet_plan = LoadPlan::new(&unet, &self.unet, &fast)?;
        let vae_plan = LoadPlan::new(&vae, &self.vae, &exact)?;

        let file_bytes = text_plan.byte_len() + unet_plan.byte_len() + vae_plan.byte_len();
        let held_bytes = text_plan.held_bytes() + unet_plan.held_bytes() + vae_plan.held_bytes();
        let parts = [&self.text_encoder, &self.unet, &self.vae];
        let mut weight_files: Vec<PathBuf> =
            parts.iter().flat_map(|part| part.file.files()).map(Path::to_owned).collect();
        weight_files.dedup();
        let fingerprints = fingerprints_of(source, &weight_files);
        make_room(held_bytes);
        let mut read = 0;
        let mut count = |bytes: u64| {
            read += bytes;
            progress((read as f64 / file_bytes.max(1) as f64) as f32)
        };
        let text_encoder = text_plan.fill(text_encoder, &mut count)?;
        let unet = unet_plan.fill(unet, &mut count)?;
        let vae = vae_plan.fill(vae, &mut count)?;
        let parameters = text_encoder.num_params() + unet.num_params() + vae.num_params();
        Ok(OpenedModel {
            config,
            tokenizer: Arc::new(tokenizer),
            text_encoder,
            unet,
            vae,
            file_bytes,
            held_bytes,
            weight_files,
            fingerprints,
            parameters: parameters as u64,
        })
    }
}

/// The tokenizer of a model, checked against its text encoder. `padding` is what the files say of it.
pub(super) fn tokenizer(
    files: &ComponentFiles<'_>,
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
