//! The kernels under autodiff. Each is computed as without it, and has a gradient of its own with respect to its inputs;
//! those of the weights are not computed, for nothing is trained here.

use std::fmt;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::Flex;
use burn::tensor::{DType, Tensor, module};

use super::activation::{geglu, geglu_gradient};
use super::attention::attention;
use super::attention_gradient::attention_gradient;
use super::conv::{Conv2dShape, conv2d, conv2d_gradient};
use super::norm::group_norm;
use super::norm_gradient::{GroupNorm, layer_norm_gradient};
use super::rows::{
    cat_channels, linear, linear_gradient, split_channels, upsample_nearest, upsample_nearest_gradient,
};
use super::{close, is_cpu, open};

/// True for f32 tensors on the CPU that are tracked for gradients.
pub fn is_tracked<const D: usize>(x: &Tensor<D>) -> bool {
    let device = x.device();
    device.is_autodiff() && is_cpu(&device.inner()) && x.dtype() == DType::F32
}

/// True if `x` is tracked, while the weights, in f32 or f16, are not.
pub fn tracks<const D: usize, const W: usize>(x: &Tensor<D>, weight: &Tensor<W>) -> bool {
    is_tracked(x) && is_cpu(&weight.device())
}

/// [`conv2d`] for a tracked `x`, whose addend may be tracked if it has the shape of the output.
pub fn tracked_conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    addend: Option<Tensor<4>>,
    shape: Conv2dShape,
) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    let kernels = weight.clone();
    let of_x = move |gradient| conv2d_gradient(gradient, kernels, [height, width], shape);
    match addend {
        Some(addend) if is_tracked(&addend) => tracked(
            [x, addend],
            |[x, addend]| conv2d(x, weight, bias, Some(addend), shape),
            |gradient| [of_x(gradient.clone()), gradient],
        ),
        addend => tracked([x], |[x]| conv2d(x, weight, bias, addend, shape), |gradient| [of_x(gradient)]),
    }
}

/// [`linear`] for a tracked `x`.
pub fn tracked_linear(
    x: Tensor<3>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    addend: Option<Tensor<3>>,
) -> Tensor<3> {
    let factors = weight.clone();
    let of_x = |gradient| linear_gradient(gradient, factors);
    match addend {
        Some(addend) if is_tracked(&addend) => tracked(
            [x, addend],
            |[x, addend]| linear(x, weight, bias, Some(addend)),
            |gradient| [of_x(gradient.clone()), gradient],
        ),
        addend => tracked([x], |[x]| linear(x, weight, bias, addend), |gradient| [of_x(gradient)]),
    }
}

/// [`attention`] to all keys for a tracked `q`. The keys and the values are tracked, or neither is.
pub fn tracked_attention(q: Tensor<3>, k: Tensor<3>, v: Tensor<3>, heads: usize) -> Tensor<3> {
    let inputs = [&q, &k, &v].map(|x| x.clone().inner());
    if !is_tracked(&k) {
        return tracked(
            [q],
            |[q]| attention(q, k, v, heads, false),
            move |gradient| [attention_gradient(inputs, heads, gradient, false).0],
        );
    }
    tracked(
        [q, k, v],
        |[q, k, v]| attention(q, k, v, heads, false),
        move |gradient| {
            let (q, of_keys) = attention_gradient(inputs, heads, gradient, true);
            let [k, v] = of_keys.expect("asked for");
            [q, k, v]
        },
    )
}

/// [`geglu`] for a tracked `x`.
pub fn tracked_geglu(x: Tensor<3>) -> Tensor<3> {
    let input = x.clone().inner();
    tracked([x], |[x]| geglu(x), |gradient| [geglu_gradient(input, gradient)])
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
        [x],
        |[x]| group_norm(x, weight, bias, groups, epsilon, silu),
        |gradient| [norm.input_gradient(input, gradient)],
    )
}

/// A norm over each token's channels for a tracked `x`.
pub fn tracked_layer_norm(x: Tensor<3>, weight: Tensor<1>, bias: Tensor<1>, epsilon: f64) -> Tensor<3> {
    let (input, factors) = (x.clone().inner(), weight.clone());
    tracked(
        [x],
        |[x]| module::layer_norm(x, weight, Some(bias), epsilon),
        move |gradient| [layer_norm_gradient(input, gradient, factors, epsilon)],
    )
}

/// [`cat_channels`] if one of the two is tracked.
pub fn tracked_cat_channels(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    let a_channels = a.dims()[1];
    tracked(
        [a.autodiff(), b.autodiff()],
        |[a, b]| cat_channels(a, b),
        move |gradient| split_channels(gradient, a_channels),
    )
}

/// [`upsample_nearest`] for a tracked `x`.
pub fn tracked_upsample_nearest(x: Tensor<4>, height: usize, width: usize) -> Tensor<4> {
    let [_, _, from_height, from_width] = x.dims();
    tracked(
        [x],
        |[x]| upsample_nearest(x, height, width),
        move |gradient| [upsample_nearest_gradient(gradient, [from_height, from_width])],
    )
}

/// An operation with tracked inputs: computes it by `forward`, and the gradients with respect to the inputs by `gradients`
/// from the one with respect to the output.
fn tracked<const D: usize, const N: usize>(
    inputs: [Tensor<D>; N],
    forward: impl FnOnce([Tensor<D>; N]) -> Tensor<D>,
    gradients: impl FnOnce(Tensor<D>) -> [Tensor<D>; N] + Send + 'static,
) -> Tensor<D> {
    let mut nodes = Vec::with_capacity(N);
    let inputs = inputs.map(|x| {
        let x = x.try_into_primitive::<Autodiff<Flex>>().expect("called for tracked tensors on the CPU");
        let (x, node) = x.into_parts();
        nodes.push(node);
        close(x)
    });
    let nodes: [_; N] = nodes.try_into().expect("one of each input");
    let output = open(forward(inputs));
    let operation = InputGradients::<_, D>(gradients).prepare::<NoCheckpointing>(nodes).compute_bound();
    Tensor::from_primitive::<Autodiff<Flex>>(operation.stateless(output))
}

/// The backward pass of [`tracked`].
struct InputGradients<F, const D: usize>(F);

impl<F, const D: usize> fmt::Debug for InputGradients<F, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InputGradients")
    }
}

impl<F, const D: usize, const N: usize> Backward<Flex, N> for InputGradients<F, D>
where
    F: FnOnce(Tensor<D>) -> [Tensor<D>; N] + Send + 'static,
{
    type State = ();

    fn backward(self, ops: Ops<(), N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let of_inputs = (self.0)(close(gradients.consume::<Flex>(&ops.node)));
        for (input, gradient) in ops.parents.into_iter().zip(of_inputs) {
            if let Some(input) = input {
                gradients.register::<Flex>(input.id, open(gradient));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::ops::{ConvOptions, InterpolateMode, InterpolateOptions};
    use burn::tensor::{Device, TensorData, activation};

    use super::*;
    use crate::diffusion::NoiseStreams;

    fn random<const D: usize>(seed: u64, shape: [usize; D]) -> Tensor<D> {
        let numbers = NoiseStreams::new(seed, 1).draw([1, 1, 1, shape.iter().product()]).data;
        Tensor::from_data(TensorData::new(numbers, shape), &Device::flex())
    }

    type Function<const D: usize> = Box<dyn Fn(&[Tensor<D>]) -> Tensor<D>>;

    /// The output, and the gradient of its product with fixed numbers with respect to each input.
    fn gradients<const D: usize>(function: &Function<D>, shapes: &[[usize; D]]) -> Vec<Vec<f32>> {
        let inputs = (0..).zip(shapes).map(|(seed, shape)| random(seed, *shape).autodiff().require_grad());
        let inputs: Vec<Tensor<D>> = inputs.collect();
        let output = function(&inputs);
        let factors = random(99, output.dims());
        let gradients = (output.clone() * factors).sum().backward();
        let of_inputs = inputs.iter().map(|input| input.grad(&gradients).expect("it depends on each"));
        let all = std::iter::once(output.inner()).chain(of_inputs);
        all.map(|x| x.into_data().try_into_vec().expect("f32")).collect()
    }

    fn assert_same<const D: usize>(cases: Vec<(&str, Vec<[usize; D]>, Function<D>, Function<D>)>) {
        for (name, shapes, kernel, plain) in cases {
            for (ours, expected) in gradients(&kernel, &shapes).iter().zip(gradients(&plain, &shapes)) {
                let largest = expected.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
                assert_eq!(ours.len(), expected.len(), "{name}");
                for (ours, expected) in ours.iter().zip(&expected) {
                    assert!((ours - expected).abs() <= 2e-5 * largest, "{name}: {ours} is not {expected}");
                }
            }
        }
    }

    /// diffusers' attention, from plain operations.
    fn plain_attention(q: &Tensor<3>, k: &Tensor<3>, v: &Tensor<3>, heads: usize) -> Tensor<3> {
        let [batch, queries, width] = q.dims();
        let split =
            |x: &Tensor<3>| x.clone().reshape([batch, x.dims()[1], heads, width / heads]).swap_dims(1, 2);
        let scores = split(q).matmul(split(k).swap_dims(2, 3)) / ((width / heads) as f64).sqrt();
        activation::softmax(scores, 3).matmul(split(v)).swap_dims(1, 2).reshape([batch, queries, width])
    }

    #[test]
    fn every_kernel_over_tokens_has_the_gradient_that_autodiff_finds_for_plain_operations() {
        let (weight, bias) = (random(10, [12, 7]), random(11, [7]));
        let (wide, scale, shift) = (random(12, [12, 700]), random(13, [12]), random(14, [12]));
        let text = [random(15, [2, 5, 12]), random(16, [2, 5, 12])];
        assert_same::<3>(vec![
            (
                "linear with an addend",
                vec![[2, 9, 12], [2, 9, 7]],
                Box::new({
                    let (weight, bias) = (weight.clone(), bias.clone());
                    move |x| {
                        let addend = Some(x[1].clone());
                        tracked_linear(x[0].clone(), weight.clone(), Some(bias.clone()), addend)
                    }
                }),
                Box::new(move |x| {
                    module::linear(x[0].clone(), weight.clone(), Some(bias.clone())) + x[1].clone()
                }),
            ),
            (
                "linear over several tasks",
                vec![[1, 70, 12]],
                Box::new({
                    let wide = wide.clone();
                    move |x| tracked_linear(x[0].clone(), wide.clone(), None, None)
                }),
                Box::new(move |x| module::linear(x[0].clone(), wide.clone(), None)),
            ),
            (
                "self-attention",
                vec![[2, 33, 12]; 3],
                Box::new(|x| tracked_attention(x[0].clone(), x[1].clone(), x[2].clone(), 3)),
                Box::new(|x| plain_attention(&x[0], &x[1], &x[2], 3)),
            ),
            (
                "attention of one head",
                vec![[1, 33, 12], [1, 21, 12], [1, 21, 12]],
                Box::new(|x| tracked_attention(x[0].clone(), x[1].clone(), x[2].clone(), 1)),
                Box::new(|x| plain_attention(&x[0], &x[1], &x[2], 1)),
            ),
            (
                "attention to a text",
                vec![[2, 33, 12]],
                Box::new({
                    let [k, v] = text.clone();
                    move |x| tracked_attention(x[0].clone(), k.clone(), v.clone(), 2)
                }),
                Box::new(move |x| plain_attention(&x[0], &text[0], &text[1], 2)),
            ),
            (
                "layer norm",
                vec![[2, 9, 12]],
                Box::new({
                    let (scale, shift) = (scale.clone(), shift.clone());
                    move |x| tracked_layer_norm(x[0].clone() + 3.0, scale.clone(), shift.clone(), 1e-5)
                }),
                Box::new(move |x| {
                    let x = x[0].clone() + 3.0;
                    let centred = x.clone() - x.mean_dim(2);
                    let deviation = (centred.clone().square().mean_dim(2) + 1e-5).sqrt();
                    centred / deviation * scale.clone().reshape([1, 1, 12])
                        + shift.clone().reshape([1, 1, 12])
                }),
            ),
            (
                "geglu",
                vec![[2, 9, 12]],
                Box::new(|x| tracked_geglu(x[0].clone())),
                Box::new(|x| x[0].clone().narrow(2, 0, 6) * activation::gelu(x[0].clone().narrow(2, 6, 6))),
            ),
        ]);
    }

    #[test]
    fn every_kernel_over_pictures_has_the_gradient_that_autodiff_finds_for_plain_operations() {
        let bias = random::<1>(11, [6]);
        let mut cases: Vec<(&str, Vec<[usize; 4]>, Function<4>, Function<4>)> = vec![
            (
                "cat",
                vec![[2, 3, 4, 5], [2, 6, 4, 5]],
                Box::new(|x| tracked_cat_channels(x[0].clone(), x[1].clone())),
                Box::new(|x| Tensor::cat(x.to_vec(), 1)),
            ),
            (
                "upsampling to twice the size and to another",
                vec![[2, 3, 4, 5]],
                Box::new(|x| tracked_upsample_nearest(tracked_upsample_nearest(x[0].clone(), 8, 10), 15, 11)),
                Box::new(|x| {
                    let to = |x: Tensor<4>, sides: [usize; 2]| {
                        let options = InterpolateOptions::new(InterpolateMode::Nearest);
                        module::interpolate(x, options.with_output_size(sides))
                    };
                    to(to(x[0].clone(), [8, 10]), [15, 11])
                }),
            ),
        ];
        // Even padding, strides, and the padding of the VAE's downsampling.
        for (kernel, stride, [pad_before, pad_after]) in
            [(1, 1, [0, 0]), (3, 1, [1, 1]), (3, 2, [1, 1]), (3, 2, [0, 1]), (4, 4, [0, 0])]
        {
            let shape = Conv2dShape { kernel, stride, pad_before, pad_after };
            let (weight, bias) = (random(12, [6, 4, kernel, kernel]), bias.clone());
            let kernels = weight.clone().permute([2, 3, 1, 0]);
            let ours = {
                let (weight, bias) = (kernels.permute([3, 2, 0, 1]), bias.clone());
                move |x: &[Tensor<4>]| {
                    tracked_conv2d(x[0].clone(), weight.clone(), Some(bias.clone()), None, shape)
                }
            };
            let plain = move |x: &[Tensor<4>]| {
                let x = x[0].clone().pad((pad_before, pad_after, pad_before, pad_after), 0.0);
                let options = ConvOptions::new([stride; 2], [0; 2], [1; 2], 1);
                module::conv2d(x, weight.clone(), Some(bias.clone()), options)
            };
            cases.push(("convolution", vec![[2, 4, 8, 12]], Box::new(ours), Box::new(plain)));
        }
        assert_same(cases);
    }
}
