//! The text encoder (transformers' `CLIPTextModel`), with ids or embeddings as input.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use serde::Deserialize;

use super::attention::attend;
use super::layers::{Embedding, LayerNorm, Linear, add, on_device};
use super::unet::MAX_LAYERS;
use crate::cpu;

/// The parts of `text_encoder/config.json` that affect the network and that this network has in more than one form.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct ClipTextConfig {
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_attention_heads: usize,
    pub num_hidden_layers: usize,
    pub max_position_embeddings: usize,
    pub vocab_size: usize,
    pub hidden_act: Activation,
    pub layer_norm_eps: f64,
}

impl Default for ClipTextConfig {
    /// transformers' defaults.
    fn default() -> Self {
        Self {
            hidden_size: 512,
            intermediate_size: 2048,
            num_attention_heads: 8,
            num_hidden_layers: 12,
            max_position_embeddings: 77,
            vocab_size: 49408,
            hidden_act: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// OpenAI's CLIP, SD 1.x.
    QuickGelu,
    /// OpenCLIP, SD 2.x.
    Gelu,
}

impl ClipTextConfig {
    /// True for the text encoders of SD 2.x, which OpenCLIP trained with an exact GELU; those of SD 1.x
    /// are OpenAI's.
    pub fn is_open_clip(&self) -> bool {
        self.hidden_act == Activation::Gelu
    }

    /// The token that short prompts were padded with in training: id 0 (`!`) for OpenCLIP, otherwise the end
    /// token.
    pub fn padding(&self) -> &'static str {
        if self.is_open_clip() { "!" } else { "<|endoftext|>" }
    }

    /// Checks the configuration; the error is what is not supported.
    pub fn check(&self) -> Result<(), String> {
        if self.num_hidden_layers > MAX_LAYERS {
            return Err(format!("a text encoder with num_hidden_layers {}", self.num_hidden_layers));
        }
        match self.num_attention_heads {
            heads if heads > 0 && self.hidden_size.is_multiple_of(heads) => Ok(()),
            heads => Err(format!("a width of {} in {heads} heads", self.hidden_size)),
        }
    }

    pub fn init(&self, device: &Device) -> ClipText {
        let width = self.hidden_size;
        let encoder = EncoderConfig {
            width,
            intermediate_size: self.intermediate_size,
            heads: self.num_attention_heads,
            layers: self.num_hidden_layers,
            layer_norm_eps: self.layer_norm_eps,
            is_causal: true,
        };
        ClipText {
            embeddings: Embeddings {
                token_embedding: Embedding::new(self.vocab_size, width, device),
                position_embedding: Embedding::new(self.max_position_embeddings, width, device),
            },
            encoder: encoder.init(device),
            final_layer_norm: LayerNorm::new(width, self.layer_norm_eps, device),
            activation: self.hidden_act,
        }
    }
}

#[derive(Module, Debug)]
pub struct ClipText {
    embeddings: Embeddings,
    encoder: Encoder,
    final_layer_norm: LayerNorm,
    #[module(skip)]
    activation: Activation,
}

impl ClipText {
    /// The token embeddings of the ids, before positions are added.
    ///
    /// # Shapes
    /// - ids: `batch` rows of one length
    /// - output: `[batch, tokens, hidden_size]`
    pub fn token_embeddings(&self, ids: &[&[u32]]) -> Tensor<3> {
        let table = self.table();
        let tokens = ids[0].len();
        let flat: Vec<i32> = ids.iter().flat_map(|ids| ids.iter().map(|&id| id as i32)).collect();
        let count = flat.len();
        let ids = Tensor::<1, Int>::from_data(TensorData::new(flat, [count]), &table.device());
        let width = table.dims()[1];
        let rows = table.select(0, ids).reshape([count / tokens, tokens, width]);
        on_device(rows, &self.final_layer_norm.weight.val().device())
    }

    /// Output embeddings after the final norm: what the UNet reads.
    ///
    /// # Shapes
    /// - token_embeddings and output: `[batch, tokens, hidden_size]`
    pub fn forward(&self, token_embeddings: Tensor<3>) -> Tensor<3> {
        let positions = self.position_embeddings(token_embeddings.dims()[1]);
        self.encode(token_embeddings + positions.unsqueeze::<3>(), 1)
    }

    /// What is added to the token embeddings at the first `tokens` positions.
    ///
    /// # Shapes
    /// - output: `[tokens, hidden_size]`
    pub fn position_embeddings(&self, tokens: usize) -> Tensor<2> {
        self.embeddings.position_embedding.weight.val().narrow(0, 0, tokens)
    }

    /// Encodes the sum of token and position embeddings, with the last `clip_skip - 1` layers skipped, and
    /// applies the final norm.
    ///
    /// # Shapes
    /// - x and output: `[batch, tokens, hidden_size]`
    pub fn encode(&self, x: Tensor<3>, clip_skip: usize) -> Tensor<3> {
        self.final_layer_norm.forward(self.encoder.forward(x, self.activation, clip_skip - 1))
    }

    /// The embeddings of the whole vocabulary, on the CPU.
    ///
    /// # Shapes
    /// - output: `[words, hidden_size]`
    pub fn table(&self) -> Tensor<2> {
        self.embeddings.token_embedding.weight.val()
    }
}

#[derive(Module, Debug)]
struct Embeddings {
    token_embedding: Embedding,
    position_embedding: Embedding,
}

/// The layers of the text encoder, or of the image encoder.
pub(super) struct EncoderConfig {
    pub width: usize,
    pub intermediate_size: usize,
    pub heads: usize,
    pub layers: usize,
    pub layer_norm_eps: f64,
    /// Whether each token attends only to itself and to those before it.
    pub is_causal: bool,
}

impl EncoderConfig {
    pub fn init(&self, device: &Device) -> Encoder {
        let width = self.width;
        let norm = || LayerNorm::new(width, self.layer_norm_eps, device);
        let layer = || Layer {
            self_attn: SelfAttention {
                q_proj: Linear::new(width, width, device),
                k_proj: Linear::new(width, width, device),
                v_proj: Linear::new(width, width, device),
                out_proj: Linear::new(width, width, device),
                heads: self.heads,
                is_causal: self.is_causal,
            },
            layer_norm1: norm(),
            mlp: Mlp {
                fc1: Linear::new(width, self.intermediate_size, device),
                fc2: Linear::new(self.intermediate_size, width, device),
            },
            layer_norm2: norm(),
        };
        Encoder { layers: (0..self.layers).map(|_| layer()).collect() }
    }
}

#[derive(Module, Debug)]
pub(super) struct Encoder {
    layers: Vec<Layer>,
}

impl Encoder {
    /// All layers but the last `skipped`.
    ///
    /// # Shapes
    /// - x and output: `[batch, tokens, width]`
    pub fn forward(&self, mut x: Tensor<3>, activation: Activation, skipped: usize) -> Tensor<3> {
        for layer in &self.layers[..self.layers.len().saturating_sub(skipped)] {
            x = layer.forward(x, activation);
        }
        x
    }
}

#[derive(Module, Debug)]
struct Layer {
    self_attn: SelfAttention,
    layer_norm1: LayerNorm,
    mlp: Mlp,
    layer_norm2: LayerNorm,
}

impl Layer {
    fn forward(&self, x: Tensor<3>, activation: Activation) -> Tensor<3> {
        let x = self.self_attn.forward_add(self.layer_norm1.forward(x.clone()), x);
        self.mlp.forward_add(self.layer_norm2.forward(x.clone()), x, activation)
    }
}

#[derive(Module, Debug)]
struct SelfAttention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    out_proj: Linear,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    is_causal: bool,
}

impl SelfAttention {
    fn forward_add(&self, x: Tensor<3>, residual: Tensor<3>) -> Tensor<3> {
        let (q, k) = (self.q_proj.forward(x.clone()), self.k_proj.forward(x.clone()));
        let attended = attend(q, k, self.v_proj.forward(x), self.heads, self.is_causal);
        self.out_proj.forward_add(attended, residual)
    }
}

#[derive(Module, Debug)]
struct Mlp {
    fc1: Linear,
    fc2: Linear,
}

impl Mlp {
    fn forward_add(&self, x: Tensor<3>, residual: Tensor<3>, activation: Activation) -> Tensor<3> {
        let x = self.fc1.forward(x);
        let x = match activation {
            Activation::QuickGelu if cpu::runs_on(&x) => cpu::activate(cpu::QuickGelu, x),
            Activation::QuickGelu => x.clone() * activation::sigmoid(x * 1.702),
            Activation::Gelu => activation::gelu(x),
        };
        add(self.fc2.forward(x), residual)
    }
}
