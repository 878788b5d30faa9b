//! Compares a device with the CPU.
//!
//! GPU drivers and kernels have bugs, and wrong numbers fail silently. So every network of the built-in model runs with
//! the same input on the device and on the CPU, whose results the tests compare with PyTorch. The built-in model is small,
//! and some errors grow with the size, such as those of sums in half precision. So single layers of Stable Diffusion 1.5's
//! size are compared, too.

use std::time::Instant;

use burn::module::{Param, ParamId};
use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use half::f16;
use serde::Serialize;

use crate::checkpoint::{ModelSource, OpenError, OpenedModel, open};
use crate::device::{DeviceChoice, DeviceError, Precision, SelectedDevice, choose, supports_f16};
use crate::diffusion::NoiseStreams;
use crate::error::EngineError;
use crate::models::{CancelCheck, Context, Conv2d, GroupNorm, attend, values};

/// A part of the model that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Component {
    Text,
    /// With two prompts at once, as for guidance.
    Unet,
    VaeEncode,
    VaeDecode,
    /// The gradient of a function of the decoded picture with respect to the latents.
    VaeGradient,
    /// Single layers of Stable Diffusion 1.5: a convolution of 1280 channels, 16 x 16.
    Convolution1280,
    /// A convolution of 2560 channels to 1280, 8 x 8: the longest sums.
    Convolution2560,
    /// A convolution of the VAE: 512 channels, 64 x 64.
    VaeConvolution,
    /// Self-attention of 4096 pixels, heads of 40.
    Attention,
    /// 320 channels, 64 x 64, with a mean that is large beside the deviation.
    GroupNorm,
    /// The gradient of a convolution of 320 channels, 32 x 32.
    ConvolutionGradient,
}

impl Component {
    pub const ALL: [Self; 11] = [
        Self::Text,
        Self::Unet,
        Self::VaeEncode,
        Self::VaeDecode,
        Self::VaeGradient,
        Self::Convolution1280,
        Self::Convolution2560,
        Self::VaeConvolution,
        Self::Attention,
        Self::GroupNorm,
        Self::ConvolutionGradient,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text encoder",
            Self::Unet => "unet, guided pair",
            Self::VaeEncode => "vae, encode",
            Self::VaeDecode => "vae, decode",
            Self::VaeGradient => "vae, gradient",
            Self::Convolution1280 => "conv 1280, 16 x 16",
            Self::Convolution2560 => "conv 2560, 8 x 8",
            Self::VaeConvolution => "conv 512, 64 x 64",
            Self::Attention => "attention, 4096 x 40",
            Self::GroupNorm => "group norm, 320",
            Self::ConvolutionGradient => "conv 320, gradient",
        }
    }

    /// True for a layer alone, which is compared in half precision, too.
    fn is_layer(self) -> bool {
        !matches!(self, Self::Text | Self::Unet | Self::VaeEncode | Self::VaeDecode | Self::VaeGradient)
    }

    fn has_gradient(self) -> bool {
        matches!(self, Self::VaeGradient | Self::ConvolutionGradient)
    }

    /// The output of a layer of random weights, in a precision; its numbers are those that half precision has.
    fn run_layer(self, device: &Device, dtype: FloatDType) -> Result<Vec<f32>, EngineError> {
        let input = |shape| random_halves(1, shape, device).cast(dtype);
        values(match self {
            Self::Convolution1280 => convolution(1280, 1280, device, dtype).forward(input([2, 1280, 16, 16])),
            Self::Convolution2560 => convolution(2560, 1280, device, dtype).forward(input([2, 2560, 8, 8])),
            Self::VaeConvolution => convolution(512, 512, device, dtype).forward(input([1, 512, 64, 64])),
            Self::Attention => {
                let [q, k, v] = [1, 2, 3].map(|seed| {
                    random_halves(seed, [1, 1, 4096, 80], device).cast(dtype).reshape([1, 4096, 80])
                });
                attend(q, k, v, 2, false).reshape([1, 1, 4096, 80])
            }
            Self::GroupNorm => {
                let mut norm = GroupNorm::new(32, 320, 1e-5, device);
                norm.weight = Param::initialized(ParamId::new(), Tensor::ones([320], device));
                norm.forward(input([2, 320, 64, 64]) + 8.0)
            }
            Self::ConvolutionGradient => {
                let x = input([1, 320, 32, 32]).require_grad();
                let y = convolution(320, 320, device, dtype).forward(x.clone());
                let direction = random_halves(4, y.dims(), device).cast(dtype);
                let gradients = (y * direction).sum().backward();
                x.grad(&gradients).expect("the output comes from the input")
            }
            _ => unreachable!("a network"),
        })
    }

    fn run(
        self,
        model: &OpenedModel,
        device: &Device,
        unet_dtype: FloatDType,
        is_cancelled: &CancelCheck<'_>,
    ) -> Result<Vec<f32>, EngineError> {
        let latents = |batch: usize| random(batch as u64, [batch, 4, 8, 8], device);
        match self {
            Self::Text => values(text(model)),
            Self::Unet => {
                let (x, context) = (latents(2).cast(unet_dtype), text(model).cast(unet_dtype));
                values(model.unet.forward(
                    x,
                    500.3,
                    Context { text: &context, observer: None },
                    is_cancelled,
                )?)
            }
            Self::VaeEncode => {
                values(model.vae.encode(random(3, [1, 3, 64, 64], device), is_cancelled)?.mean)
            }
            Self::VaeDecode => values(model.vae.decode(latents(1), is_cancelled)?),
            Self::VaeGradient => {
                let direction = |picture: Tensor<4>| Ok(random(4, picture.dims(), device));
                values(model.vae.decoder_gradient(latents(1), direction, is_cancelled)?)
            }
            layer => layer.run_layer(device, unet_dtype),
        }
    }
}

/// How far a device is from the CPU in one component.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Comparison {
    pub part: Component,
    pub precision: Precision,
    /// The largest difference relative to the CPU's largest number; infinite for NaN and infinity.
    pub difference: f32,
    /// The largest difference that rounding explains.
    pub limit: f32,
    /// Including the compilation of kernels on first use.
    pub secs: f64,
}

impl Comparison {
    pub fn is_right(&self) -> bool {
        self.difference <= self.limit
    }
}

#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("{0}")]
    Halted(String),
}

impl From<EngineError> for CheckError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Stopped => Self::Halted("The check was stopped".into()),
            EngineError::OutOfMemory(text) | EngineError::Failed(text) => Self::Halted(text),
        }
    }
}

/// Compares every component in f32, and the UNet and the layers in f16 too if the device supports it and `choice` allows it.
/// `report` gets each comparison at once, since a bad driver may crash before the end. `is_cancelled` is asked between the
/// blocks of a network whether to stop.
pub fn check(
    choice: DeviceChoice,
    is_cancelled: &CancelCheck<'_>,
    report: &mut dyn FnMut(&Comparison),
) -> Result<Vec<Comparison>, CheckError> {
    let SelectedDevice { device, .. } = choose(choice)?;
    let mut components = Component::ALL.map(|part| (part, Precision::F32)).to_vec();
    if choice.precision != Precision::F32 && supports_f16(&device) {
        let halves = Component::ALL.into_iter().filter(|part| *part == Component::Unet || part.is_layer());
        // Gradients are always f32.
        components.extend(halves.filter(|part| !part.has_gradient()).map(|part| (part, Precision::F16)));
    }
    let mut comparisons = Vec::new();
    for (part, precision) in components {
        // A layer alone rounds once: sums in half precision, or products in f32 by units for less, exceed this.
        let (unet_dtype, limit) = match (precision, part.is_layer()) {
            (Precision::F16, false) => (FloatDType::F16, 2e-2),
            (Precision::F16, true) => (FloatDType::F16, 5e-3),
            (_, false) => (FloatDType::F32, 1e-3),
            (_, true) => (FloatDType::F32, 1e-4),
        };
        if is_cancelled() {
            return Err(EngineError::Stopped.into());
        }
        let expected = run(part, &Device::flex(), FloatDType::F32, is_cancelled)?;
        let started = Instant::now();
        let found = run(part, &device, unet_dtype, is_cancelled)?;
        let secs = started.elapsed().as_secs_f64();
        let comparison =
            Comparison { part, precision, difference: difference(&found, &expected), limit, secs };
        report(&comparison);
        comparisons.push(comparison);
    }
    Ok(comparisons)
}

fn run(
    part: Component,
    device: &Device,
    unet_dtype: FloatDType,
    is_cancelled: &CancelCheck<'_>,
) -> Result<Vec<f32>, CheckError> {
    if part.is_layer() {
        let device = if part.has_gradient() { device.clone().autodiff() } else { device.clone() };
        return Ok(part.run_layer(&device, unet_dtype)?);
    }
    let model = open(&ModelSource::BuiltIn, None, device, unet_dtype, &mut |_| (), &mut |_| true)?;
    Ok(part.run(&model, device, unet_dtype, is_cancelled)?)
}

fn text(model: &OpenedModel) -> Tensor<3> {
    let prompts =
        ["", "a large fox"].map(|prompt| model.tokenizer.tokenize(prompt).chunks.swap_remove(0).ids);
    let ids = prompts.each_ref().map(Vec::as_slice);
    model.text_encoder.forward(model.text_encoder.token_embeddings(&ids))
}

fn random(seed: u64, shape: [usize; 4], device: &Device) -> Tensor<4> {
    let noise = NoiseStreams::new(seed, shape[0]).draw(shape);
    Tensor::from_data(TensorData::new(noise.data, shape), device)
}

/// Random numbers that half precision has, about as large as activations.
fn random_halves(seed: u64, shape: [usize; 4], device: &Device) -> Tensor<4> {
    let noise = NoiseStreams::new(seed, shape[0]).draw(shape);
    let data = noise.data.iter().map(|&number| f16::from_f32(number).to_f32()).collect::<Vec<_>>();
    Tensor::from_data(TensorData::new(data, shape), device)
}

/// A convolution of 3 x 3 whose output is about as large as its input.
fn convolution(inputs: usize, outputs: usize, device: &Device, dtype: FloatDType) -> Conv2d {
    let mut conv = Conv2d::new([inputs, outputs], 3, device);
    let weight = random_halves(7, [outputs, inputs, 3, 3], device) / 128.0;
    conv.weight = Param::initialized(ParamId::new(), weight.cast(dtype));
    conv
}

fn difference(found: &[f32], expected: &[f32]) -> f32 {
    let largest = expected.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let differences = || found.iter().zip(expected).map(|(found, expected)| (found - expected).abs());
    if found.len() != expected.len() || differences().any(|difference| !difference.is_finite()) {
        return f32::INFINITY;
    }
    differences().fold(0.0, f32::max) / largest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceSelector;

    #[test]
    fn the_cpu_agrees_with_itself() {
        let choice = DeviceChoice { device: DeviceSelector::Cpu, ..DeviceChoice::default() };
        let comparisons = check(choice, &|| false, &mut |_| {}).expect("comparisons");
        assert_eq!(comparisons.iter().map(|comparison| comparison.part).collect::<Vec<_>>(), Component::ALL);
        assert!(comparisons.iter().all(|comparison| comparison.difference == 0.0), "{comparisons:?}");
    }

    #[test]
    fn nan_is_infinitely_wrong() {
        assert_eq!(difference(&[1.0, 4.0], &[1.0, 5.0]), 0.2);
        assert_eq!(difference(&[1.0, f32::NAN, 5.0], &[1.0, 3.0, 5.0]), f32::INFINITY);
        assert_eq!(difference(&[f32::NAN, 1.0], &[1.0, 1.0]), f32::INFINITY);
        assert_eq!(difference(&[1.0], &[1.0, 1.0]), f32::INFINITY);
    }
}
