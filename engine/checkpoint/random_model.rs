//! A model with the shape of Stable Diffusion 1.5 and random weights, for measuring speed without a
//! download: random weights take as long as trained ones.

use std::sync::Arc;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, FloatDType, Tensor};
use half::f16;
use rayon::prelude::*;

use super::component_files::ComponentFiles;
use super::config::ModelConfig;
use super::load::{AxisOrder, Target, WeightData, is_table, shaped};
use super::open::open_tokenizer;
use super::{ModelSource, OpenError, OpenedModel};
use crate::cpu;

/// Builds the networks of `assets/sd15` with random weights that keep activations in range.
pub fn open_random_sd15(device: &Device, unet_dtype: FloatDType) -> Result<OpenedModel, OpenError> {
    let config = ModelConfig::sd15();
    let built_in = ComponentFiles::new(&ModelSource::BuiltIn);
    let tokenizer = open_tokenizer(&built_in, &config, None)?;
    let f32_target = Target { device, dtype: FloatDType::F32 };
    let unet_target = Target { device, dtype: unet_dtype };
    let text_encoder = config.text_encoder.init(device).map(&mut RandomWeights::new(&f32_target));
    let unet = config.unet.init(device).map(&mut RandomWeights::new(&unet_target));
    let vae = config.vae.init(device).map(&mut RandomWeights::new(&f32_target));
    let parameters = (text_encoder.num_params() + unet.num_params() + vae.num_params()) as u64;
    // On the CPU nearly all of them are f16.
    let bytes_per_number = if unet_dtype == FloatDType::F16 || cpu::is_cpu(device) { 2 } else { 4 };
    Ok(OpenedModel {
        // Like a file, it has nothing but the three networks.
        source: ModelSource::File("random weights".into()),
        config,
        tokenizer: Arc::new(tokenizer),
        text_encoder,
        unet,
        vae,
        file_bytes: 2 * parameters,
        held_bytes: bytes_per_number * parameters,
        weight_files: Vec::new(),
        notes: Vec::new(),
        fingerprints: Vec::new(),
        parameters,
    })
}

struct RandomWeights<'a> {
    target: &'a Target<'a>,
    path: Vec<(String, String)>,
    seed: u64,
}

impl<'a> RandomWeights<'a> {
    fn new(target: &'a Target<'a>) -> Self {
        Self { target, path: Vec::new(), seed: 1 }
    }
}

impl ModuleMapper for RandomWeights<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.push((name.into(), container_type.into()));
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let dims = param.lazy_shape().to_vec();
        let shape: [usize; D] = std::array::from_fn(|axis| dims[axis]);
        let (name, layer) = match self.path.last() {
            Some((name, layer)) => (name.as_str(), layer.as_str()),
            None => ("", ""),
        };
        // Biases are 0, norm weights 1, and other weights uniform with variance 1 / inputs.
        let inputs: usize = shape[1..].iter().product();
        let (mean, half_width) = match (name, D) {
            ("bias", _) => (0.0, 0.0),
            (_, 1) => (1.0, 0.0),
            _ => (0.0, (3.0 / inputs as f32).sqrt()),
        };
        self.seed += 1;
        let values = uniform(shape.iter().product(), mean, half_width, self.seed);
        // Random weights are equally random in any memory order.
        let order = self.target.order(D, layer);
        // As from a file in f16.
        let is_half = self.target.dtype == FloatDType::F16
            || order == AxisOrder::OutputsLast && cpu::is_cpu(self.target.device);
        let data = if is_half {
            WeightData::F16(values.into_iter().map(f16::from_f32).collect())
        } else {
            WeightData::F32(values)
        };
        let data = self.target.upload(data, is_table(&self.path));
        Param::initialized(param.id, shaped(data, shape, order))
    }
}

/// Numbers spread uniformly over `mean - half_width .. mean + half_width`, by SplitMix64 (Steele et al., 2014)
/// of their index.
fn uniform(len: usize, mean: f32, half_width: f32, seed: u64) -> Vec<f32> {
    if half_width == 0.0 {
        return vec![mean; len];
    }
    let value = |index: usize| {
        let mut bits = (index as u64 ^ (seed << 40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mean + half_width * ((bits >> 40) as f32 / (1 << 23) as f32 - 1.0)
    };
    (0..len).into_par_iter().with_min_len(1 << 16).map(value).collect()
}
