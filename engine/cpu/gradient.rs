//! Gradients of the kernels that take most of a backward pass, with respect to their input. burn's own operations compute
//! the others, and those of the weights, which are never trained here.

use std::fmt;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, unary};
use burn::backend::flex::{Flex, FlexTensor};
use burn::tensor::{DType, Tensor};
use pulp::Arch;
use rayon::prelude::*;

use super::activation::exp;
use super::conv::{Conv2dShape, conv2d};
use super::norm::{GroupStats, group_norm, group_stats};
use super::{channels_last, close, contiguous, from_channels_last, is_cpu, open, rows_per_task, values};

/// True for f32 tensors on the CPU that are tracked for gradients, while the weights, in f32 or f16, are not.
pub fn tracks<const D: usize, const W: usize>(x: &Tensor<D>, weight: &Tensor<W>) -> bool {
    let device = x.device();
    device.is_autodiff() && is_cpu(&device.inner()) && x.dtype() == DType::F32 && is_cpu(&weight.device())
}

/// [`conv2d`] without an addend, of stride 1, for a tracked `x`. Its gradient with respect to `x` is the convolution of
/// the output's gradient with the mirrored kernels, from outputs to inputs.
pub fn tracked_conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    shape: Conv2dShape,
) -> Tensor<4> {
    assert_eq!(shape.stride, 1, "with a stride the gradient is another kind of convolution");
    let mirrored = weight.clone().flip([2, 3]).swap_dims(0, 1);
    let backward_shape = Conv2dShape {
        pad_before: shape.kernel - 1 - shape.pad_before,
        pad_after: shape.kernel - 1 - shape.pad_after,
        ..shape
    };
    let gradient = move |gradient| conv2d(gradient, mirrored, None, None, backward_shape);
    tracked(x, |x| conv2d(x, weight, bias, None, shape), gradient)
}

/// [`group_norm`] for a tracked `x`.
pub fn tracked_group_norm(
    x: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    groups: usize,
    epsilon: f64,
    silu: bool,
) -> Tensor<4> {
    let input = x.clone().inner();
    let norm = GroupNorm { weight: weight.clone(), bias: bias.clone(), groups, epsilon, silu };
    tracked(
        x,
        |x| group_norm(x, weight, bias, groups, epsilon, silu),
        move |gradient| norm.input_gradient(input, gradient),
    )
}

struct GroupNorm {
    weight: Tensor<1>,
    bias: Tensor<1>,
    groups: usize,
    epsilon: f64,
    silu: bool,
}

impl GroupNorm {
    /// With `n = (x - mean) / deviation` of a group, and `g` the gradient with respect to `n`, it is
    /// `(g - mean(g) - n mean(g n)) / deviation` (Ioffe and Szegedy, 2015, section 3).
    fn input_gradient(self, x: Tensor<4>, gradient: Tensor<4>) -> Tensor<4> {
        let (x, shape) = channels_last(x);
        let [_, height, width, channels] = shape;
        let mut gradient = values(&channels_last(gradient).0).to_vec();
        let (weight, bias) = (contiguous(self.weight), contiguous(self.bias));
        let (weight, bias) = (values(&weight), values(&bias));
        let in_group = channels / self.groups;
        let count = (height * width * in_group) as f64;
        let of_groups = |sums: &[f64]| -> Vec<f64> {
            sums.chunks_exact(in_group).map(|sums| sums.iter().sum::<f64>() / count).collect()
        };
        let task = rows_per_task(height * width, 32) * channels;
        let arch = Arch::new();
        let images = values(&x).chunks_exact(height * width * channels);
        for (image, gradient) in images.zip(gradient.chunks_exact_mut(height * width * channels)) {
            let GroupStats { mean, deviation } = group_stats(image, self.groups, channels, self.epsilon);
            let scale: Vec<f32> =
                (0..channels).map(|channel| (1.0 / deviation[channel / in_group]) as f32).collect();
            let channel = Channels { mean: &mean, scale: &scale, weight, bias };
            let parts = gradient.par_chunks_mut(task).zip(image.par_chunks(task));
            let sums = parts.map(|(gradient, image)| match self.silu {
                true => arch.dispatch(
                    #[inline(always)]
                    || channel.normalised_gradient(gradient, image, silu_slope),
                ),
                false => arch.dispatch(
                    #[inline(always)]
                    || channel.normalised_gradient(gradient, image, |_| 1.0),
                ),
            });
            let add = |a: Vec<f64>, b: Vec<f64>| a.iter().zip(&b).map(|(a, b)| a + b).collect();
            let sums = sums.reduce_with(|a, b| [0, 1].map(|index| add(a[index].clone(), b[index].clone())));
            let [sum, product] = sums.unwrap_or_else(|| [(); 2].map(|()| vec![0.0; channels]));
            let [sum, product] = [sum, product].map(|sums| {
                let means = of_groups(&sums);
                (0..channels).map(|channel| means[channel / in_group] as f32).collect::<Vec<_>>()
            });
            gradient.par_chunks_mut(task).zip(image.par_chunks(task)).for_each(|(gradient, image)| {
                arch.dispatch(
                    #[inline(always)]
                    || channel.input_gradient(gradient, image, &sum, &product),
                );
            });
        }
        from_channels_last(gradient, shape)
    }
}

/// What a norm does to each channel of a picture: `(x - mean) * scale` normalises it.
struct Channels<'a> {
    mean: &'a [f32],
    scale: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
}

impl Channels<'_> {
    /// Turns the gradient with respect to the output into the one with respect to the normalised values, and returns for
    /// each channel the sum of it and of its product with them. `slope` is the derivative of the activation.
    #[inline(always)]
    fn normalised_gradient(
        &self,
        gradient: &mut [f32],
        image: &[f32],
        slope: impl Fn(f32) -> f32,
    ) -> [Vec<f64>; 2] {
        let count = self.mean.len();
        let [mut sums, mut products] = [(); 2].map(|()| vec![0.0f64; count]);
        for (gradient, image) in gradient.chunks_exact_mut(count).zip(image.chunks_exact(count)) {
            // Slices of one known length, so that the loop needs no checks and is vectorised.
            let (mean, scale) = (&self.mean[..count], &self.scale[..count]);
            let (weight, bias) = (&self.weight[..count], &self.bias[..count]);
            let (sums, products) = (&mut sums[..count], &mut products[..count]);
            for channel in 0..count {
                let n = (image[channel] - mean[channel]) * scale[channel];
                let g = gradient[channel] * slope(n * weight[channel] + bias[channel]) * weight[channel];
                gradient[channel] = g;
                sums[channel] += f64::from(g);
                products[channel] += f64::from(g * n);
            }
        }
        [sums, products]
    }

    /// Turns the gradient with respect to the normalised values into the one with respect to the input.
    #[inline(always)]
    fn input_gradient(&self, gradient: &mut [f32], image: &[f32], sum: &[f32], product: &[f32]) {
        let count = self.mean.len();
        for (gradient, image) in gradient.chunks_exact_mut(count).zip(image.chunks_exact(count)) {
            let (mean, scale) = (&self.mean[..count], &self.scale[..count]);
            let (sum, product) = (&sum[..count], &product[..count]);
            for channel in 0..count {
                let n = (image[channel] - mean[channel]) * scale[channel];
                gradient[channel] =
                    (gradient[channel] - sum[channel] - n * product[channel]) * scale[channel];
            }
        }
    }
}

/// The derivative of SiLU.
#[inline(always)]
fn silu_slope(x: f32) -> f32 {
    let sigmoid = 1.0 / (1.0 + exp(-x));
    sigmoid * (1.0 + x * (1.0 - sigmoid))
}

/// An operation with one tracked input: computes it by `forward`, and the gradient with respect to the input by `gradient`
/// from the one with respect to the output.
fn tracked(
    x: Tensor<4>,
    forward: impl FnOnce(Tensor<4>) -> Tensor<4>,
    gradient: impl FnOnce(Tensor<4>) -> Tensor<4> + Send + 'static,
) -> Tensor<4> {
    let x = x.try_into_primitive::<Autodiff<Flex>>().expect("called for tracked tensors on the CPU");
    let (x, node) = x.into_parts();
    let output = open(forward(close(x)));
    let operation = InputGradient(gradient).prepare::<NoCheckpointing>([node]).compute_bound();
    Tensor::from_primitive::<Autodiff<Flex>>(operation.stateless(output))
}

/// The backward pass of [`tracked`].
struct InputGradient<F>(F);

impl<F> fmt::Debug for InputGradient<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InputGradient")
    }
}

impl<F: FnOnce(Tensor<4>) -> Tensor<4> + Send + 'static> Backward<Flex, 1> for InputGradient<F> {
    type State = ();

    fn backward(self, ops: Ops<(), 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = |output: FlexTensor| open((self.0)(close(output)));
        unary::<Flex, _>(ops.parents, ops.node, gradients, gradient);
    }
}
