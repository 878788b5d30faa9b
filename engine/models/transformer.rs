//! The transformer with cross-attention from picture to prompt (diffusers' `Transformer2DModel`).

use burn::module::Module;
use burn::tensor::{Device, FloatDType, Tensor, activation};

use super::attention::attend;
use super::layers::{Conv2d, GroupNorm, LayerNorm, Linear};
use crate::{cpu, gpu};

#[derive(Module, Debug)]
pub struct SpatialTransformer {
    norm: GroupNorm,
    proj_in: Projection,
    transformer_blocks: Vec<TransformerBlock>,
    proj_out: Projection,
}

#[derive(Clone, Copy, Debug)]
pub struct TransformerConfig {
    pub channels: usize,
    pub heads: usize,
    pub layers: usize,
    /// Width of the text encoder's output.
    pub context_width: usize,
    pub groups: usize,
    pub linear_projection: bool,
    /// Computes attention in f32 whatever the other precision.
    pub upcast: bool,
}

impl TransformerConfig {
    pub fn init(&self, device: &Device) -> SpatialTransformer {
        let Self { channels, layers, groups, linear_projection, .. } = *self;
        let projection = || match linear_projection {
            true => Projection::Linear(Linear::new(channels, channels, device)),
            false => Projection::Conv(Conv2d::new([channels, channels], 1, device)),
        };
        SpatialTransformer {
            norm: GroupNorm::new(groups, channels, 1e-6, device),
            proj_in: projection(),
            transformer_blocks: (0..layers).map(|_| TransformerBlock::new(self, device)).collect(),
            proj_out: projection(),
        }
    }
}

impl SpatialTransformer {
    /// # Shapes
    /// - x and output: `[batch, channels, height, width]`
    /// - context: `[batch, tokens, context_width]`
    pub fn forward(&self, x: Tensor<4>, context: Context<'_>) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        let tokens = self.norm.forward(x.clone());
        let mut tokens = match &self.proj_in {
            Projection::Conv(conv) => to_tokens(conv.forward(tokens)),
            Projection::Linear(linear) => linear.forward(to_tokens(tokens)),
        };
        for block in &self.transformer_blocks {
            tokens = block.forward(tokens, context, [height, width]);
        }
        let to_picture =
            |tokens: Tensor<3>| tokens.reshape([batch, height, width, channels]).permute([0, 3, 1, 2]);
        match &self.proj_out {
            Projection::Conv(conv) => conv.forward_add(to_picture(tokens), x),
            Projection::Linear(linear) => to_picture(linear.forward_add(tokens, to_tokens(x))),
        }
    }
}

/// The input of the cross-attention, and an optional observer of its weights.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// `[batch, tokens, context_width]`
    pub text: &'a Tensor<3>,
    pub observer: Option<&'a dyn AttentionObserver>,
}

/// Receives the weights of the cross-attention.
pub trait AttentionObserver {
    /// `weights` are `[batch, height * width, tokens]` for a layer with `sides` `[height, width]`: how much
    /// each position attends to each token.
    fn record(&self, weights: Tensor<3>, sides: [usize; 2]);
}

/// `[batch, channels, height, width]` to `[batch, height * width, channels]`.
pub fn to_tokens(x: Tensor<4>) -> Tensor<3> {
    let [batch, channels, height, width] = x.dims();
    x.permute([0, 2, 3, 1]).reshape([batch, height * width, channels])
}

/// The projection into or out of the transformer: a 1 x 1 convolution in SD 1.x, a linear layer in SD 2.x.
#[derive(Module, Debug)]
enum Projection {
    Conv(Conv2d),
    Linear(Linear),
}

#[derive(Module, Debug)]
struct TransformerBlock {
    norm1: LayerNorm,
    attn1: Attention,
    norm2: LayerNorm,
    attn2: Attention,
    norm3: LayerNorm,
    ff: FeedForward,
}

impl TransformerBlock {
    fn new(config: &TransformerConfig, device: &Device) -> Self {
        let TransformerConfig { channels, context_width, .. } = *config;
        let norm = || LayerNorm::new(channels, 1e-5, device);
        Self {
            norm1: norm(),
            attn1: Attention::new(channels, config, device),
            norm2: norm(),
            attn2: Attention::new(context_width, config, device),
            norm3: norm(),
            ff: FeedForward::new(channels, device),
        }
    }

    fn forward(&self, x: Tensor<3>, context: Context<'_>, sides: [usize; 2]) -> Tensor<3> {
        let normed = self.norm1.forward(x.clone());
        let x = self.attn1.forward_add(normed.clone(), normed, x);
        let normed = self.norm2.forward(x.clone());
        if let Some(observer) = context.observer {
            observer.record(self.attn2.weights(normed.clone(), context.text.clone()), sides);
        }
        let x = self.attn2.forward_add(normed, context.text.clone(), x);
        self.ff.forward_add(self.norm3.forward(x.clone()), x)
    }
}

#[derive(Module, Debug)]
struct Attention {
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Linear,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    upcast: bool,
}

impl Attention {
    fn new(context_width: usize, config: &TransformerConfig, device: &Device) -> Self {
        let TransformerConfig { channels: width, heads, upcast, .. } = *config;
        Self {
            to_q: Linear::without_bias(width, width, device),
            to_k: Linear::without_bias(context_width, width, device),
            to_v: Linear::without_bias(context_width, width, device),
            to_out: Linear::new(width, width, device),
            heads,
            upcast,
        }
    }

    fn forward_add(&self, x: Tensor<3>, context: Tensor<3>, residual: Tensor<3>) -> Tensor<3> {
        let dtype = x.dtype();
        let qkv = [self.to_q.forward(x), self.to_k.forward(context.clone()), self.to_v.forward(context)];
        let [q, k, v] = if self.upcast { qkv.map(|x| x.cast(FloatDType::F32)) } else { qkv };
        let attended = attend(q, k, v, self.heads, false).cast(dtype);
        self.to_out.forward_add(attended, residual)
    }
}

impl Attention {
    /// The attention weights, averaged over the heads, which [`forward_add`](Self::forward_add) does not keep.
    ///
    /// # Shapes
    /// - output: `[batch, queries, keys]`, f32; each row sums to 1
    fn weights(&self, x: Tensor<3>, context: Tensor<3>) -> Tensor<3> {
        let split_heads = |x: Tensor<3>| {
            let [batch, tokens, width] = x.dims();
            x.cast(FloatDType::F32).reshape([batch, tokens, self.heads, width / self.heads]).swap_dims(1, 2)
        };
        let (q, k) = (split_heads(self.to_q.forward(x)), split_heads(self.to_k.forward(context)));
        let scale = (q.dims()[3] as f64).sqrt();
        let scores = (q / scale).matmul(k.swap_dims(2, 3));
        activation::softmax(scores, 3).mean_dim(1).squeeze_dim::<3>(1)
    }
}

/// A feed-forward network, four times as wide inside, gated by GELU.
#[derive(Module, Debug)]
struct FeedForward {
    proj: Linear,
    out: Linear,
}

impl FeedForward {
    fn new(width: usize, device: &Device) -> Self {
        Self { proj: Linear::new(width, 8 * width, device), out: Linear::new(4 * width, width, device) }
    }

    fn forward_add(&self, x: Tensor<3>, residual: Tensor<3>) -> Tensor<3> {
        let x = self.proj.forward(x);
        let x = if cpu::runs_on(&x) {
            cpu::geglu(x)
        } else if cpu::is_tracked(&x) {
            cpu::tracked_geglu(x)
        } else if gpu::runs_on(&x) {
            gpu::geglu(x)
        } else {
            let [value, gate] = halves(x);
            value * activation::gelu(gate)
        };
        self.out.forward_add(x, residual)
    }
}

fn halves(x: Tensor<3>) -> [Tensor<3>; 2] {
    let width = x.dims()[2] / 2;
    [x.clone().narrow(2, 0, width), x.narrow(2, width, width)]
}
