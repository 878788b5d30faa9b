//! Linear, convolution and norm layers, with our own kernels on the CPU and on GPUs, and burn's for gradients.

use burn::module::{Module, Param, ParamId};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, FloatDType, Shape, Tensor, activation, module};

use super::tiled_vae::ChannelStats;
use crate::{cpu, gpu};

/// A parameter that is zero until weights are loaded, and takes no memory before.
pub fn parameter<const D: usize>(shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
    Param::uninitialized(
        ParamId::new(),
        move |device, _| Tensor::zeros(shape, device),
        device.clone(),
        false,
        Shape::from(shape.to_vec()),
    )
}

/// `x * weight' + bias`. The weight is stored as `[inputs, outputs]`.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[outputs, inputs]`
    pub weight: Param<Tensor<2>>,
    pub bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    pub fn new(inputs: usize, outputs: usize, device: &Device) -> Self {
        Self { weight: parameter([outputs, inputs], device), bias: Some(parameter([outputs], device)) }
    }

    pub fn without_bias(inputs: usize, outputs: usize, device: &Device) -> Self {
        Self { weight: parameter([outputs, inputs], device), bias: None }
    }

    /// # Shapes
    /// - x: `[batch, tokens, inputs]`
    /// - output: `[batch, tokens, outputs]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.product(x, None)
    }

    /// The output plus `addend`, which has the same shape.
    pub fn forward_add(&self, x: Tensor<3>, addend: Tensor<3>) -> Tensor<3> {
        self.product(x, Some(addend))
    }

    fn product(&self, x: Tensor<3>, addend: Option<Tensor<3>>) -> Tensor<3> {
        let weight = self.weight.val().transpose();
        let bias = self.bias.as_ref().map(Param::val);
        if cpu::runs_on(&x) {
            return cpu::linear(x, weight, bias, addend);
        }
        if cpu::tracks(&x, &weight) {
            return cpu::tracked_linear(x, weight, bias, addend);
        }
        let (weight, bias) = in_precision_of(&x, weight, bias);
        if gpu::multiplies(&x) {
            return gpu::linear(x, weight, bias, addend);
        }
        let y = module::linear(x, weight, bias);
        match addend {
            Some(addend) => y + addend,
            None => y,
        }
    }
}

/// A layer computes in the precision of its input; f16 weights are converted for the moment.
fn in_precision_of<const X: usize, const W: usize>(
    x: &Tensor<X>,
    weight: Tensor<W>,
    bias: Option<Tensor<1>>,
) -> (Tensor<W>, Option<Tensor<1>>) {
    let dtype = FloatDType::from(x.dtype());
    (weight.cast(dtype), bias.map(|bias| bias.cast(dtype)))
}

/// A convolution with a square kernel. The weight is stored as `[kernel, kernel, inputs, outputs]`, and for
/// matrix units as `[outputs, kernel, kernel, inputs]`.
#[derive(Module, Debug)]
pub struct Conv2d {
    /// `[outputs, inputs, kernel, kernel]`
    pub weight: Param<Tensor<4>>,
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    stride: usize,
    #[module(skip)]
    padding: Padding,
}

/// Zeros added around a picture before a convolution.
#[derive(Clone, Copy, Debug)]
pub enum Padding {
    /// The same number on each side.
    Even(usize),
    /// One on the right and one at the bottom: the downsampling of the VAE.
    After,
}

impl Conv2d {
    pub fn new([inputs, outputs]: [usize; 2], kernel: usize, device: &Device) -> Self {
        Self {
            weight: parameter([outputs, inputs, kernel, kernel], device),
            bias: Some(parameter([outputs], device)),
            stride: 1,
            padding: Padding::Even(kernel / 2),
        }
    }

    /// Squares of `side` pixels beside each other, each to a vector, without a bias.
    pub fn patches([inputs, outputs]: [usize; 2], side: usize, device: &Device) -> Self {
        let padding = Padding::Even(0);
        Self { stride: side, padding, bias: None, ..Self::new([inputs, outputs], side, device) }
    }

    /// A convolution that halves each side.
    pub fn downsampling(channels: usize, padding: Padding, device: &Device) -> Self {
        Self { stride: 2, padding, ..Self::new([channels, channels], 3, device) }
    }

    /// # Shapes
    /// - x: `[batch, inputs, height, width]`
    /// - output: `[batch, outputs, ..]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.convolve(x, None)
    }

    /// The output plus `addend`, which has the same shape or is `[batch, outputs, 1, 1]`.
    pub fn forward_add(&self, x: Tensor<4>, addend: Tensor<4>) -> Tensor<4> {
        self.convolve(x, Some(addend))
    }

    fn convolve(&self, x: Tensor<4>, addend: Option<Tensor<4>>) -> Tensor<4> {
        let weight = self.weight.val();
        let bias = self.bias.as_ref().map(Param::val);
        let kernel = weight.dims()[2];
        let (before, after) = match self.padding {
            Padding::Even(zeros) => (zeros, zeros),
            Padding::After => (0, 1),
        };
        let shape = cpu::Conv2dShape { kernel, stride: self.stride, pad_before: before, pad_after: after };
        if cpu::runs_on(&x) {
            return cpu::conv2d(x, weight, bias, addend, shape);
        }
        if cpu::tracks(&x, &weight) {
            return cpu::tracked_conv2d(x, weight, bias, addend, shape);
        }
        let (weight, bias) = in_precision_of(&x, weight, bias);
        if gpu::runs_on(&x) {
            return gpu::conv2d(x, weight, bias, addend, shape);
        }
        let (x, padding) = match self.padding {
            Padding::Even(zeros) => (x, zeros),
            Padding::After => (x.pad((0, 1, 0, 1), 0.0), 0),
        };
        let options = ConvOptions::new([self.stride; 2], [padding; 2], [1, 1], 1);
        let y = module::conv2d(x, weight, bias, options);
        match addend {
            Some(addend) => y + addend,
            None => y,
        }
    }
}

/// Normalises groups of channels over the whole picture.
#[derive(Module, Debug)]
pub struct GroupNorm {
    pub weight: Param<Tensor<1>>,
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    groups: usize,
    #[module(skip)]
    epsilon: f64,
}

impl GroupNorm {
    pub fn new(groups: usize, channels: usize, epsilon: f64, device: &Device) -> Self {
        Self { weight: parameter([channels], device), bias: parameter([channels], device), groups, epsilon }
    }

    /// # Shapes
    /// - x and output: `[batch, channels, height, width]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.normalise(x, false)
    }

    /// The norm followed by SiLU.
    pub fn forward_silu(&self, x: Tensor<4>) -> Tensor<4> {
        self.normalise(x, true)
    }

    /// The norm followed by SiLU for a part of a picture, with the statistics of the whole.
    pub fn forward_silu_with(&self, x: Tensor<4>, whole: &ChannelStats) -> Tensor<4> {
        let (mean, scale) = whole.mean_and_scale(self.groups, self.epsilon);
        let [mean, scale] = [mean, scale].map(|values| Tensor::<1>::from_data(&values[..], &x.device()));
        let (scale, bias) = (scale * self.weight.val(), self.bias.val());
        if cpu::runs_on(&x) {
            return cpu::normalise(x, mean, scale, bias, true);
        }
        let [mean, scale, bias] = [mean, scale, bias].map(|values| values.reshape([1, -1, 1, 1]));
        silu((x - mean) * scale + bias)
    }

    fn normalise(&self, x: Tensor<4>, silu: bool) -> Tensor<4> {
        let (weight, bias) = (self.weight.val(), self.bias.val());
        if cpu::runs_on(&x) {
            return cpu::group_norm(x, weight, bias, self.groups, self.epsilon, silu);
        }
        if cpu::tracks(&x, &weight) {
            return cpu::tracked_group_norm(x, weight, bias, self.groups, self.epsilon, silu);
        }
        if gpu::runs_on(&x) {
            let dtype = FloatDType::from(x.dtype());
            let (weight, bias) = (weight.cast(dtype), bias.cast(dtype));
            return gpu::group_norm(x, weight, bias, self.groups, self.epsilon, silu);
        }
        let [batch, channels, height, width] = x.dims();
        let dtype = x.dtype();
        // The statistics of half-precision activations overflow in half precision.
        let grouped =
            x.cast(FloatDType::F32).reshape([batch, self.groups, channels / self.groups * height * width]);
        let mean = grouped.clone().mean_dim(2);
        let centered = grouped - mean;
        let variance = centered.clone().square().mean_dim(2);
        let y = (centered / (variance + self.epsilon).sqrt()).reshape([batch, channels, height, width]);
        let y = y * weight.cast(FloatDType::F32).reshape([1, channels, 1, 1])
            + bias.cast(FloatDType::F32).reshape([1, channels, 1, 1]);
        let y = if silu { activation::silu(y) } else { y };
        y.cast(dtype)
    }
}

/// Normalises the channels of each token.
#[derive(Module, Debug)]
pub struct LayerNorm {
    pub weight: Param<Tensor<1>>,
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    epsilon: f64,
}

impl LayerNorm {
    pub fn new(width: usize, epsilon: f64, device: &Device) -> Self {
        Self { weight: parameter([width], device), bias: parameter([width], device), epsilon }
    }

    /// # Shapes
    /// - x and output: `[batch, tokens, width]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        if cpu::tracks(&x, &self.weight.val()) {
            return cpu::tracked_layer_norm(x, self.weight.val(), self.bias.val(), self.epsilon);
        }
        let dtype = x.dtype();
        if gpu::runs_on(&x) {
            let [weight, bias] =
                [&self.weight, &self.bias].map(|part| part.val().cast(FloatDType::from(dtype)));
            return gpu::layer_norm(x, weight, bias, self.epsilon);
        }
        let y = module::layer_norm(
            x.cast(FloatDType::F32),
            self.weight.val().cast(FloatDType::F32),
            Some(self.bias.val().cast(FloatDType::F32)),
            self.epsilon,
        );
        y.cast(dtype)
    }
}

/// A table of vectors by id. The loader keeps that of the vocabulary on the CPU, whatever the device of the network: 152 MB in
/// SD 1.x, of which a prompt needs 77 rows.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[entries, width]`
    pub weight: Param<Tensor<2>>,
}

impl Embedding {
    pub fn new(entries: usize, width: usize, device: &Device) -> Self {
        Self { weight: parameter([entries, width], device) }
    }
}

/// `x * sigmoid(x)`.
pub fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if cpu::runs_on(&x) { cpu::activate(cpu::Silu, x) } else { activation::silu(x) }
}

/// The tensor on a device, which may be its own.
pub fn on_device<const D: usize>(x: Tensor<D>, device: &Device) -> Tensor<D> {
    if x.device() == *device { x } else { Tensor::from_data(x.into_data(), device) }
}

/// `a + b` of one shape.
pub fn add<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    if cpu::runs_on(&a) && cpu::runs_on(&b) { cpu::add(a, b) } else { a + b }
}

/// Concatenates over channels.
pub fn cat_channels(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    if cpu::is_tracked(&a) || cpu::is_tracked(&b) {
        return cpu::tracked_cat_channels(a, b);
    }
    if cpu::runs_on(&a) {
        return cpu::cat_channels(a, b);
    }
    if gpu::runs_on(&a) { gpu::cat_channels(a, b) } else { Tensor::cat(vec![a, b], 1) }
}

/// Nearest-neighbour resize, as PyTorch's `interpolate` does it.
pub fn upsample_nearest(x: Tensor<4>, height: usize, width: usize) -> Tensor<4> {
    if cpu::runs_on(&x) {
        return cpu::upsample_nearest(x, height, width);
    }
    if cpu::is_tracked(&x) {
        return cpu::tracked_upsample_nearest(x, height, width);
    }
    if gpu::runs_on(&x) {
        return gpu::upsample_nearest(x, height, width);
    }
    let options = burn::tensor::ops::InterpolateOptions::new(burn::tensor::ops::InterpolateMode::Nearest);
    module::interpolate(x, options.with_output_size([height, width]))
}
