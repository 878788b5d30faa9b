//! Whether a device computes what the CPU computes.
//!
//! Drivers and kernels have mistakes, and a wrong number makes no noise. So every network of the model
//! inside the program is asked the same question on the device and on the CPU, whose answers are held
//! against PyTorch's in the tests. What it says can be pasted into a report.

use std::time::Instant;

use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use serde::Serialize;

use crate::checkpoint::{ModelSource, OpenError, OpenedModel, open};
use crate::device::{DeviceChoice, DeviceError, Precision, SelectedDevice, choose, supports_f16};
use crate::diffusion::NoiseStreams;
use crate::error::EngineError;
use crate::models::{CancelCheck, Context, values};

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Component {
    Text,
    /// Two prompts at once, as guidance asks.
    Unet,
    VaeEncode,
    VaeDecode,
    /// Of a number made of the decoded picture, with respect to the latents.
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

    fn answer(
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

/// How far a device is from the CPU in one part.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Comparison {
    pub part: Component,
    pub precision: Precision,
    /// The largest difference, of the CPU's largest number. Infinite for what is no number at all.
    pub difference: f32,
    /// The largest difference that rounding explains.
    pub limit: f32,
    /// With the compilation of kernels, which are made when they are first used.
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
    fn from(halt: EngineError) -> Self {
        match halt {
            EngineError::Stopped => Self::Halted("The check was stopped".into()),
            EngineError::OutOfMemory(text) | EngineError::Failed(text) => Self::Halted(text),
        }
    }
}

/// Asks every part in f32, and the UNet in f16 too where the device has it and `choice` lets it.
/// `tell` is told of each as it is found, since a bad driver may not let us come to the end.
pub fn check(choice: DeviceChoice, tell: &mut dyn FnMut(&Comparison)) -> Result<Vec<Comparison>, CheckError> {
    let SelectedDevice { device, .. } = choose(choice)?;
    let mut questions = Component::ALL.map(|part| (part, Precision::F32)).to_vec();
    if choice.precision != Precision::F32 && supports_f16(&device) {
        questions.push((Component::Unet, Precision::F16));
    }
    let mut findings = Vec::new();
    for (part, precision) in questions {
        let (unet_dtype, limit) = match precision {
            Precision::F16 => (FloatDType::F16, 2e-2),
            _ => (FloatDType::F32, 1e-3),
        };
        let expected = ask(part, &Device::flex(), FloatDType::F32)?;
        let started = Instant::now();
        let found = ask(part, &device, unet_dtype)?;
        let secs = started.elapsed().as_secs_f64();
        let finding = Comparison { part, precision, difference: difference(&found, &expected), limit, secs };
        tell(&finding);
        findings.push(finding);
    }
    Ok(findings)
}

fn ask(part: Component, device: &Device, unet_dtype: FloatDType) -> Result<Vec<f32>, CheckError> {
    let device = match part {
        Component::VaeGradient => device.clone().autodiff(),
        _ => device.clone(),
    };
    let model = open(&ModelSource::BuiltIn, None, &device, unet_dtype, &mut |_| (), &mut |_| true)?;
    Ok(part.answer(&model, &device, unet_dtype)?)
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
    let apart = || found.iter().zip(expected).map(|(found, expected)| (found - expected).abs());
    if found.len() != expected.len() || apart().any(|apart| !apart.is_finite()) {
        return f32::INFINITY;
    }
    apart().fold(0.0, f32::max) / largest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceSelector;

    #[test]
    fn the_cpu_agrees_with_itself() {
        let choice = DeviceChoice { device: DeviceSelector::Cpu, ..DeviceChoice::default() };
        let findings = check(choice, &mut |_| {}).expect("findings");
        assert_eq!(findings.iter().map(|finding| finding.part).collect::<Vec<_>>(), Component::ALL);
        assert!(findings.iter().all(|finding| finding.difference == 0.0), "{findings:?}");
    }

    #[test]
    fn what_is_no_number_is_infinitely_wrong() {
        assert_eq!(difference(&[1.0, 4.0], &[1.0, 5.0]), 0.2);
        assert_eq!(difference(&[1.0, f32::NAN, 5.0], &[1.0, 3.0, 5.0]), f32::INFINITY);
        assert_eq!(difference(&[f32::NAN, 1.0], &[1.0, 1.0]), f32::INFINITY);
        assert_eq!(difference(&[1.0], &[1.0, 1.0]), f32::INFINITY);
    }
}
