//! Opens a model: reads its configuration, builds its networks, loads its weights and its tokenizer.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, FloatDType};

use super::component_files::{ComponentFiles, DIFFUSERS, TRANSFORMERS};
use super::config::ModelConfig;
use super::fingerprint::{FileFingerprint, fingerprints_of};
use super::load::{ComponentSource, LoadPlan, Target};
use super::missing_network::MissingNetwork;
use super::pipeline_class::PipelineClass;
use super::vae_file::VaeFile;
use super::weight_file::WeightFile;
use super::{ModelSource, OpenError, key_map, ldm_layout, tokenizer_files};
use crate::files::FileSignature;
use crate::format::first_few;
use crate::models::{ClipText, Unet, Vae};
use crate::tokenizer::Tokenizer;

/// The parts of a model, ready to run.
pub struct OpenedModel {
    pub source: ModelSource,
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
    /// Sentences about what is in the files and not used.
    pub notes: Vec<String>,
    /// Fingerprints of every file and folder that it depends on; empty for the built-in model.
    pub fingerprints: Vec<FileFingerprint>,
}

/// Opens a model on a device, with `vae` in place of its own VAE if one is given. The UNet computes in
/// `unet_dtype`; the text encoder and the VAE, which are small and numerically more sensitive, stay in f32.
///
/// Before any weight is read, `make_room` is called with the bytes that all weights will take on the
/// device. `progress` is called with the fraction of bytes read and returns whether to continue.
pub fn open(
    source: &ModelSource,
    vae: Option<&Path>,
    device: &Device,
    unet_dtype: FloatDType,
    make_room: &mut dyn FnMut(u64),
    progress: &mut dyn FnMut(f32) -> bool,
) -> Result<OpenedModel, OpenError> {
    let options = OpenOptions { source, vae, device, unet_dtype, make_room, progress };
    match source {
        ModelSource::File(path) => open_file(path, options),
        ModelSource::BuiltIn | ModelSource::Folder(_) => open_folder(options),
    }
}

/// The arguments of [`open`].
struct OpenOptions<'a> {
    source: &'a ModelSource,
    vae: Option<&'a Path>,
    device: &'a Device,
    unet_dtype: FloatDType,
    make_room: &'a mut dyn FnMut(u64),
    progress: &'a mut dyn FnMut(f32) -> bool,
}

impl OpenOptions<'_> {
    /// A VAE may be missing if one is chosen.
    fn check_missing(&self, missing: Option<MissingNetwork>) -> Result<(), OpenError> {
        match missing {
            None => Ok(()),
            Some(MissingNetwork::Vae) if self.vae.is_some() => Ok(()),
            Some(network) => Err(network.error(self.source)),
        }
    }
}

/// Opens the diffusers layout: a folder with a subfolder per component, each with its configuration.
fn open_folder(options: OpenOptions<'_>) -> Result<OpenedModel, OpenError> {
    let files = ComponentFiles::new(options.source);
    if let ModelSource::Folder(folder) = options.source {
        if !folder.exists() {
            return Err(OpenError::NotAModel("the folder does not exist".into(), folder.clone()));
        }
        if !folder.is_dir() {
            return Err(OpenError::NotAModel("it is a file".into(), folder.clone()));
        }
    }
    PipelineClass::of(&files)?.check(&files)?;
    if let ModelSource::Folder(folder) = options.source {
        options.check_missing(MissingNetwork::in_folder(folder))?;
    }
    let mut config = ModelConfig::read(&files, options.vae.is_none())?;
    let chosen_vae = choose_vae(options.vae, &mut config)?;
    let tokenizer = open_tokenizer(&files, &config, Some(&tokenizer_files::padding(&files)?))?;
    let text_file = files.weights("text_encoder", TRANSFORMERS)?;
    let unet_file = files.weights("unet", DIFFUSERS)?;
    let vae_file = if chosen_vae.is_none() { Some(files.weights("vae", DIFFUSERS)?) } else { None };
    let own_vae = vae_file.as_ref().map(|file| ComponentSource { file, prefix: "", key_map: key_map::vae() });
    let sources = ComponentSources {
        replaced: None,
        text_encoder: ComponentSource { file: &text_file, prefix: "", key_map: key_map::clip() },
        unet: ComponentSource { file: &unet_file, prefix: "", key_map: key_map::unet() },
        vae: own_vae
            .or(chosen_vae.as_ref().map(VaeFile::source))
            .expect("a model's own VAE, or the one chosen"),
    };
    sources.load(config, tokenizer, options)
}

/// Opens the original (LDM) layout: one file without configuration.
fn open_file(path: &Path, options: OpenOptions<'_>) -> Result<OpenedModel, OpenError> {
    let signature =
        FileSignature::read(path).map_err(|error| OpenError::Unreadable(error, path.to_owned()))?;
    if signature == FileSignature::Unknown {
        return Err(OpenError::NotAModel("it is another kind of file".into(), path.to_owned()));
    }
    let file = WeightFile::open(path)?;
    options.check_missing(MissingNetwork::in_file(&file))?;
    let mut config = ldm_layout::read_config(&file, options.vae.is_none())?;
    let chosen_vae = choose_vae(options.vae, &mut config)?;
    let files = ComponentFiles::new(options.source);
    config.check(&files)?;
    let tokenizer = match open_tokenizer(&files, &config, None) {
        // A small model of the built-in one's family has its vocabulary.
        Err(_) => open_tokenizer(&ComponentFiles::new(&ModelSource::BuiltIn), &config, None)?,
        opened => opened?,
    };
    let (prefix, key_map) = key_map::ldm_text(&config.text_encoder);
    let own_vae = || {
        let key_map = key_map::ldm_vae(&config.vae, key_map::VAE_PREFIX);
        ComponentSource { file: &file, prefix: key_map::VAE_PREFIX, key_map }
    };
    let sources = ComponentSources {
        replaced: chosen_vae.is_some().then_some(key_map::VAE_PREFIX),
        text_encoder: ComponentSource { file: &file, prefix, key_map },
        unet: ComponentSource {
            file: &file,
            prefix: key_map::UNET_PREFIX,
            key_map: key_map::ldm_unet(&config.unet, ldm_layout::has_holes(&file)),
        },
        vae: chosen_vae.as_ref().map_or_else(own_vae, VaeFile::source),
    };
    sources.load(config, tokenizer, options)
}

/// Opens the VAE that replaces the model's own and puts its configuration in place.
fn choose_vae(path: Option<&Path>, config: &mut ModelConfig) -> Result<Option<VaeFile>, OpenError> {
    let chosen_vae = path.map(|path| VaeFile::open(path, &config.vae)).transpose()?;
    if let Some(vae) = &chosen_vae {
        config.vae = vae.config.clone();
    }
    Ok(chosen_vae)
}

/// The weights of each network and their names.
struct ComponentSources<'a> {
    /// The prefix of a component in the file that another file replaces.
    replaced: Option<&'static str>,
    text_encoder: ComponentSource<'a>,
    unet: ComponentSource<'a>,
    vae: ComponentSource<'a>,
}

impl ComponentSources<'_> {
    fn load(
        &self,
        config: ModelConfig,
        tokenizer: Tokenizer,
        options: OpenOptions<'_>,
    ) -> Result<OpenedModel, OpenError> {
        let OpenOptions { source, vae: chosen_vae, device, unet_dtype, make_room, progress } = options;
        let f32_target = Target { device, dtype: FloatDType::F32 };
        let unet_target = Target { device, dtype: unet_dtype };
        let text_encoder = config.text_encoder.init(device);
        let unet = config.unet.init(device);
        let vae = config.vae.init(device);
        // Every weight is located before any is read.
        let text_plan = LoadPlan::new(&text_encoder, &self.text_encoder, &f32_target)?;
        let unet_plan = LoadPlan::new(&unet, &self.unet, &unet_target)?;
        let vae_plan = LoadPlan::new(&vae, &self.vae, &f32_target)?;

        let file_bytes = text_plan.byte_len() + unet_plan.byte_len() + vae_plan.byte_len();
        let held_bytes = text_plan.held_bytes() + unet_plan.held_bytes() + vae_plan.held_bytes();
        let sources = [&self.text_encoder, &self.unet, &self.vae];
        let mut weight_files: Vec<PathBuf> =
            sources.iter().flat_map(|source| source.file.files()).map(Path::to_owned).collect();
        weight_files.dedup();
        let fingerprints = fingerprints_of(source, chosen_vae, &weight_files);
        let used = [&text_plan, &unet_plan, &vae_plan].map(|plan| plan.names().collect());
        let notes = self.notes(&sources, &used);
        make_room(held_bytes);
        let mut read = 0;
        let mut report = |bytes: u64| {
            read += bytes;
            progress((read as f64 / file_bytes.max(1) as f64) as f32)
        };
        let text_encoder = text_plan.fill(text_encoder, &mut report)?;
        let unet = unet_plan.fill(unet, &mut report)?;
        let vae = vae_plan.fill(vae, &mut report)?;
        let parameters = text_encoder.num_params() + unet.num_params() + vae.num_params();
        Ok(OpenedModel {
            source: source.clone(),
            config,
            tokenizer: Arc::new(tokenizer),
            text_encoder,
            unet,
            vae,
            file_bytes,
            held_bytes,
            weight_files,
            notes,
            fingerprints,
            parameters: parameters as u64,
        })
    }

    /// A sentence for each file with weights that no component uses, unless they are known to be of no use.
    /// transformers and A1111 ignore such weights too.
    fn notes(&self, sources: &[&ComponentSource<'_>; 3], used: &[BTreeSet<&str>; 3]) -> Vec<String> {
        let mut notes: Vec<String> = Vec::new();
        let mut files: Vec<&WeightFile> = sources.iter().map(|source| source.file).collect();
        files.dedup_by_key(|file| file.path());
        for file in files {
            let parts = || sources.iter().zip(used).filter(|(source, _)| source.file.path() == file.path());
            let is_ignored = |name: &str| {
                key_map::is_training_state(name)
                    || self.replaced.is_some_and(|prefix| name.starts_with(prefix))
                    || parts().any(|(source, used)| {
                        let inner = name.strip_prefix(source.prefix);
                        used.contains(name) || inner.is_some_and(|inner| source.key_map.is_ignored(inner))
                    })
            };
            let names: Vec<&str> = file.names().filter(|name| !is_ignored(name)).collect();
            if names.is_empty() {
                continue;
            }
            let count = match names.len() {
                1 => "1 weight is not part of the model and was ignored".to_owned(),
                count => format!("{count} weights are not part of the model and were ignored"),
            };
            notes.push(format!("{count} ({}): {}", first_few(&names), file.path().display()));
        }
        notes
    }
}

/// Opens the tokenizer of a model and checks it against the text encoder. `padding` is the padding token
/// that the files name, if any.
pub(super) fn open_tokenizer(
    files: &ComponentFiles<'_>,
    config: &ModelConfig,
    padding: Option<&str>,
) -> Result<Tokenizer, OpenError> {
    let text_encoder = &config.text_encoder;
    let tokenizer = tokenizer_files::read(files, text_encoder.max_position_embeddings)?
        .padded_with(padding.unwrap_or(text_encoder.padding()))
        .map_err(|what| OpenError::BadConfig(what, files.path("tokenizer")))?;
    if tokenizer.vocabulary_len() > text_encoder.vocab_size {
        let what = format!(
            "a vocabulary of {} tokens where the text encoder has {}",
            tokenizer.vocabulary_len(),
            text_encoder.vocab_size
        );
        return Err(OpenError::BadConfig(what, files.path("tokenizer")));
    }
    Ok(tokenizer)
}
