//! What a small classifier sees in the picture.

use std::path::{Path, PathBuf};

use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData, activation, module};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use super::{GuideError, LossFunction, PrepareArgs, PreparedLoss, guide, prepared};

/// The negative logarithm of the probability that a classifier gives a label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Classifier {
    pub label: String,
    /// A safetensors file: see the `Network` of this module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<PathBuf>,
}

/// Convolutions of 3 x 3 and stride 2, each followed by ReLU, then the mean of all places and a linear layer. In the file,
/// in f32: `conv.0.weight`, `conv.0.bias`, `conv.1.weight` and so on, `linear.weight`, `linear.bias`, and in its metadata
/// `labels`, a JSON list of a label for each output. It sees a picture of any size in -1..1.
struct Network {
    convolutions: Vec<(Tensor<4>, Tensor<1>)>,
    /// `[labels, width]`
    weight: Tensor<2>,
    bias: Tensor<1>,
    labels: Vec<String>,
}

/// Small is the point.
const MAX_BYTES: u64 = 64 << 20;

impl LossFunction for Classifier {
    const NAME: &'static str = "classifier";
    const LABEL: &'static str = "Classifier";
    const HINT: &'static str = "What a small classifier gives a label";
    const SCALE: f32 = 20.0;

    fn example() -> Self {
        Self { label: "fox".into(), model: None }
    }

    fn parse(what: Option<&str>, target: Option<f32>) -> Result<Self, String> {
        super::expect_none(None, target)?;
        let label = what.filter(|label| !label.is_empty()).ok_or("it needs a label, such as :fox")?;
        Ok(Self { label: label.into(), model: None })
    }

    fn settings(&self) -> String {
        format!(":{}", guide::quoted(&self.label))
    }

    fn model(&self) -> Option<&Path> {
        self.model.as_deref()
    }

    fn set_model(&mut self, model: PathBuf) -> Result<(), String> {
        self.model = Some(model);
        Ok(())
    }

    fn prepare(&self, args: &PrepareArgs<'_>) -> Result<PreparedLoss, GuideError> {
        let refuse =
            |why: String| GuideError::Loss { loss: format!("{}{}", Self::NAME, self.settings()), why };
        let path = self
            .model
            .as_deref()
            .ok_or_else(|| refuse("it needs a classifier: model=FILE.safetensors".into()))?;
        let network = Network::load(path, args.device).map_err(|why| {
            GuideError::Model(format!(
                "This is not a classifier that Tidepool can use, because {why}. The guide describes its form: {}",
                path.display()
            ))
        })?;
        let label = network
            .labels
            .iter()
            .position(|label| *label == self.label)
            .ok_or_else(|| refuse(format!("the classifier knows only {}", network.labels.join(", "))))?;
        prepared(move |picture| {
            let grey = Tensor::full([1, 3, 1, 1], 0.5, &picture.pixels.device());
            let logits = network.forward(picture.difference_from(grey) * 2.0);
            let [batch, _] = logits.dims();
            -activation::log_softmax(logits, 1).narrow(1, label, 1).reshape([batch])
        })
    }
}

impl Network {
    /// # Errors
    /// What is wrong with the file, as a clause.
    fn load(path: &Path, device: &Device) -> Result<Self, String> {
        let about = std::fs::metadata(path).map_err(|error| format!("it cannot be read ({error})"))?;
        if !about.is_file() || about.len() > MAX_BYTES {
            return Err("it is not a file of 64 MB at most".into());
        }
        let bytes = std::fs::read(path).map_err(|error| format!("it cannot be read ({error})"))?;
        let (_, header) =
            SafeTensors::read_metadata(&bytes).map_err(|error| format!("it is not safetensors ({error})"))?;
        let file = SafeTensors::deserialize(&bytes).map_err(|error| format!("it is damaged ({error})"))?;
        let labels = header.metadata().as_ref().and_then(|metadata| metadata.get("labels"));
        let labels: Vec<String> = labels
            .and_then(|labels| serde_json::from_str(labels).ok())
            .ok_or("its metadata lacks labels, a JSON list of words")?;
        let mut convolutions = Vec::new();
        let mut width = 3;
        while file.tensor(&format!("conv.{}.weight", convolutions.len())).is_ok() {
            let name = format!("conv.{}", convolutions.len());
            let weight = tensor::<4>(&file, &format!("{name}.weight"), device)?;
            let [outputs, inputs, kernel, _] = weight.dims();
            if inputs != width || kernel != 3 {
                return Err(format!(
                    "{name} takes {inputs} channels by {kernel} x {kernel}, but there are {width} by 3 x 3"
                ));
            }
            let bias = tensor::<1>(&file, &format!("{name}.bias"), device)?;
            expect_len(&name, &bias, outputs)?;
            convolutions.push((weight, bias));
            width = outputs;
        }
        let weight = tensor::<2>(&file, "linear.weight", device)?;
        let [outputs, inputs] = weight.dims();
        if inputs != width {
            return Err(format!("linear takes {inputs} channels, but there are {width}"));
        }
        let bias = tensor::<1>(&file, "linear.bias", device)?;
        expect_len("linear", &bias, outputs)?;
        if labels.len() != outputs {
            return Err(format!("it has {} labels for {outputs} outputs", labels.len()));
        }
        Ok(Self { convolutions, weight, bias, labels })
    }

    /// # Shapes
    /// - x: `[batch, 3, height, width]` in -1..1
    /// - output: `[batch, labels]`
    fn forward(&self, mut x: Tensor<4>) -> Tensor<2> {
        let options = || ConvOptions::new([2, 2], [1, 1], [1, 1], 1);
        for (weight, bias) in &self.convolutions {
            x = activation::relu(module::conv2d(x, weight.clone(), Some(bias.clone()), options()));
        }
        let [batch, channels, height, width] = x.dims();
        let x = x.reshape([batch, channels, height * width]).mean_dim(2).reshape([batch, channels]);
        x.matmul(self.weight.clone().transpose()) + self.bias.clone().unsqueeze::<2>()
    }
}

fn expect_len(name: &str, bias: &Tensor<1>, outputs: usize) -> Result<(), String> {
    match bias.dims() {
        [len] if len == outputs => Ok(()),
        [len] => Err(format!("{name} has {outputs} outputs, but {len} biases")),
    }
}

fn tensor<const D: usize>(file: &SafeTensors<'_>, name: &str, device: &Device) -> Result<Tensor<D>, String> {
    let found = file.tensor(name).map_err(|_| format!("{name} is missing"))?;
    let shape: [usize; D] =
        found.shape().try_into().map_err(|_| format!("{name} has {} axes, not {D}", found.shape().len()))?;
    if found.dtype() != safetensors::Dtype::F32 {
        return Err(format!("{name} is not f32"));
    }
    let values: Vec<f32> =
        found.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    Ok(Tensor::from_data(TensorData::new(values, shape), device))
}
