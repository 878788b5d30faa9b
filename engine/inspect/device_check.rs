//! Compares a device with the CPU.
//!
//! GPU drivers and kernels have bugs, and wrong numbers fail silently. So every network of the built-in model runs with
//! the same input on the device and on the CPU, whose results the tests compare with PyTorch.

use std::time::Instant;

use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use serde::Serialize;

use crate::checkpoint::{ModelSource, OpenError, OpenedModel, open};
use crate::device::{DeviceChoice, DeviceError, Precision, SelectedDevice, choose, supports_f16};
use crate::diffusion::NoiseStreams;
use crate::error::EngineError;
use crate::models::{CancelCheck, Context, values};

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
}

impl Component {
    pub const ALL: [Self; 5] = [Self::Text, Self::Unet, Self::VaeEncode, Self::VaeDecode, Self::VaeGradient];

    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text encoder",
            Self::Unet => "unet, guided pair",
            Self::VaeEncode => "vae, encode",
            Self::VaeDecode => "vae, decode",
            Self::VaeGradient => "vae, gradient",
        }
    }

    fn run(
        self,
        model: &OpenedModel,
        device: &Device,
        unet_dtype: FloatDType,
    ) -> Result<Vec<f32>, EngineError> {
        let latents = |batch: usize| random(batch as u64, [batch, 4, 8, 8], device);
        match self {
            Self::Text => values(text(model)),
            Self::Unet => {
                let (x, context) = (latents(2).cast(unet_dtype), text(model).cast(unet_dtype));
                values(model.unet.forward(x, 500.3, Context { text: &context, observer: None }, NEVER)?)
            }
            Self::VaeEncode => values(model.vae.encode(random(3, [1, 3, 64, 64], device), NEVER)?.mean),
            Self::VaeDecode => values(model.vae.decode(latents(1), NEVER)?),
            Self::VaeGradient => {
                let latents = latents(1).require_grad();
                let picture = model.vae.decode(latents.clone(), NEVER)?;
                let direction = random(4, picture.dims(), device);
                let gradients = (picture * direction).sum().backward();
                values(latents.grad(&gradients).expect("the picture comes from the latents"))
            }
        }
    }
}

const NEVER: &CancelCheck<'static> = &|| false;

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

/// Compares every component in f32, and the UNet in f16 too if the device supports it and `choice` allows it.
/// `report` gets each comparison at once, since a bad driver may crash before the end.
pub fn check(
    choice: DeviceChoice,
    report: &mut dyn FnMut(&Comparison),
) -> Result<Vec<Comparison>, CheckError> {
    let SelectedDevice { device, .. } = choose(choice)?;
    let mut components = Component::ALL.map(|part| (part, Precision::F32)).to_vec();
    if choice.precision != Precision::F32 && supports_f16(&device) {
        components.push((Component::Unet, Precision::F16));
    }
    let mut comparisons = Vec::new();
    for (part, precision) in components {
        let (unet_dtype, limit) = match precision {
            Precision::F16 => (FloatDType::F16, 2e-2),
            _ => (FloatDType::F32, 1e-3),
        };
        let expected = run(part, &Device::flex(), FloatDType::F32)?;
        let started = Instant::now();
        let found = run(part, &device, unet_dtype)?;
        let secs = started.elapsed().as_secs_f64();
        let comparison =
            Comparison { part, precision, difference: difference(&found, &expected), limit, secs };
        report(&comparison);
        comparisons.push(comparison);
    }
    Ok(comparisons)
}

fn run(part: Component, device: &Device, unet_dtype: FloatDType) -> Result<Vec<f32>, CheckError> {
    let device = match part {
        Component::VaeGradient => device.clone().autodiff(),
        _ => device.clone(),
    };
    let model = open(&ModelSource::BuiltIn, None, &device, unet_dtype, &mut |_| (), &mut |_| true)?;
    Ok(part.run(&model, &device, unet_dtype)?)
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
        let comparisons = check(choice, &mut |_| {}).expect("comparisons");
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
