//! A model of Stable Diffusion 1.5's shape with random weights: what a machine can do is measured
//! without a download, since random numbers take as long as trained ones.

use std::sync::Arc;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, FloatDType, Tensor};
use rayon::prelude::*;

use super::component_files::ComponentFiles;
use super::config::ModelConfig;
use super::load::{Target, WeightData, shaped};
use super::open::tokenizer;
use super::{ModelSource, OpenError, OpenedModel};

/// Builds the networks of `assets/sd15` and fills them with noise that keeps activations in range.
pub fn open_random_sd15(device: &Device, unet_dtype: FloatDType) -> Result<OpenedModel, OpenError> {
    let config = ModelConfig::of_sd15();
    let built_in = ComponentFiles::new(&ModelSource::BuiltIn);
    let tokenizer = tokenizer(&built_in, &config, None)?;
    let exact = Target { device, dtype: FloatDType::F32 };
    let fast = Target { device, dtype: unet_dtype };
    let text_encoder = config.text_encoder.init(device).map(&mut Noise::new(&exact));
    let unet = config.unet.init(device).map(&mut Noise::new(&fast));
    let vae = config.vae.init(device).map(&mut Noise::new(&exact));
    let parameters = (text_encoder.num_params() + unet.num_params() + vae.num_params()) as u64;
    let bytes_per_number = if unet_dtype == FloatDType::F16 { 2 } else { 4 };
    Ok(OpenedModel {
        config,
        tokenizer: Arc::new(tokenizer),
        text_encoder,
        unet,
        vae,
        file_bytes: 2 * parameters,
        held_bytes: bytes_per_number * parameters,
        weight_files: Vec::new(),
        fingerprints: Vec::new(),
        parameters,
    })
}

struct Noise<'a> {
    target: &'a Target<'a>,
    path: Vec<(String, String)>,
    seed: u64,
}

impl<'a> Noise<'a> {
    fn new(target: &'a Target<'a>) -> Self {
        Self { target, path: Vec::new(), seed: 1 }
    }
}

impl ModuleMapper for Noise<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.push((name.into(), container_type.into()));
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let dims = param.lazy_shape().to_vec();
        let shape: [usize; D] = std::array::from_fn(|axis| dims[axis]);
        let (name, holder) = match self.path.last() {
            Some((name, holder)) => (name.as_str(), holder.as_str()),
            None => ("", ""),
        };
        // Biases 0, gains of norms 1, weights of products uniform with variance 1 / inputs.
        let inputs: usize = shape[1..].iter().product();
        let (middle, reach) = match (name, D) {
            ("bias", _) => (0.0, 0.0),
            (_, 1) => (1.0, 0.0),
            _ => (0.0, (3.0 / inputs as f32).sqrt()),
        };
        self.seed += 1;
        let values = uniform(shape.iter().product(), middle, reach, self.seed);
        // Noise is the same noise in any order of memory.
        let turned = self.target.turns(D, holder);
        let numbers = self.target.upload(WeightData::F32(values));
        Param::initialized(param.id, shaped(numbers, shape, turned))
    }
}

/// Numbers spread evenly over `middle - reach .. middle + reach`, by SplitMix64 (Steele et al., 2014)
/// of their index.
fn uniform(len: usize, middle: f32, reach: f32, seed: u64) -> Vec<f32> {
    if reach == 0.0 {
        return vec![middle; len];
    }
    let value = |index: usize| {
        let mut bits = (index as u64 ^ (seed << 40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        middle + reach * ((bits >> 40) as f32 / (1 << 23) as f32 - 1.0)
    };
    (0..len).into_par_iter().with_min_len(1 << 16).map(value).collect()
}
