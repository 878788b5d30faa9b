//! Every kernel against the CPU's, which other tests compare with PyTorch, on a software GPU: an adapter of Vulkan that any
//! machine can have (`apt install mesa-vulkan-drivers`).

use std::sync::MutexGuard;

use burn::tensor::{DType, Device, DeviceKind, FloatDType, Tensor, TensorData};

use super::*;
use crate::cpu;
use crate::diffusion::NoiseStreams;

/// The largest difference, of the CPU's largest number: rounding of sums of thousands, and of f16 itself.
const LIMITS: [(FloatDType, f32); 2] = [(FloatDType::F32, 1e-5), (FloatDType::F16, 5e-3)];

fn software_gpu() -> Device {
    Device::wgpu(DeviceKind::Cpu)
}

/// One test at a time, so that launches are counted of one.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Normally distributed numbers that f16 has, too.
fn random<const D: usize>(seed: u64, shape: [usize; D]) -> Tensor<D> {
    let count = shape.iter().product();
    let noise = NoiseStreams::new(seed, 1).draw([1, 1, 1, count]);
    let data = noise.data.iter().map(|&number| half::f16::from_f32(number).to_f32()).collect::<Vec<_>>();
    Tensor::from_data(TensorData::new(data, shape), &Device::flex())
}

fn on_gpu<const D: usize>(x: &Tensor<D>, dtype: FloatDType) -> Tensor<D> {
    Tensor::from_data(x.to_data(), (&software_gpu(), DType::from(dtype)))
}

/// Asks the GPU in each precision.
fn check<const D: usize>(what: &str, expected: Tensor<D>, found: impl Fn(FloatDType) -> Tensor<D>) {
    let numbers = |x: Tensor<D>| x.cast(FloatDType::F32).into_data().try_into_vec::<f32>().expect("f32");
    let shape = expected.dims();
    let expected = numbers(expected);
    let largest = expected.iter().fold(0.0f32, |largest, number| largest.max(number.abs()));
    for (dtype, limit) in LIMITS {
        let found = found(dtype);
        assert_eq!(found.dims(), shape, "{what}");
        let differences = numbers(found).into_iter().zip(&expected).map(|(a, b)| (a - b).abs());
        let difference = differences.fold(0.0f32, |most, difference| {
            if difference.is_finite() { most.max(difference) } else { f32::INFINITY }
        });
        println!("{what} in {dtype:?}: {:.1e}", difference / largest);
        assert!(difference <= limit * largest, "{what} in {dtype:?}: {difference} of {largest}");
    }
}

#[test]
fn convolutions_equal_those_of_the_cpu() {
    let _alone = alone();
    let even = |kernel, stride| Conv2dShape { kernel, stride, pad_before: kernel / 2, pad_after: kernel / 2 };
    let after = Conv2dShape { kernel: 3, stride: 2, pad_before: 0, pad_after: 1 };
    // batch, inputs, outputs, height, width
    let cases = [
        ([1, 4, 8, 9, 13], even(3, 1)),
        ([2, 36, 40, 5, 7], even(3, 1)),
        ([3, 5, 3, 9, 13], even(3, 1)),
        ([1, 6, 70, 1, 1], even(3, 1)),
        ([2, 64, 130, 8, 8], even(3, 1)),
        ([2, 8, 12, 9, 13], even(3, 2)),
        ([1, 12, 6, 10, 14], after),
        ([2, 32, 64, 9, 13], even(1, 1)),
        ([1, 1280, 20, 3, 2], even(3, 1)),
        ([1, 3, 10, 12, 8], Conv2dShape { kernel: 4, stride: 4, pad_before: 0, pad_after: 0 }),
    ];
    for (index, ([batch, inputs, outputs, height, width], shape)) in cases.into_iter().enumerate() {
        let seed = 10 * index as u64;
        let x = random(seed, [batch, inputs, height, width]);
        let weight = random(seed + 1, [outputs, inputs, shape.kernel, shape.kernel]);
        let bias = random(seed + 2, [outputs]);
        let (out_height, out_width) = (shape.reach(height), shape.reach(width));
        let addends = [
            None,
            Some(random(seed + 3, [batch, outputs, 1, 1])),
            Some(random(seed + 4, [batch, outputs, out_height, out_width])),
        ];
        for addend in addends {
            let what = format!("{:?} to {outputs} with {:?}", x.dims(), addend.as_ref().map(Tensor::dims));
            let bias = addend.is_some().then(|| bias.clone());
            let expected = cpu::conv2d(x.clone(), weight.clone(), bias.clone(), addend.clone(), shape);
            check(&what, expected, |dtype| {
                conv2d(
                    on_gpu(&x, dtype),
                    on_gpu(&weight, dtype),
                    bias.as_ref().map(|bias| on_gpu(bias, dtype)),
                    addend.as_ref().map(|addend| on_gpu(addend, dtype)),
                    shape,
                )
            });
        }
    }
}

#[test]
fn linear_layers_equal_those_of_the_cpu() {
    let _alone = alone();
    for (index, [batch, tokens, inputs, outputs]) in
        [[1, 1, 5, 7], [2, 1, 320, 64], [3, 77, 64, 40], [2, 35, 30, 130]].into_iter().enumerate()
    {
        let seed = 10 * index as u64;
        let (x, weight) = (random(seed, [batch, tokens, inputs]), random(seed + 1, [inputs, outputs]));
        let (bias, addend) = (random(seed + 2, [outputs]), random(seed + 3, [batch, tokens, outputs]));
        for is_alone in [true, false] {
            let bias = (!is_alone).then(|| bias.clone());
            let addend = (!is_alone).then(|| addend.clone());
            let expected = cpu::linear(x.clone(), weight.clone(), bias.clone(), addend.clone());
            check(&format!("{:?} to {outputs}", x.dims()), expected, |dtype| {
                linear(
                    on_gpu(&x, dtype),
                    on_gpu(&weight, dtype),
                    bias.as_ref().map(|bias| on_gpu(bias, dtype)),
                    addend.as_ref().map(|addend| on_gpu(addend, dtype)),
                )
            });
        }
    }
}

#[test]
fn norms_equal_those_of_the_cpu_and_a_large_mean_costs_no_precision() {
    let _alone = alone();
    for (index, [batch, channels, height, width, groups]) in
        [[1, 32, 9, 13, 32], [2, 320, 8, 8, 32], [3, 12, 5, 7, 4], [1, 40, 1, 1, 4], [2, 10, 40, 30, 2]]
            .into_iter()
            .enumerate()
    {
        let seed = 10 * index as u64;
        // 64 keeps enough of f16's digits.
        let x = random(seed, [batch, channels, height, width]) + 64.0;
        let (weight, bias) = (random(seed + 1, [channels]), random(seed + 2, [channels]));
        for silu in [false, true] {
            let x = match silu {
                true => x.clone() - 64.0,
                false => Tensor::from_data(TensorData::new(f16_values(x.clone()), x.dims()), &Device::flex()),
            };
            let what = format!("{:?} in {groups} groups", x.dims());
            let expected = cpu::group_norm(x.clone(), weight.clone(), bias.clone(), groups, 1e-5, silu);
            check(&what, expected, |dtype| {
                let [weight, bias] = [&weight, &bias].map(|part| on_gpu(part, dtype));
                group_norm(on_gpu(&x, dtype), weight, bias, groups, 1e-5, silu)
            });
        }
    }
    for (index, [batch, tokens, width]) in
        [[1, 77, 64], [2, 35, 320], [3, 1, 7], [1, 9, 1280]].into_iter().enumerate()
    {
        let seed = 100 + 10 * index as u64;
        let x = random(seed, [batch, tokens, width]);
        let (weight, bias) = (random(seed + 1, [width]), random(seed + 2, [width]));
        let expected = burn::tensor::module::layer_norm(x.clone(), weight.clone(), Some(bias.clone()), 1e-5);
        check(&format!("tokens {:?}", x.dims()), expected, |dtype| {
            let [weight, bias] = [&weight, &bias].map(|part| on_gpu(part, dtype));
            layer_norm(on_gpu(&x, dtype), weight, bias, 1e-5)
        });
    }
}

fn f16_values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    let values = x.into_data().try_into_vec::<f32>().expect("f32");
    values.into_iter().map(|value| half::f16::from_f32(value).to_f32()).collect()
}

#[test]
fn attention_equals_that_of_the_cpu() {
    let _alone = alone();
    // batch, queries, keys, heads, width of a head
    for (index, [batch, queries, keys, heads, head_width]) in [
        [2, 35, 77, 2, 40],
        [1, 64, 64, 3, 80],
        [1, 9, 9, 2, 160],
        [3, 1, 1, 1, 8],
        [1, 19, 21, 2, 30],
        [1, 5, 6, 1, 7],
    ]
    .into_iter()
    .enumerate()
    {
        let seed = 10 * index as u64;
        let width = heads * head_width;
        let q = random(seed, [batch, queries, width]);
        let [k, v] = [1, 2].map(|offset| random(seed + offset, [batch, keys, width]));
        for is_causal in [false, true] {
            if is_causal && queries != keys {
                continue;
            }
            let what = format!("{:?} to {keys} in {heads} heads, causal: {is_causal}", q.dims());
            let expected = cpu::attention(q.clone(), k.clone(), v.clone(), heads, is_causal);
            check(&what, expected, |dtype| {
                let [q, k, v] = [&q, &k, &v].map(|part| on_gpu(part, dtype));
                attention(q, k, v, heads, is_causal)
            });
        }
    }
}

#[test]
fn rows_equal_those_of_the_cpu() {
    let _alone = alone();
    for (index, [batch, tokens, width]) in [[1, 1, 2], [2, 35, 64], [3, 7, 26]].into_iter().enumerate() {
        let x = random(index as u64, [batch, tokens, width]);
        check(&format!("gate of {:?}", x.dims()), cpu::geglu(x.clone()), |dtype| geglu(on_gpu(&x, dtype)));
    }
    for (index, [batch, a, b, height, width]) in
        [[1, 4, 8, 9, 13], [2, 6, 3, 1, 1], [3, 320, 64, 2, 3]].into_iter().enumerate()
    {
        let a = random(10 + index as u64, [batch, a, height, width]);
        let b = random(20 + index as u64, [batch, b, height, width]);
        let what = format!("{:?} and {:?}", a.dims(), b.dims());
        check(&what, cpu::cat_channels(a.clone(), b.clone()), |dtype| {
            cat_channels(on_gpu(&a, dtype), on_gpu(&b, dtype))
        });
        for [to_height, to_width] in [[2 * height, 2 * width], [2 * height - 1, 2 * width - 1]] {
            check(&what, cpu::upsample_nearest(a.clone(), to_height, to_width), |dtype| {
                upsample_nearest(on_gpu(&a, dtype), to_height, to_width)
            });
        }
    }
}

#[test]
fn kernels_of_burn_that_use_shared_memory_are_right_on_a_mended_device() {
    let _alone = alone();
    let device = open_device(DeviceKind::Cpu).expect("a software adapter");
    let (a, b) = (random(1, [1, 3, 130, 70]), random(2, [1, 3, 70, 90]));
    let expected = burn::tensor::activation::softmax(a.clone().matmul(b.clone()), 3);
    check("softmax of a product", expected, |dtype| {
        let [a, b] =
            [&a, &b].map(|part| Tensor::<4>::from_data(part.to_data(), (&device, DType::from(dtype))));
        burn::tensor::activation::softmax(a.matmul(b).cast(FloatDType::F32), 3)
    });
}

#[test]
fn layers_after_each_other_copy_neither_weights_nor_pictures() {
    let _alone = alone();
    let [batch, side, channels] = [2, 8, 32];
    let upload = |seed, shape| on_gpu(&random(seed, shape), FloatDType::F16);
    let x = upload(1, [batch, side, side, channels]).permute([0, 3, 1, 2]);
    // As they are loaded: outputs last.
    let weight = upload(2, [3, 3, channels, channels]).permute([3, 2, 0, 1]);
    let matrix = upload(3, [1, 1, channels, channels]).reshape([channels, channels]);
    let vector = upload(4, [1, 1, 1, channels]).reshape([channels]);
    let shape = Conv2dShape { kernel: 3, stride: 1, pad_before: 1, pad_after: 1 };

    let norm = |x| group_norm(x, vector.clone(), vector.clone(), 4, 1e-5, true);
    let conv = |x, addend| conv2d(x, weight.clone(), Some(vector.clone()), addend, shape);
    let product = |x, addend| linear(x, matrix.clone(), None, addend);
    let launches = observed(|| {
        let h = conv(norm(conv(norm(x.clone()), None)), Some(x.clone()));
        let h = conv(upsample_nearest(h, side, side), None);
        let tokens = h.permute([0, 2, 3, 1]).reshape([batch, side * side, channels]);
        let normed = layer_norm(tokens.clone(), vector.clone(), vector.clone(), 1e-5);
        let [q, k, v] = [(); 3].map(|()| product(normed.clone(), None));
        let tokens = product(attention(q, k, v, 2, false), Some(tokens));
        let h = tokens.reshape([batch, side, side, channels]).permute([0, 3, 1, 2]);
        cat_channels(h, x.clone()).into_data().try_into_vec::<half::f16>().map(|_| ())
    })
    .expect("the numbers");
    // The numbers leave in the order of the axes.
    let copies =
        launches.iter().filter(|(name, _)| name.starts_with("Copy")).map(|(_, count)| count).sum::<usize>();
    assert!(copies <= 1, "{launches:?}");
    assert_eq!(launches["ProductKernel"], 7, "{launches:?}");
    assert_eq!(launches.values().sum::<usize>() - copies, 7 + 2 * 3 + 2 + 1 + 1 + 1, "{launches:?}");
}
