//! The autoencoder between pixels and latents (diffusers' `AutoencoderKL`).

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::Deserialize;

use super::attention::attend;
use super::backward::{self, Segment};
use super::layers::{Conv2d, GroupNorm, Linear, Padding, upsample_nearest};
use super::resnet::{ResnetBlock, ResnetConfig};
use super::tiled_vae::{RowScale, TileContext, TiledImage};
use super::transformer::to_tokens;
use super::unet::{MAX_LAYERS, shorter_side};
use super::{CancelCheck, check_cancelled};
use crate::error::EngineError;

/// The parts of `vae/config.json` that affect the network and that this network has in more than one form.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct VaeConfig {
    pub latent_channels: usize,
    pub block_out_channels: Vec<usize>,
    pub layers_per_block: usize,
    pub norm_num_groups: usize,
    pub scaling_factor: f32,
    /// Of the pictures that it was trained on, where the file tells; diffusers' default says nothing of them.
    #[serde(deserialize_with = "shorter_side")]
    pub sample_size: Option<usize>,
}

impl Default for VaeConfig {
    /// diffusers' defaults.
    fn default() -> Self {
        Self {
            latent_channels: 4,
            block_out_channels: vec![64],
            layers_per_block: 1,
            norm_num_groups: 32,
            scaling_factor: SCALING_OF_SD1,
            sample_size: None,
        }
    }
}

const SCALING_OF_SD1: f32 = 0.18215;
/// Red, green and blue.
const PICTURE_CHANNELS: usize = 3;

impl VaeConfig {
    /// Pixels per latent pixel in each direction.
    pub fn factor(&self) -> usize {
        1 << (self.block_out_channels.len() - 1)
    }

    /// True for the autoencoder that SD 1.x and its fine-tunes share.
    pub fn is_sd1(&self) -> bool {
        self.block_out_channels == [128, 256, 512, 512] && self.scaling_factor == SCALING_OF_SD1
    }

    /// Checks the configuration; the error is what is not supported.
    pub fn check(&self) -> Result<(), String> {
        let groups = self.norm_num_groups;
        if self.block_out_channels.is_empty() || !(1..=MAX_LAYERS).contains(&self.layers_per_block) {
            let (levels, layers) = (self.block_out_channels.len(), self.layers_per_block);
            return Err(format!("a VAE of {levels} levels with layers_per_block {layers}"));
        }
        let is_wrong = |channels: usize| channels == 0 || !channels.is_multiple_of(groups);
        match self.block_out_channels.iter().find(|&&channels| is_wrong(channels)) {
            Some(channels) => Err(format!("{channels} channels in {groups} groups")),
            None => Ok(()),
        }
    }

    fn resnet(&self, inputs: usize, outputs: usize) -> ResnetConfig {
        ResnetConfig { inputs, outputs, groups: self.norm_num_groups, epsilon: 1e-6, time_width: None }
    }

    fn mid_block(&self, device: &Device) -> MidBlock {
        let channels = *self.block_out_channels.last().expect("check refuses no blocks");
        MidBlock {
            attentions: vec![Attention::new(channels, self.norm_num_groups, device)],
            resnets: (0..2).map(|_| self.resnet(channels, channels).init(device)).collect(),
        }
    }

    fn norm_out(&self, channels: usize, device: &Device) -> GroupNorm {
        GroupNorm::new(self.norm_num_groups, channels, 1e-6, device)
    }

    pub fn init(&self, device: &Device) -> Vae {
        let channels = &self.block_out_channels;
        let (first, last) = (channels[0], channels.len() - 1);
        let moments = 2 * self.latent_channels;
        let encoder = Encoder {
            conv_in: Conv2d::new([PICTURE_CHANNELS, first], 3, device),
            down_blocks: (0..=last)
                .map(|level| {
                    let inputs = channels[level.saturating_sub(1)];
                    let resnets = (0..self.layers_per_block)
                        .map(|layer| if layer == 0 { inputs } else { channels[level] })
                        .map(|inputs| self.resnet(inputs, channels[level]).init(device))
                        .collect();
                    let downsampler =
                        || Resampler { conv: Conv2d::downsampling(channels[level], Padding::After, device) };
                    DownBlock {
                        resnets,
                        downsamplers: (level < last).then(downsampler).into_iter().collect(),
                    }
                })
                .collect(),
            mid_block: self.mid_block(device),
            conv_norm_out: self.norm_out(channels[last], device),
            conv_out: Conv2d::new([channels[last], moments], 3, device),
        };
        let decoder = Decoder {
            conv_in: Conv2d::new([self.latent_channels, channels[last]], 3, device),
            mid_block: self.mid_block(device),
            up_blocks: (0..=last)
                .rev()
                .map(|level| {
                    let below = channels[(level + 1).min(last)];
                    let resnets = (0..=self.layers_per_block)
                        .map(|layer| if layer == 0 { below } else { channels[level] })
                        .map(|inputs| self.resnet(inputs, channels[level]).init(device))
                        .collect();
                    let upsampler = || Resampler { conv: Conv2d::new([channels[level]; 2], 3, device) };
                    UpBlock { resnets, upsamplers: (level > 0).then(upsampler).into_iter().collect() }
                })
                .collect(),
            conv_norm_out: self.norm_out(first, device),
            conv_out: Conv2d::new([first, PICTURE_CHANNELS], 3, device),
        };
        Vae {
            encoder,
            decoder,
            quant_conv: Conv2d::new([moments, moments], 1, device),
            post_quant_conv: Conv2d::new([self.latent_channels; 2], 1, device),
        }
    }
}

#[derive(Module, Debug)]
pub struct Vae {
    encoder: Encoder,
    decoder: Decoder,
    quant_conv: Conv2d,
    post_quant_conv: Conv2d,
}

/// The Gaussian distribution that the encoder outputs, unscaled: `[batch, latent_channels, height, width]`.
#[derive(Debug)]
pub struct Moments {
    pub mean: Tensor<4>,
    /// Clamped to -30..20.
    pub log_variance: Tensor<4>,
}

impl Vae {
    /// # Shapes
    /// - pixels: `[batch, 3, height, width]` in -1..1
    pub fn encode(&self, pixels: Tensor<4>, is_cancelled: &CancelCheck<'_>) -> Result<Moments, EngineError> {
        let encoder = &self.encoder;
        let mut x = encoder.conv_in.forward(pixels);
        for block in &encoder.down_blocks {
            for resnet in &block.resnets {
                check_cancelled(is_cancelled)?;
                x = resnet.forward(x, None);
            }
            for downsampler in &block.downsamplers {
                x = downsampler.conv.forward(x);
            }
        }
        check_cancelled(is_cancelled)?;
        Ok(self.moments(x))
    }

    /// [`Self::encode`] for one picture in little memory, processed in tiles.
    pub fn encode_tiled(
        &self,
        pixels: Tensor<4>,
        is_cancelled: &CancelCheck<'_>,
    ) -> Result<Moments, EngineError> {
        let (encoder, context) = (&self.encoder, TileContext::new(&pixels, is_cancelled));
        let mut x =
            TiledImage::new(pixels, &context)?.map(RowScale::Same(1), &|x| encoder.conv_in.forward(x))?;
        for block in &encoder.down_blocks {
            for resnet in &block.resnets {
                x = resnet.forward_tiled(x)?;
            }
            for downsampler in &block.downsamplers {
                x = x.map(RowScale::Halved, &|x| downsampler.conv.forward(x))?;
            }
        }
        Ok(self.moments(x.into_tensor()))
    }

    /// The encoder from its last level on, which is small and has attention over all pixels.
    fn moments(&self, x: Tensor<4>) -> Moments {
        let encoder = &self.encoder;
        let x = encoder.mid_block.forward(x);
        let x = encoder.conv_out.forward(encoder.conv_norm_out.forward_silu(x));
        let x = self.quant_conv.forward(x);
        let channels = x.dims()[1] / 2;
        Moments {
            mean: x.clone().narrow(1, 0, channels),
            log_variance: x.narrow(1, channels, channels).clamp(-30.0, 20.0),
        }
    }

    /// # Shapes
    /// - latents: `[batch, latent_channels, height, width]`, unscaled
    /// - output: `[batch, 3, factor * height, factor * width]`, about -1..1
    pub fn decode(
        &self,
        latents: Tensor<4>,
        is_cancelled: &CancelCheck<'_>,
    ) -> Result<Tensor<4>, EngineError> {
        backward::forward(&self.decoder_segments(), latents, is_cancelled)
    }

    /// The gradient of a function of the decoded picture with respect to the latents: see `backward.rs`.
    ///
    /// # Shapes
    /// - as [`decode`](Self::decode); the gradients have the shapes of their inputs
    pub fn decoder_gradient(
        &self,
        latents: Tensor<4>,
        gradient_of_picture: impl FnOnce(Tensor<4>) -> Result<Tensor<4>, EngineError>,
        is_cancelled: &CancelCheck<'_>,
    ) -> Result<Tensor<4>, EngineError> {
        backward::input_gradient(&self.decoder_segments(), latents, gradient_of_picture, is_cancelled)
    }

    fn decoder_segments(&self) -> Vec<Segment<'_>> {
        let decoder = &self.decoder;
        let mut segments: Vec<Segment<'_>> = vec![Segment::plain(|x| self.first_level(x))];
        for block in &decoder.up_blocks {
            for resnet in &block.resnets {
                segments.push(Segment::plain(|x| resnet.forward(x, None)));
            }
            for upsampler in &block.upsamplers {
                segments.push(Segment::plain(|x| upsampler.double(x)));
            }
        }
        segments.push(Segment::plain(|x| decoder.conv_out.forward(decoder.conv_norm_out.forward_silu(x))));
        segments
    }

    /// [`Self::decode`] for one picture in little memory, processed in tiles.
    pub fn decode_tiled(
        &self,
        latents: Tensor<4>,
        is_cancelled: &CancelCheck<'_>,
    ) -> Result<Tensor<4>, EngineError> {
        let (decoder, context) = (&self.decoder, TileContext::new(&latents, is_cancelled));
        let mut x = TiledImage::new(self.first_level(latents), &context)?;
        for block in &decoder.up_blocks {
            for resnet in &block.resnets {
                x = resnet.forward_tiled(x)?;
            }
            for upsampler in &block.upsamplers {
                x = x.map(RowScale::Doubled, &|x| upsampler.double(x))?;
            }
        }
        let x_stats = x.channel_stats();
        let last = |x| decoder.conv_out.forward(decoder.conv_norm_out.forward_silu_with(x, &x_stats));
        Ok(x.map(RowScale::Same(1), &last)?.into_tensor())
    }

    /// The decoder up to its first level, which is small and has attention over all pixels.
    fn first_level(&self, latents: Tensor<4>) -> Tensor<4> {
        let x = self.decoder.conv_in.forward(self.post_quant_conv.forward(latents));
        self.decoder.mid_block.forward(x)
    }
}

#[derive(Module, Debug)]
struct Encoder {
    conv_in: Conv2d,
    down_blocks: Vec<DownBlock>,
    mid_block: MidBlock,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

#[derive(Module, Debug)]
struct Decoder {
    conv_in: Conv2d,
    mid_block: MidBlock,
    up_blocks: Vec<UpBlock>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

#[derive(Module, Debug)]
struct DownBlock {
    resnets: Vec<ResnetBlock>,
    downsamplers: Vec<Resampler>,
}

#[derive(Module, Debug)]
struct UpBlock {
    resnets: Vec<ResnetBlock>,
    upsamplers: Vec<Resampler>,
}

#[derive(Module, Debug)]
struct Resampler {
    conv: Conv2d,
}

impl Resampler {
    fn double(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, _, height, width] = x.dims();
        self.conv.forward(upsample_nearest(x, 2 * height, 2 * width))
    }
}

#[derive(Module, Debug)]
struct MidBlock {
    attentions: Vec<Attention>,
    resnets: Vec<ResnetBlock>,
}

impl MidBlock {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.resnets[0].forward(x, None);
        let x = self.attentions[0].forward(x);
        self.resnets[1].forward(x, None)
    }
}

/// Attention with one head over all pixels.
#[derive(Module, Debug)]
struct Attention {
    group_norm: GroupNorm,
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Linear,
}

impl Attention {
    fn new(channels: usize, groups: usize, device: &Device) -> Self {
        let linear = || Linear::new(channels, channels, device);
        Self {
            group_norm: GroupNorm::new(groups, channels, 1e-6, device),
            to_q: linear(),
            to_k: linear(),
            to_v: linear(),
            to_out: linear(),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        let tokens = to_tokens(self.group_norm.forward(x.clone()));
        let (q, k) = (self.to_q.forward(tokens.clone()), self.to_k.forward(tokens.clone()));
        let attended = attend(q, k, self.to_v.forward(tokens), 1, false);
        let out = self.to_out.forward_add(attended, to_tokens(x));
        out.reshape([batch, height, width, channels]).permute([0, 3, 1, 2])
    }
}
