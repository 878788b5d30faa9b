//! One-file checkpoints in the layout that Stable Diffusion was published in, which bring no
//! configuration: what shapes tell is read off them, the rest is as in SD 1.5.

use super::OpenError;
use super::config::ModelConfig;
use super::kind::{WeightKind, kind_of};
use super::names::{CLIP_PREFIX, UNET_PREFIX, VAE_PREFIX};
use super::weights::WeightFile;
use crate::models::{ClipTextConfig, PerLevel, UnetConfig, VaeConfig};

/// Levels, and layers of a level, beyond which no network of this kind goes.
const MOST_BLOCKS: usize = 64;
/// Every head of OpenAI's text encoders is as wide.
const CLIP_HEAD_WIDTH: usize = 64;

/// The configuration of a one-file checkpoint of SD 1.x.
///
/// # Errors
/// What the file is, if it is something else.
pub fn config_of(file: &WeightFile) -> Result<ModelConfig, OpenError> {
    let kind = kind_of(file);
    if kind != WeightKind::StableDiffusion1 {
        return Err(OpenError::WrongKind(kind, file.path().to_owned()));
    }
    let sd15 = ModelConfig::of_sd15();
    let read = || {
        Ok(ModelConfig {
            unet: unet(file, sd15.unet)?,
            vae: vae(file, sd15.vae)?,
            text_encoder: text_encoder(file, sd15.text_encoder)?,
            scheduler: sd15.scheduler,
        })
    };
    read().map_err(|name: String| OpenError::Missing(name, file.path().to_owned()))
}

/// A side of a tensor; `Err` is its name.
fn side(file: &WeightFile, name: String, axis: usize) -> Result<usize, String> {
    file.shape(&name).and_then(|shape| shape.get(axis)).copied().ok_or(name)
}

fn has(file: &WeightFile, name: &str) -> bool {
    file.shape(name).is_some()
}

fn unet(file: &WeightFile, mut config: UnetConfig) -> Result<UnetConfig, String> {
    let name = |rest: &str| format!("{UNET_PREFIX}{rest}");
    let (mut channels, mut layers, mut types) = (Vec::new(), Vec::new(), Vec::new());
    let (mut level_layers, mut level_channels, mut level_attends) = (0, 0, false);
    for block in 1..MOST_BLOCKS {
        let block = name(&format!("input_blocks.{block}"));
        let resnet = format!("{block}.0.in_layers.2.weight");
        if has(file, &resnet) {
            level_layers += 1;
            level_channels = side(file, resnet, 0)?;
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
    let block_type = |attends: bool, way: &str| match attends {
        true => format!("CrossAttn{way}Block2D"),
        false => format!("{way}Block2D"),
    };
    let middle = name("middle_block.1.");
    config.in_channels = side(file, name("input_blocks.0.0.weight"), 1)?;
    config.out_channels = side(file, name("out.2.weight"), 0)?;
    config.cross_attention_dim = side(file, format!("{middle}transformer_blocks.0.attn2.to_k.weight"), 1)?;
    config.use_linear_projection =
        file.shape(&format!("{middle}proj_in.weight")).is_some_and(|shape| shape.len() == 2);
    config.block_out_channels = channels;
    config.layers_per_block = PerLevel::Each(layers);
    config.down_block_types = types.iter().map(|&attends| block_type(attends, "Down")).collect();
    config.up_block_types = types.iter().rev().map(|&attends| block_type(attends, "Up")).collect();
    Ok(config)
}

fn vae(file: &WeightFile, mut config: VaeConfig) -> Result<VaeConfig, String> {
    let block =
        |level: usize, layer: usize| format!("{VAE_PREFIX}encoder.down.{level}.block.{layer}.conv1.weight");
    let levels = (0..MOST_BLOCKS).take_while(|&level| has(file, &block(level, 0))).count();
    config.block_out_channels =
        (0..levels).map(|level| side(file, block(level, 0), 0)).collect::<Result<_, _>>()?;
    config.layers_per_block = (0..MOST_BLOCKS).take_while(|&layer| has(file, &block(0, layer))).count();
    if levels == 0 {
        return Err(block(0, 0));
    }
    config.latent_channels = side(file, format!("{VAE_PREFIX}post_quant_conv.weight"), 0)?;
    Ok(config)
}

fn text_encoder(file: &WeightFile, mut config: ClipTextConfig) -> Result<ClipTextConfig, String> {
    let inner = format!("{CLIP_PREFIX}text_model.");
    let inner = if file.names().any(|name| name.starts_with(&inner)) { inner } else { CLIP_PREFIX.into() };
    let table = format!("{inner}embeddings.token_embedding.weight");
    config.vocab_size = side(file, table.clone(), 0)?;
    config.hidden_size = side(file, table, 1)?;
    config.max_position_embeddings = side(file, format!("{inner}embeddings.position_embedding.weight"), 0)?;
    config.intermediate_size = side(file, format!("{inner}encoder.layers.0.mlp.fc1.weight"), 0)?;
    config.num_hidden_layers = (0..MOST_BLOCKS)
        .take_while(|layer| has(file, &format!("{inner}encoder.layers.{layer}.mlp.fc1.weight")))
        .count();
    config.num_attention_heads = (config.hidden_size / CLIP_HEAD_WIDTH).max(1);
    Ok(config)
}
