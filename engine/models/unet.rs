//! The network that predicts noise (diffusers' `UNet2DConditionModel`, as SD 1.x and 2.x use it).

use burn::module::Module;
use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use serde::Deserialize;

use super::layers::{Conv2d, GroupNorm, Linear, Padding, cat_channels, silu, upsample_nearest};
use super::resnet::{ResnetBlock, ResnetConfig};
use super::transformer::{Context, SpatialTransformer, TransformerConfig};
use super::{CancelCheck, check_cancelled};
use crate::error::EngineError;

/// The parts of `unet/config.json` that affect the network.
#[derive(Clone, Debug, Deserialize)]
pub struct UnetConfig {
    #[serde(default = "four")]
    pub in_channels: usize,
    #[serde(default = "four")]
    pub out_channels: usize,
    pub block_out_channels: Vec<usize>,
    pub down_block_types: Vec<String>,
    pub up_block_types: Vec<String>,
    pub layers_per_block: PerLevel,
    pub cross_attention_dim: usize,
    /// The number of heads of each level, despite its name: diffusers confused the two when SD 1.x was
    /// converted, and every file since has kept the mistake.
    pub attention_head_dim: PerLevel,
    #[serde(default)]
    pub num_attention_heads: Option<PerLevel>,
    #[serde(default = "one")]
    pub transformer_layers_per_block: PerLevel,
    #[serde(default = "thirty_two")]
    pub norm_num_groups: usize,
    #[serde(default = "default_epsilon")]
    pub norm_eps: f64,
    #[serde(default)]
    pub use_linear_projection: bool,
    /// Attention scores are computed in f32: those of SD 2.1 overflow in f16.
    #[serde(default)]
    pub upcast_attention: bool,
    #[serde(default = "yes")]
    pub flip_sin_to_cos: bool,
    #[serde(default)]
    pub freq_shift: f64,
    #[serde(default)]
    pub sample_size: Option<usize>,
}

/// One number for every level, or one for each.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum PerLevel {
    Same(usize),
    Each(Vec<usize>),
}

impl PerLevel {
    pub fn at(&self, level: usize) -> usize {
        match self {
            Self::Same(value) => *value,
            Self::Each(values) => values[level],
        }
    }

    fn fits(&self, levels: usize) -> bool {
        match self {
            Self::Same(value) => *value > 0,
            Self::Each(values) => values.len() == levels && values.iter().all(|&value| value > 0),
        }
    }
}

// The defaults of diffusers.
fn four() -> usize {
    4
}
fn one() -> PerLevel {
    PerLevel::Same(1)
}
fn thirty_two() -> usize {
    32
}
fn default_epsilon() -> f64 {
    1e-5
}
fn yes() -> bool {
    true
}

impl UnetConfig {
    /// Checks the configuration; the error is what is not supported.
    pub fn check(&self) -> Result<(), String> {
        let levels = self.block_out_channels.len();
        if levels == 0 || self.down_block_types.len() != levels || self.up_block_types.len() != levels {
            return Err("block_out_channels, down_block_types and up_block_types differ in length".into());
        }
        let known = ["CrossAttnDownBlock2D", "DownBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"];
        let types = self.down_block_types.iter().chain(&self.up_block_types);
        if let Some(unknown) = types.into_iter().find(|name| !known.contains(&name.as_str())) {
            return Err(format!("a block of type {unknown}"));
        }
        for (name, value) in [
            ("layers_per_block", &self.layers_per_block),
            ("attention_head_dim", self.heads()),
            ("transformer_layers_per_block", &self.transformer_layers_per_block),
        ] {
            if !value.fits(levels) {
                return Err(format!("a {name} that does not fit its {levels} levels"));
            }
        }
        for (level, &channels) in self.block_out_channels.iter().enumerate() {
            if channels == 0 || channels % self.norm_num_groups.max(1) != 0 {
                return Err(format!("{channels} channels in {} groups", self.norm_num_groups));
            }
            if channels % self.heads().at(level) != 0 {
                return Err(format!("{channels} channels in {} heads", self.heads().at(level)));
            }
        }
        Ok(())
    }

    pub fn heads(&self) -> &PerLevel {
        self.num_attention_heads.as_ref().unwrap_or(&self.attention_head_dim)
    }

    fn resnet(&self, inputs: usize, outputs: usize) -> ResnetConfig {
        ResnetConfig {
            inputs,
            outputs,
            groups: self.norm_num_groups,
            epsilon: self.norm_eps,
            time_width: Some(4 * self.block_out_channels[0]),
        }
    }

    fn transformer(&self, level: usize) -> TransformerConfig {
        TransformerConfig {
            channels: self.block_out_channels[level],
            heads: self.heads().at(level),
            layers: self.transformer_layers_per_block.at(level),
            context_width: self.cross_attention_dim,
            groups: self.norm_num_groups,
            linear_projection: self.use_linear_projection,
            upcast: self.upcast_attention,
        }
    }

    pub fn init(&self, device: &Device) -> Unet {
        let channels = &self.block_out_channels;
        let (first, last) = (channels[0], channels.len() - 1);
        let transformers = |kind: &str, level: usize, count: usize| -> Vec<SpatialTransformer> {
            let count = if kind.starts_with("CrossAttn") { count } else { 0 };
            (0..count).map(|_| self.transformer(level).init(device)).collect()
        };

        let down_blocks = (0..=last)
            .map(|level| {
                let inputs = channels[level.saturating_sub(1)];
                let layers = self.layers_per_block.at(level);
                let resnets = (0..layers)
                    .map(|layer| if layer == 0 { inputs } else { channels[level] })
                    .map(|inputs| self.resnet(inputs, channels[level]).init(device))
                    .collect();
                let downsampler =
                    || Downsampler { conv: Conv2d::downsampling(channels[level], Padding::Even(1), device) };
                DownBlock {
                    resnets,
                    attentions: transformers(&self.down_block_types[level], level, layers),
                    downsamplers: (level < last).then(downsampler).into_iter().collect(),
                }
            })
            .collect();

        let mid_block = MidBlock {
            resnets: (0..2).map(|_| self.resnet(channels[last], channels[last]).init(device)).collect(),
            attentions: vec![self.transformer(last).init(device)],
        };

        let up_blocks = (0..=last)
            .map(|block| {
                let level = last - block;
                let (below, above) = (channels[(level + 1).min(last)], channels[level.saturating_sub(1)]);
                let layers = self.layers_per_block.at(level) + 1;
                let resnets = (0..layers)
                    .map(|layer| {
                        let inputs = if layer == 0 { below } else { channels[level] };
                        let skip = if layer == layers - 1 { above } else { channels[level] };
                        self.resnet(inputs + skip, channels[level]).init(device)
                    })
                    .collect();
                let upsampler = || Upsampler { conv: Conv2d::new([channels[level]; 2], 3, device) };
                UpBlock {
                    resnets,
                    attentions: transformers(&self.up_block_types[block], level, layers),
                    upsamplers: (level > 0).then(upsampler).into_iter().collect(),
                }
            })
            .collect();

        Unet {
            conv_in: Conv2d::new([self.in_channels, first], 3, device),
            time_embedding: TimeEmbedding {
                linear_1: Linear::new(first, 4 * first, device),
                linear_2: Linear::new(4 * first, 4 * first, device),
            },
            down_blocks,
            mid_block,
            up_blocks,
            conv_norm_out: GroupNorm::new(self.norm_num_groups, first, self.norm_eps, device),
            conv_out: Conv2d::new([first, self.out_channels], 3, device),
            time_channels: first,
            flip_sin_to_cos: self.flip_sin_to_cos,
            freq_shift: self.freq_shift,
        }
    }
}

#[derive(Module, Debug)]
pub struct Unet {
    conv_in: Conv2d,
    time_embedding: TimeEmbedding,
    down_blocks: Vec<DownBlock>,
    mid_block: MidBlock,
    up_blocks: Vec<UpBlock>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
    #[module(skip)]
    time_channels: usize,
    #[module(skip)]
    flip_sin_to_cos: bool,
    #[module(skip)]
    freq_shift: f64,
}

impl Unet {
    /// Predicts the noise in `x`.
    ///
    /// # Shapes
    /// - x: `[batch, in_channels, height, width]`, scaled as the model was trained
    /// - timestep: 0 to 999, fractions allowed
    /// - text of the context: `[batch, tokens, cross_attention_dim]`
    /// - output: `[batch, out_channels, height, width]`
    ///
    /// # Errors
    /// [`EngineError::Stopped`] if cancelled between two blocks.
    pub fn forward(
        &self,
        x: Tensor<4>,
        timestep: f32,
        context: Context<'_>,
        is_cancelled: &CancelCheck<'_>,
    ) -> Result<Tensor<4>, EngineError> {
        let time = self.time_embedding.forward(self.sinusoid(timestep, &x));
        let time = &time.repeat_dim(0, x.dims()[0]);

        let mut x = self.conv_in.forward(x);
        let mut skips = vec![x.clone()];
        for block in &self.down_blocks {
            for (layer, resnet) in block.resnets.iter().enumerate() {
                check_cancelled(is_cancelled)?;
                x = resnet.forward(x, Some(time));
                if let Some(attention) = block.attentions.get(layer) {
                    x = attention.forward(x, context);
                }
                skips.push(x.clone());
            }
            for downsampler in &block.downsamplers {
                x = downsampler.conv.forward(x);
                skips.push(x.clone());
            }
        }

        check_cancelled(is_cancelled)?;
        x = self.mid_block.resnets[0].forward(x, Some(time));
        x = self.mid_block.attentions[0].forward(x, context);
        x = self.mid_block.resnets[1].forward(x, Some(time));

        for block in &self.up_blocks {
            for (layer, resnet) in block.resnets.iter().enumerate() {
                check_cancelled(is_cancelled)?;
                let skip = skips.pop().expect("a skip for every resnet on the way up");
                x = resnet.forward(cat_channels(x, skip), Some(time));
                if let Some(attention) = block.attentions.get(layer) {
                    x = attention.forward(x, context);
                }
            }
            for upsampler in &block.upsamplers {
                // The size of the next skip connection: twice an odd size would be wrong.
                let [_, _, height, width] = skips.last().expect("a skip above an upsampler").dims();
                x = upsampler.conv.forward(upsample_nearest(x, height, width));
            }
        }
        Ok(self.conv_out.forward(self.conv_norm_out.forward_silu(x)))
    }

    /// The timestep as sines and cosines of geometrically spaced frequencies, `[1, 1, channels]`.
    fn sinusoid(&self, timestep: f32, like: &Tensor<4>) -> Tensor<3> {
        let half = self.time_channels / 2;
        let angles: Vec<f32> = (0..half)
            .map(|i| -(10_000f64.ln()) * i as f64 / (half as f64 - self.freq_shift))
            .map(|exponent| (exponent as f32).exp() * timestep)
            .collect();
        let sines = angles.iter().map(|angle| angle.sin());
        let cosines = angles.iter().map(|angle| angle.cos());
        let values: Vec<f32> = match self.flip_sin_to_cos {
            true => cosines.chain(sines).collect(),
            false => sines.chain(cosines).collect(),
        };
        let dtype: FloatDType = like.dtype().into();
        let sinusoid: Tensor<1> = Tensor::from_data(TensorData::new(values, [2 * half]), &like.device());
        sinusoid.cast(dtype).reshape([1, 1, 2 * half])
    }
}

#[derive(Module, Debug)]
struct TimeEmbedding {
    linear_1: Linear,
    linear_2: Linear,
}

impl TimeEmbedding {
    fn forward(&self, sinusoid: Tensor<3>) -> Tensor<3> {
        self.linear_2.forward(silu(self.linear_1.forward(sinusoid)))
    }
}

#[derive(Module, Debug)]
struct DownBlock {
    resnets: Vec<ResnetBlock>,
    attentions: Vec<SpatialTransformer>,
    downsamplers: Vec<Downsampler>,
}

#[derive(Module, Debug)]
struct MidBlock {
    attentions: Vec<SpatialTransformer>,
    resnets: Vec<ResnetBlock>,
}

#[derive(Module, Debug)]
struct UpBlock {
    resnets: Vec<ResnetBlock>,
    attentions: Vec<SpatialTransformer>,
    upsamplers: Vec<Upsampler>,
}

#[derive(Module, Debug)]
struct Downsampler {
    conv: Conv2d,
}

#[derive(Module, Debug)]
struct Upsampler {
    conv: Conv2d,
}
