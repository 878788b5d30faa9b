//! The image encoder (transformers' `CLIPVisionModelWithProjection`): a picture in CLIP's space of embeddings.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use serde::Deserialize;

use super::clip::{Activation, Encoder, EncoderConfig};
use super::layers::{Conv2d, Embedding, LayerNorm, Linear, parameter};
use super::unet::MAX_LAYERS;

/// The parts of `config.json` that affect the network and that this network has in more than one form.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct ClipVisionConfig {
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_attention_heads: usize,
    pub num_hidden_layers: usize,
    pub image_size: usize,
    pub patch_size: usize,
    /// The width of the embeddings.
    pub projection_dim: usize,
    pub hidden_act: Activation,
    pub layer_norm_eps: f64,
}

impl Default for ClipVisionConfig {
    /// transformers' defaults.
    fn default() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            num_attention_heads: 12,
            num_hidden_layers: 12,
            image_size: 224,
            patch_size: 32,
            projection_dim: 512,
            hidden_act: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
        }
    }
}

impl ClipVisionConfig {
    /// Checks the configuration; the error is what is not supported.
    pub fn check(&self) -> Result<(), String> {
        if self.num_hidden_layers > MAX_LAYERS {
            return Err(format!("an image encoder with num_hidden_layers {}", self.num_hidden_layers));
        }
        if !(1..=1024).contains(&self.image_size) || !(1..=self.image_size).contains(&self.patch_size) {
            return Err(format!("patches of {} in a picture of {}", self.patch_size, self.image_size));
        }
        match self.num_attention_heads {
            heads if heads > 0 && self.hidden_size.is_multiple_of(heads) => Ok(()),
            heads => Err(format!("a width of {} in {heads} heads", self.hidden_size)),
        }
    }

    pub fn init(&self, device: &Device) -> ClipVision {
        let (width, patches) = (self.hidden_size, (self.image_size / self.patch_size).pow(2));
        let norm = || LayerNorm::new(width, self.layer_norm_eps, device);
        let encoder = EncoderConfig {
            width,
            intermediate_size: self.intermediate_size,
            heads: self.num_attention_heads,
            layers: self.num_hidden_layers,
            layer_norm_eps: self.layer_norm_eps,
            is_causal: false,
        };
        ClipVision {
            vision_model: VisionModel {
                embeddings: PatchEmbeddings {
                    class_embedding: parameter([width], device),
                    patch_embedding: Conv2d::patches([3, width], self.patch_size, device),
                    position_embedding: Embedding::new(patches + 1, width, device),
                },
                pre_layrnorm: norm(),
                encoder: encoder.init(device),
                post_layernorm: norm(),
                activation: self.hidden_act,
            },
            visual_projection: Linear::without_bias(width, self.projection_dim, device),
            image_size: self.image_size,
        }
    }
}

#[derive(Module, Debug)]
pub struct ClipVision {
    vision_model: VisionModel,
    visual_projection: Linear,
    #[module(skip)]
    image_size: usize,
}

impl ClipVision {
    /// The side of the square pictures that it sees, in pixels.
    pub fn image_size(&self) -> usize {
        self.image_size
    }

    /// # Shapes
    /// - pixels: `[batch, 3, image_size, image_size]`, normalised
    /// - output: `[batch, projection_dim]`
    pub fn forward(&self, pixels: Tensor<4>) -> Tensor<2> {
        let class = self.vision_model.forward(pixels);
        let [batch, _, _] = class.dims();
        let projected = self.visual_projection.forward(class);
        projected.reshape([batch as isize, -1])
    }
}

#[derive(Module, Debug)]
struct VisionModel {
    embeddings: PatchEmbeddings,
    /// transformers' spelling.
    pre_layrnorm: LayerNorm,
    encoder: Encoder,
    post_layernorm: LayerNorm,
    #[module(skip)]
    activation: Activation,
}

impl VisionModel {
    /// The class token after the last layer.
    ///
    /// # Shapes
    /// - output: `[batch, 1, hidden_size]`
    fn forward(&self, pixels: Tensor<4>) -> Tensor<3> {
        let x = self.pre_layrnorm.forward(self.embeddings.forward(pixels));
        let x = self.encoder.forward(x, self.activation, 0);
        self.post_layernorm.forward(x.narrow(1, 0, 1))
    }
}

#[derive(Module, Debug)]
struct PatchEmbeddings {
    class_embedding: Param<Tensor<1>>,
    patch_embedding: Conv2d,
    position_embedding: Embedding,
}

impl PatchEmbeddings {
    /// # Shapes
    /// - output: `[batch, 1 + patches, hidden_size]`, the class token first
    fn forward(&self, pixels: Tensor<4>) -> Tensor<3> {
        let patches = self.patch_embedding.forward(pixels);
        let [batch, width, height, across] = patches.dims();
        let patches = patches.reshape([batch, width, height * across]).swap_dims(1, 2);
        let class = Tensor::zeros([batch, 1, width], &patches.device())
            + self.class_embedding.val().reshape([1, 1, width]);
        Tensor::cat(vec![class, patches], 1) + self.position_embedding.weight.val().unsqueeze::<3>()
    }
}
