//! The network that predicts noise (diffusers' `UNet2DConditionModel`, as SD 1.x and 2.x use it).

use burn::module::Module;
use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use serde::{Deserialize, Deserializer};

use super::CancelCheck;
use super::backward::{self, KeptPass, Segment};
use super::layers::{Conv2d, GroupNorm, Linear, Padding, cat_channels, silu, upsample_nearest};
use super::resnet::{ResnetBlock, ResnetConfig};
use super::transformer::{Context, SpatialTransformer, TransformerConfig};
use crate::error::EngineError;

/// The parts of `unet/config.json` that affect the network and that this network has in more than one form.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct UnetConfig {
    pub in_channels: usize,
    pub out_channels: usize,
    pub block_out_channels: Vec<usize>,
    pub down_block_types: Vec<String>,
    /// `None` for a distilled UNet without a middle, as in BK-SDM (Kim et al., 2023).
    pub mid_block_type: Option<String>,
    pub up_block_types: Vec<String>,
    pub layers_per_block: PerLevel,
    #[serde(deserialize_with = "one_number")]
    pub cross_attention_dim: usize,
    /// The number of heads of each level, despite its name: diffusers confused the two when SD 1.x was
    /// converted, and every file since has kept the mistake.
    pub attention_head_dim: PerLevel,
    pub transformer_layers_per_block: PerLevel,
    pub norm_num_groups: usize,
    pub norm_eps: f64,
    #[serde(deserialize_with = "null_is_false")]
    pub use_linear_projection: bool,
    /// Attention scores are computed in f32: those of SD 2.1 overflow in f16.
    #[serde(deserialize_with = "null_is_false")]
    pub upcast_attention: bool,
    #[serde(deserialize_with = "null_is_false")]
    pub flip_sin_to_cos: bool,
    pub freq_shift: f64,
    /// The width of the time embedding, if it is not four times the first of `block_out_channels`.
    pub time_embedding_dim: Option<usize>,
    #[serde(deserialize_with = "shorter_side")]
    pub sample_size: Option<usize>,
}

impl Default for UnetConfig {
    /// diffusers' defaults.
    fn default() -> Self {
        let types = |names: [&str; 4]| names.map(Into::into).to_vec();
        let [attends, plain] = ["CrossAttnDownBlock2D", "DownBlock2D"];
        Self {
            in_channels: 4,
            out_channels: 4,
            block_out_channels: vec![320, 640, 1280, 1280],
            down_block_types: types([attends, attends, attends, plain]),
            mid_block_type: Some(ATTENDING_MID_BLOCK.into()),
            up_block_types: types([
                "UpBlock2D",
                "CrossAttnUpBlock2D",
                "CrossAttnUpBlock2D",
                "CrossAttnUpBlock2D",
            ]),
            layers_per_block: PerLevel::Same(2),
            cross_attention_dim: 1280,
            attention_head_dim: PerLevel::Same(8),
            transformer_layers_per_block: PerLevel::Same(1),
            norm_num_groups: 32,
            norm_eps: 1e-5,
            use_linear_projection: false,
            upcast_attention: false,
            flip_sin_to_cos: true,
            freq_shift: 0.0,
            time_embedding_dim: None,
            sample_size: None,
        }
    }
}

/// Every UNet of Stable Diffusion has this one, except distilled ones.
const ATTENDING_MID_BLOCK: &str = "UNetMidBlock2DCrossAttn";

/// More layers, or heads, than any network of this kind has.
pub const MAX_LAYERS: usize = 256;

/// One number for every level, or one for each.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a number, or a list of numbers, expected")]
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
            Self::Same(value) => (1..=MAX_LAYERS).contains(value),
            Self::Each(values) => {
                values.len() == levels && values.iter().all(|value| (1..=MAX_LAYERS).contains(value))
            }
        }
    }
}

/// As in Python. diffusers' converter of single files writes `null` for `upcast_attention`.
fn null_is_false<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A number, or a list that repeats it for each level.
fn one_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    match PerLevel::deserialize(deserializer)? {
        PerLevel::Same(number) => Ok(number),
        PerLevel::Each(numbers) => match numbers[..] {
            [number, ref others @ ..] if others.iter().all(|&other| other == number) => Ok(number),
            _ => Err(serde::de::Error::custom("one number for every level expected")),
        },
    }
}

/// A size as one side, or as height and width.
pub fn shorter_side<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    Ok(match Option::<PerLevel>::deserialize(deserializer)? {
        Some(PerLevel::Same(side)) => Some(side),
        Some(PerLevel::Each(sides)) => sides.into_iter().min(),
        None => None,
    })
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
            ("attention_head_dim", &self.attention_head_dim),
            ("transformer_layers_per_block", &self.transformer_layers_per_block),
        ] {
            if !value.fits(levels) {
                return Err(format!("a {name} that does not fit its {levels} levels"));
            }
        }
        for (level, &channels) in self.block_out_channels.iter().enumerate() {
            if channels == 0 || !channels.is_multiple_of(self.norm_num_groups) {
                return Err(format!("{channels} channels in {} groups", self.norm_num_groups));
            }
            if channels % self.attention_head_dim.at(level) != 0 {
                return Err(format!("{channels} channels in {} heads", self.attention_head_dim.at(level)));
            }
        }
        Ok(())
    }

    fn time_width(&self) -> usize {
        self.time_embedding_dim.filter(|&width| width > 0).unwrap_or(4 * self.block_out_channels[0])
    }

    fn resnet(&self, inputs: usize, outputs: usize) -> ResnetConfig {
        ResnetConfig {
            inputs,
            outputs,
            groups: self.norm_num_groups,
            epsilon: self.norm_eps,
            time_width: Some(self.time_width()),
        }
    }

    fn transformer(&self, level: usize) -> TransformerConfig {
        TransformerConfig {
            channels: self.block_out_channels[level],
            heads: self.attention_head_dim.at(level),
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

        let (resnets, attentions) = match self.mid_block_type.as_deref() {
            Some(ATTENDING_MID_BLOCK) => (2, 1),
            Some(_) => (1, 0),
            None => (0, 0),
        };
        let mid_block = MidBlock {
            resnets: (0..resnets).map(|_| self.resnet(channels[last], channels[last]).init(device)).collect(),
            attentions: (0..attentions).map(|_| self.transformer(last).init(device)).collect(),
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
                linear_1: Linear::new(first, self.time_width(), device),
                linear_2: Linear::new(self.time_width(), self.time_width(), device),
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
        let time = self.time(timestep, &x);
        backward::forward(&self.segments(&x, &time, context), x, is_cancelled)
    }

    /// [`forward`](Self::forward), for a gradient to come.
    pub fn kept_forward(
        &self,
        x: Tensor<4>,
        timestep: f32,
        context: Context<'_>,
        is_cancelled: &CancelCheck<'_>,
    ) -> Result<KeptPass, EngineError> {
        let time = self.time(timestep, &x);
        backward::kept_forward(&self.segments(&x, &time, context), x, is_cancelled)
    }

    /// The gradient of a function of the prediction with respect to `x`: see `backward.rs`.
    ///
    /// # Shapes
    /// - as [`forward`](Self::forward); the gradients have the shapes of the prediction and of `x`
    pub fn input_gradient(
        &self,
        x: Tensor<4>,
        timestep: f32,
        context: Context<'_>,
        gradient_of_prediction: Tensor<4>,
        is_cancelled: &CancelCheck<'_>,
    ) -> Result<Tensor<4>, EngineError> {
        let time = self.time(timestep, &x);
        let segments = self.segments(&x, &time, context);
        backward::input_gradient(&segments, x, |_| Ok(gradient_of_prediction), is_cancelled)
    }

    /// The network for inputs like `x`, one residual block with its attention at a time.
    fn segments<'a>(&'a self, x: &Tensor<4>, time: &'a Tensor<3>, context: Context<'a>) -> Vec<Segment<'a>> {
        let block = move |resnet: &'a ResnetBlock, attention: Option<&'a SpatialTransformer>| {
            move |x: Tensor<4>| {
                let x = resnet.forward(x, Some(time));
                match attention {
                    Some(attention) => attention.forward(x, context),
                    None => x,
                }
            }
        };
        let mut segments = vec![Segment::with_skip(|x| self.conv_in.forward(x))];
        let [_, _, mut height, mut width] = x.dims();
        // The sizes above each downsampler, to which the upsamplers return: twice an odd size halved would be wrong.
        let mut sizes = Vec::new();
        for down in &self.down_blocks {
            for (layer, resnet) in down.resnets.iter().enumerate() {
                segments.push(Segment::with_skip(block(resnet, down.attentions.get(layer))));
            }
            for downsampler in &down.downsamplers {
                segments.push(Segment::with_skip(|x| downsampler.conv.forward(x)));
                sizes.push((height, width));
                (height, width) = (height.div_ceil(2), width.div_ceil(2));
            }
        }
        for (layer, resnet) in self.mid_block.resnets.iter().enumerate() {
            segments.push(Segment::plain(block(resnet, self.mid_block.attentions.get(layer))));
        }
        for up in &self.up_blocks {
            for (layer, resnet) in up.resnets.iter().enumerate() {
                let block = block(resnet, up.attentions.get(layer));
                segments.push(Segment::from_skip(move |x, skip| block(cat_channels(x, skip))));
            }
            for upsampler in &up.upsamplers {
                let (height, width) = sizes.pop().expect("a downsampler for each upsampler");
                segments.push(Segment::plain(move |x| {
                    upsampler.conv.forward(upsample_nearest(x, height, width))
                }));
            }
        }
        segments.push(Segment::plain(|x| self.conv_out.forward(self.conv_norm_out.forward_silu(x))));
        segments
    }

    /// The SiLU of the timestep's embedding for each picture, `[batch, 1, width]`: all that the residual blocks read of it.
    fn time(&self, timestep: f32, x: &Tensor<4>) -> Tensor<3> {
        let time = self.time_embedding.forward(self.sinusoid(timestep, x));
        silu(time.repeat_dim(0, x.dims()[0]))
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
        let mut values: Vec<f32> = match self.flip_sin_to_cos {
            true => cosines.chain(sines).collect(),
            false => sines.chain(cosines).collect(),
        };
        values.resize(self.time_channels, 0.0);
        let dtype: FloatDType = like.dtype().into();
        let sinusoid: Tensor<1> =
            Tensor::from_data(TensorData::new(values, [self.time_channels]), &like.device());
        sinusoid.cast(dtype).reshape([1, 1, self.time_channels])
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

/// Empty in a UNet without a middle; with one resnet alone in diffusers' `UNetMidBlock2D`.
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
