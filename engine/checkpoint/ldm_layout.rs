//! One-file checkpoints in the layout that Stable Diffusion was published in (latent-diffusion's, "original"
//! in diffusers' words). They have no configuration: it is derived from the shapes of the weights, and the
//! rest is as in SD 1.5 or SD 2.x.

use std::fs::File;
use std::io::Read;

use super::OpenError;
use super::config::ModelConfig;
use super::detect::{WeightKind, kind_of};
use super::key_map::{CLIP_PREFIX, OPEN_CLIP_PREFIX, UNET_PREFIX, VAE_PREFIX};
use super::weight_file::WeightFile;
use crate::diffusion::Prediction;
use crate::files::visit_scalars;
use crate::models::{Activation, ClipTextConfig, PerLevel, UnetConfig, VaeConfig};

/// More levels, or layers of a level, than any network of this kind has.
const MAX_BLOCKS: usize = 64;
/// The head width of OpenAI's and OpenCLIP's text encoders and of the UNets of SD 2.x.
const HEAD_WIDTH: usize = 64;
/// Layers of OpenCLIP's ViT-H/14 that SD 2.x uses: all but the last.
const VIT_H_LAYERS: usize = 23;
/// Side of the latents that SD 2.x was trained on to predict v; it was 64 before.
const V_PREDICTION_SIDE: usize = 96;
/// Larger than any configuration published with a checkpoint.
const MAX_YAML_BYTES: u64 = 1 << 20;

/// Derives the configuration of a one-file checkpoint of SD 1.x or SD 2.x. Without `needs_vae`, its VAE may
/// be missing or incomplete, because another one was chosen.
///
/// # Errors
/// What the file is, if it is something else.
pub fn read_config(file: &WeightFile, needs_vae: bool) -> Result<ModelConfig, OpenError> {
    let kind = kind_of(file);
    let is_sd2 = match kind {
        WeightKind::StableDiffusion1 => false,
        WeightKind::StableDiffusion2 => true,
        _ => return Err(OpenError::WrongKind(kind, file.path().to_owned())),
    };
    let sd15 = ModelConfig::sd15();
    let read = || {
        Ok(ModelConfig {
            unet: unet(file, sd15.unet)?,
            vae: match vae_config(file, sd15.vae.clone(), VAE_PREFIX, true) {
                Err(name) if needs_vae => return Err(name),
                vae => vae.unwrap_or(sd15.vae),
            },
            text_encoder: match is_sd2 {
                true => open_clip(file, sd15.text_encoder)?,
                false => text_encoder(file, sd15.text_encoder)?,
            },
            scheduler: sd15.scheduler,
        })
    };
    let mut config = read().map_err(|name: String| OpenError::Missing(name, file.path().to_owned()))?;
    if is_sd2 {
        let heads = config.unet.block_out_channels.iter().map(|channels| channels / HEAD_WIDTH);
        config.unet.attention_head_dim = PerLevel::Each(heads.collect());
        config.unet.upcast_attention = true;
    }
    let training = TrainingSettings::beside(file)?;
    let prediction = match training.prediction {
        None if is_sd2 => prediction_of_sd2(file)?,
        None => Prediction::Epsilon.name().into(),
        Some(value) => value,
    };
    if is_sd2 && prediction == Prediction::V.name() {
        config.unet.sample_size = Some(V_PREDICTION_SIDE);
    }
    let scheduler = &mut config.scheduler;
    scheduler.prediction_type = prediction;
    scheduler.beta_start = training.beta_start.unwrap_or(scheduler.beta_start);
    scheduler.beta_end = training.beta_end.unwrap_or(scheduler.beta_end);
    scheduler.num_train_timesteps = training.train_steps.unwrap_or(scheduler.num_train_timesteps);
    Ok(config)
}

/// What the YAML file that was published with a checkpoint says of its training.
#[derive(Default)]
struct TrainingSettings {
    prediction: Option<String>,
    beta_start: Option<f64>,
    beta_end: Option<f64>,
    train_steps: Option<usize>,
}

impl TrainingSettings {
    /// Nothing if there is no such file.
    fn beside(file: &WeightFile) -> Result<Self, OpenError> {
        let path = file.path().with_extension("yaml");
        if !path.is_file() {
            return Ok(Self::default());
        }
        let mut bytes = Vec::new();
        if let Err(error) =
            File::open(&path).and_then(|yaml| yaml.take(MAX_YAML_BYTES).read_to_end(&mut bytes))
        {
            return Err(OpenError::Unreadable(error, path));
        }
        // Whatever the encoding of its comments, the keys are ASCII.
        Self::read(&String::from_utf8_lossy(&bytes)).map_err(|what| OpenError::BadConfig(what, path))
    }

    fn read(yaml: &str) -> Result<Self, String> {
        let (mut settings, mut is_model) = (Self::default(), false);
        visit_scalars(yaml, &mut |keys, text| {
            let keys: Vec<&str> = keys.iter().map(|key| &**key).collect();
            is_model |= keys.starts_with(&["model", "params"]);
            match keys[..] {
                [.., "parameterization"] => settings.prediction = Some(prediction_named(text)),
                ["model", "params", "linear_start"] => settings.beta_start = text.parse().ok(),
                ["model", "params", "linear_end"] => settings.beta_end = text.parse().ok(),
                ["model", "params", "timesteps"] => settings.train_steps = text.parse().ok(),
                _ => {}
            }
        })?;
        // The default of latent-diffusion, which SD 2.x at 512 pixels relies on.
        if is_model && settings.prediction.is_none() {
            settings.prediction = Some(prediction_named("eps"));
        }
        Ok(settings)
    }
}

/// diffusers' name of a prediction type of latent-diffusion.
fn prediction_named(name: &str) -> String {
    match name {
        "v" => Prediction::V.name().into(),
        "eps" => Prediction::Epsilon.name().into(),
        other => other.into(),
    }
}

/// Training to predict v increased the spread of the biases of the last attention's first norm: ComfyUI
/// detects it by a standard deviation above 0.09 (`supported_models.py`, SD20).
fn prediction_of_sd2(file: &WeightFile) -> Result<String, OpenError> {
    let mut names = (0..MAX_BLOCKS)
        .rev()
        .map(|block| format!("{UNET_PREFIX}output_blocks.{block}.1.transformer_blocks.0.norm1.bias"));
    let biases = match names.find(|name| has(file, name)) {
        Some(name) => file.read(&name)?.0,
        None => Vec::new(),
    };
    let mean = |values: &mut dyn Iterator<Item = f32>| values.sum::<f32>() / biases.len().max(1) as f32;
    let average = mean(&mut biases.iter().copied());
    let deviation = mean(&mut biases.iter().map(|bias| (bias - average).powi(2))).sqrt();
    Ok(if deviation > 0.09 { Prediction::V } else { Prediction::Epsilon }.name().into())
}

/// The length of one axis of a tensor; `Err` is the key of the missing tensor.
fn axis_len(file: &WeightFile, name: String, axis: usize) -> Result<usize, String> {
    file.shape(&name).and_then(|shape| shape.get(axis)).copied().ok_or(name)
}

fn has(file: &WeightFile, name: &str) -> bool {
    file.shape(name).is_some()
}

/// True if the blocks of a distilled UNet, which has one layer on each level, are numbered as though it had two.
/// diffusers' `convert_diffusers_to_original_stable_diffusion.py` does so.
pub fn has_holes(file: &WeightFile) -> bool {
    let has_block = |rest: &str| has(file, &format!("{UNET_PREFIX}input_blocks.{rest}"));
    has_block("3.0.op.weight") && !has_block("2.0.in_layers.2.weight") && !has_block("2.0.op.weight")
}

fn unet(file: &WeightFile, mut config: UnetConfig) -> Result<UnetConfig, String> {
    let name = |rest: &str| format!("{UNET_PREFIX}{rest}");
    let (mut channels, mut layers, mut types) = (Vec::new(), Vec::new(), Vec::new());
    let (mut level_layers, mut level_channels, mut level_attends) = (0, 0, false);
    let has_holes = has_holes(file);
    for block in 1..MAX_BLOCKS {
        if has_holes && block % 3 == 2 {
            continue;
        }
        let block = name(&format!("input_blocks.{block}"));
        let resnet = format!("{block}.0.in_layers.2.weight");
        if has(file, &resnet) {
            level_layers += 1;
            level_channels = axis_len(file, resnet, 0)?;
            level_attends |= has(file, &format!("{block}.1.norm.weight"));
            continue;
        }
        channels.push(level_channels);
        layers.push(level_layers);
        types.push(level_attends);
        (level_layers, level_attends) = (0, false);
        if !has(file, &format!("{block}.0.op.weight")) {
            break;
        }
    }
    if layers.contains(&0) {
        return Err(name("input_blocks.1.0.in_layers.2.weight"));
    }
    let block_type = |attends: bool, direction: &str| match attends {
        true => format!("CrossAttn{direction}Block2D"),
        false => format!("{direction}Block2D"),
    };
    // Distilled models lack the middle, or its attention.
    let has_part = |part: &str| has(file, &name(part));
    if !has_part("middle_block.1.norm.weight") {
        config.mid_block_type =
            has_part("middle_block.0.in_layers.2.weight").then(|| "UNetMidBlock2D".into());
    }
    let to_k = "transformer_blocks.0.attn2.to_k.weight";
    let down = (1..MAX_BLOCKS).map(|block| format!("input_blocks.{block}.1."));
    let mut transformers = ["middle_block.1.".to_owned()].into_iter().chain(down);
    let transformer = transformers.find(|transformer| has_part(&format!("{transformer}{to_k}")));
    let transformer = &transformer.ok_or_else(|| name("middle_block.1.") + to_k)?;
    config.in_channels = axis_len(file, name("input_blocks.0.0.weight"), 1)?;
    config.out_channels = axis_len(file, name("out.2.weight"), 0)?;
    config.cross_attention_dim = axis_len(file, name(transformer) + to_k, 1)?;
    let proj_in = name(transformer) + "proj_in.weight";
    config.use_linear_projection = file.shape(&proj_in).is_some_and(|shape| shape.len() == 2);
    config.block_out_channels = channels;
    config.layers_per_block = PerLevel::Each(layers);
    config.down_block_types = types.iter().map(|&attends| block_type(attends, "Down")).collect();
    config.up_block_types = types.iter().rev().map(|&attends| block_type(attends, "Up")).collect();
    Ok(config)
}

/// Derives the configuration of a VAE whose keys begin with `prefix`, in the LDM layout or in diffusers'.
/// What shapes do not tell is taken from `config`; `Err` is the key of a missing weight.
pub fn vae_config(
    file: &WeightFile,
    mut config: VaeConfig,
    prefix: &str,
    is_ldm: bool,
) -> Result<VaeConfig, String> {
    let block = |level: usize, layer: usize| match is_ldm {
        true => format!("{prefix}encoder.down.{level}.block.{layer}.conv1.weight"),
        false => format!("{prefix}encoder.down_blocks.{level}.resnets.{layer}.conv1.weight"),
    };
    let levels = (0..MAX_BLOCKS).take_while(|&level| has(file, &block(level, 0))).count();
    config.block_out_channels =
        (0..levels).map(|level| axis_len(file, block(level, 0), 0)).collect::<Result<_, _>>()?;
    config.layers_per_block = (0..MAX_BLOCKS).take_while(|&layer| has(file, &block(0, layer))).count();
    if levels == 0 {
        return Err(block(0, 0));
    }
    config.latent_channels = axis_len(file, format!("{prefix}post_quant_conv.weight"), 0)?;
    Ok(config)
}

fn text_encoder(file: &WeightFile, mut config: ClipTextConfig) -> Result<ClipTextConfig, String> {
    let inner = format!("{CLIP_PREFIX}text_model.");
    let inner = if file.has_prefix(&inner) { inner } else { CLIP_PREFIX.into() };
    let table = format!("{inner}embeddings.token_embedding.weight");
    config.vocab_size = axis_len(file, table.clone(), 0)?;
    config.hidden_size = axis_len(file, table, 1)?;
    config.max_position_embeddings =
        axis_len(file, format!("{inner}embeddings.position_embedding.weight"), 0)?;
    config.intermediate_size = axis_len(file, format!("{inner}encoder.layers.0.mlp.fc1.weight"), 0)?;
    config.num_hidden_layers = (0..MAX_BLOCKS)
        .take_while(|layer| has(file, &format!("{inner}encoder.layers.{layer}.mlp.fc1.weight")))
        .count();
    config.num_attention_heads = (config.hidden_size / HEAD_WIDTH).max(1);
    Ok(config)
}

fn open_clip(file: &WeightFile, mut config: ClipTextConfig) -> Result<ClipTextConfig, String> {
    let name = |rest: &str| format!("{OPEN_CLIP_PREFIX}{rest}");
    let fc1 = |layer: usize| name(&format!("transformer.resblocks.{layer}.mlp.c_fc.weight"));
    config.vocab_size = axis_len(file, name("token_embedding.weight"), 0)?;
    config.hidden_size = axis_len(file, name("token_embedding.weight"), 1)?;
    config.max_position_embeddings = axis_len(file, name("positional_embedding"), 0)?;
    config.intermediate_size = axis_len(file, fc1(0), 0)?;
    // The last layer is not used, and files that were converted back from diffusers lack it.
    let layers = (0..MAX_BLOCKS).take_while(|&layer| has(file, &fc1(layer))).count();
    config.num_hidden_layers = if layers == VIT_H_LAYERS { layers } else { layers - 1 };
    config.num_attention_heads = (config.hidden_size / HEAD_WIDTH).max(1);
    config.hidden_act = Activation::Gelu;
    Ok(config)
}
