//! Kernels for GPUs, under burn's tensors, written in CubeCL.
//!
//! burn's own kernels are best where a GPU multiplies small matrices in hardware and the tensors are f16: linear layers,
//! convolutions and attention use those there. Elsewhere burn convolves by a loop that reaches a few percent of a GPU's
//! speed and sums in f16, and normalises in eight launches; there, and for norms everywhere, the kernels of this module
//! are used. As on the CPU, memory is channels-last: a tensor that is logically `[batch, channels, height, width]` is
//! stored as `[batch, height, width, channels]`, which is also the `[batch, tokens, width]` of attention.
//!
//! No kernel uses shared memory or subgroups, so all of them are right on every driver; none is tuned at run time. All sums
//! are f32. Tensors that are tracked for gradients use burn's operations.

// Launching a kernel is unsafe: it may read and write beyond its buffers. Each launch says why it does not.
#![allow(unsafe_code)]

mod attention;
mod matrix_units;
mod norm;
mod product;
mod rows;
#[cfg(not(target_vendor = "apple"))]
mod shared_memory;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::fusion::custom::TensorSpec;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, DispatchDevice, TensorMetadata, backend_extension};
use burn::tensor::{DType, Device, DeviceKind, Shape, Tensor};
use burn_wgpu::{CubeBackend, CubeTensor};
use cubecl::ir::ElemType;
use cubecl::logging::{LaunchObservation, LaunchObserver};
use cubecl::prelude::*;

pub use attention::MAX_HEAD_WIDTH;
use product::{Addend, Operands};

use crate::cpu::Conv2dShape;

/// The GPU of this kind. Each is opened once.
///
/// # Errors
/// What the driver refused, as a sentence.
pub fn open_device(kind: DeviceKind) -> Result<Device, String> {
    static OPENED: Mutex<Vec<(DeviceKind, Device)>> = Mutex::new(Vec::new());
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, device)) = opened.iter().find(|(known, _)| *known == kind) {
        return Ok(device.clone());
    }
    #[cfg(not(target_vendor = "apple"))]
    let mended = shared_memory::mended_device(&kind)?;
    #[cfg(target_vendor = "apple")]
    let mended = None;
    let device = mended.unwrap_or_else(|| Device::wgpu(kind.clone()));
    opened.push((kind, device.clone()));
    Ok(device)
}

/// True for tensors on a GPU that are not tracked for gradients.
pub fn runs_on<const D: usize>(x: &Tensor<D>) -> bool {
    matches!(x.device().as_dispatch(), DispatchDevice::Cube(_))
        && matches!(x.dtype(), DType::F32 | DType::F16)
}

/// True for tensors whose linear layers are computed here: those on a GPU, but for f16 on one with matrix units.
pub fn multiplies<const D: usize>(x: &Tensor<D>) -> bool {
    runs_on(x) && !(x.dtype() == DType::F16 && has_matrix_units(&x.device()))
}

/// True if the device multiplies small matrices in hardware (cooperative matrices, tensor cores).
pub fn has_matrix_units(device: &Device) -> bool {
    match device.as_dispatch() {
        DispatchDevice::Cube(device) => multiplies_matrices(device),
        DispatchDevice::Autodiff(_) => has_matrix_units(&device.clone().inner()),
        _ => false,
    }
}

fn multiplies_matrices(device: &cubecl::Device) -> bool {
    !device.client().properties().features.matmul.cmma.is_empty()
}

/// [`conv2d`](crate::cpu::conv2d) on a GPU.
///
/// # Shapes
/// - x: `[batch, inputs, height, width]`
/// - weight: `[outputs, inputs, kernel, kernel]`, stored as `[kernel, kernel, inputs, outputs]`
/// - addend: the output's shape, or `[batch, outputs, 1, 1]`
/// - output: `[batch, outputs, ..]`
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    addend: Option<Tensor<4>>,
    shape: Conv2dShape,
) -> Tensor<4> {
    let out_area = x.dims()[2..].iter().map(|&side| shape.reach(side)).product::<usize>();
    let kind = match &addend {
        None => Addend::None,
        Some(addend) if addend.dims()[2..] == [1, 1] && out_area > 1 => Addend::PerPicture,
        Some(_) => Addend::Same,
    };
    let has_bias = bias.is_some();
    let x = x.into_dispatch();
    let bias = bias.map_or_else(|| x.clone(), Tensor::into_dispatch);
    let addend = addend.map_or_else(|| x.clone(), Tensor::into_dispatch);
    let out = Dispatch::gpu_conv2d(x, weight.into_dispatch(), bias, addend, shape, has_bias, kind);
    Tensor::from_dispatch(out)
}

/// `x * weight + bias (+ addend)`.
///
/// # Shapes
/// - x: `[batch, tokens, inputs]`
/// - weight: `[inputs, outputs]`
/// - addend and output: `[batch, tokens, outputs]`
pub fn linear(
    x: Tensor<3>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    addend: Option<Tensor<3>>,
) -> Tensor<3> {
    let (has_bias, has_addend) = (bias.is_some(), addend.is_some());
    let x = x.into_dispatch();
    let bias = bias.map_or_else(|| x.clone(), Tensor::into_dispatch);
    let addend = addend.map_or_else(|| x.clone(), Tensor::into_dispatch);
    let out = Dispatch::gpu_linear(x, weight.into_dispatch(), bias, addend, has_bias, has_addend);
    Tensor::from_dispatch(out)
}

/// [`group_norm`](crate::cpu::group_norm) on a GPU.
pub fn group_norm(
    x: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    groups: usize,
    epsilon: f64,
    silu: bool,
) -> Tensor<4> {
    let [x, weight, bias] = [x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()];
    Tensor::from_dispatch(Dispatch::gpu_group_norm(x, weight, bias, groups, epsilon, silu))
}

/// Normalises the channels of each token.
///
/// # Shapes
/// - x and output: `[batch, tokens, width]`
pub fn layer_norm(x: Tensor<3>, weight: Tensor<1>, bias: Tensor<1>, epsilon: f64) -> Tensor<3> {
    let [x, weight, bias] = [x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()];
    Tensor::from_dispatch(Dispatch::gpu_layer_norm(x, weight, bias, epsilon))
}

/// Attention with heads of up to [`MAX_HEAD_WIDTH`].
///
/// # Shapes
/// - q and output: `[batch, queries, heads * head_width]`
/// - k, v: `[batch, keys, heads * head_width]`
pub fn attention(q: Tensor<3>, k: Tensor<3>, v: Tensor<3>, heads: usize, is_causal: bool) -> Tensor<3> {
    let [q, k, v] = [q, k, v].map(Tensor::into_dispatch);
    Tensor::from_dispatch(Dispatch::gpu_attention(q, k, v, heads, is_causal))
}

/// [`geglu`](crate::cpu::geglu) on a GPU.
pub fn geglu(x: Tensor<3>) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::gpu_geglu(x.into_dispatch()))
}

/// Concatenates over channels.
pub fn cat_channels(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::gpu_cat_channels(a.into_dispatch(), b.into_dispatch()))
}

/// Nearest-neighbour resize.
pub fn upsample_nearest(x: Tensor<4>, height: usize, width: usize) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::gpu_upsample_nearest(x.into_dispatch(), height, width))
}

/// Runs `upload` so that what it uploads takes memory of exactly its size on a GPU, for as long as it is used. burn sizes
/// its pages for tensors that come and go.
pub fn keep<T: Send>(device: &Device, upload: impl FnOnce() -> T + Send) -> T {
    match device.as_dispatch() {
        DispatchDevice::Cube(device) => device.client().memory_persistent_allocation((), move |()| upload()),
        _ => upload(),
    }
}

/// Does some work on a GPU, and counts how often it launches each kernel.
pub fn observed<E>(work: impl FnOnce() -> Result<(), E>) -> Result<BTreeMap<String, usize>, E> {
    #[derive(Default)]
    struct Counter(Mutex<BTreeMap<String, usize>>);
    impl LaunchObserver for Counter {
        fn launched(&self, kernel: &'static str) {
            // The name of a type: its path, and its own types.
            let name = kernel.split('<').next().unwrap_or_default();
            let name = name.rsplit("::").next().unwrap_or_default();
            *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_default() += 1;
        }
    }
    let counter = Arc::new(Counter::default());
    let observation = LaunchObservation::new(counter.clone());
    work()?;
    drop(observation);
    Ok(std::mem::take(&mut *counter.0.lock().unwrap_or_else(PoisonError::into_inner)))
}

/// The kernels as operations of burn's backends; shapes are logical.
#[backend_extension(Cube, Fusion)]
pub(crate) trait GpuKernels: Backend {
    #[fusion(meta = |x, weight, _, _, shape, _, _| conv2d_spec(x, weight, *shape))]
    fn gpu_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        addend: FloatTensor<Self>,
        shape: Conv2dShape,
        has_bias: bool,
        addend_kind: Addend,
    ) -> FloatTensor<Self>;

    #[fusion(meta = |x, weight, _, _, _, _| with_axis(x, 2, weight.shape[1]))]
    fn gpu_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        addend: FloatTensor<Self>,
        has_bias: bool,
        has_addend: bool,
    ) -> FloatTensor<Self>;

    #[fusion(dtype = x, shape = x)]
    fn gpu_group_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        groups: usize,
        epsilon: f64,
        silu: bool,
    ) -> FloatTensor<Self>;

    #[fusion(dtype = x, shape = x)]
    fn gpu_layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self>;

    #[fusion(dtype = q, shape = q)]
    fn gpu_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        heads: usize,
        is_causal: bool,
    ) -> FloatTensor<Self>;

    #[fusion(meta = |x| with_axis(x, 2, x.shape[2] / 2))]
    fn gpu_geglu(x: FloatTensor<Self>) -> FloatTensor<Self>;

    #[fusion(meta = |a, b| with_axis(a, 1, a.shape[1] + b.shape[1]))]
    fn gpu_cat_channels(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;

    #[fusion(meta = |x, height, width| with_axis(&with_axis(x, 2, *height), 3, *width))]
    fn gpu_upsample_nearest(x: FloatTensor<Self>, height: usize, width: usize) -> FloatTensor<Self>;
}

fn with_axis(x: &TensorSpec, axis: usize, len: usize) -> TensorSpec {
    let mut spec = x.clone();
    spec.shape[axis] = len;
    spec
}

fn conv2d_spec(x: &TensorSpec, weight: &TensorSpec, shape: Conv2dShape) -> TensorSpec {
    let spec = with_axis(x, 1, weight.shape[0]);
    let spec = with_axis(&spec, 2, shape.reach(x.shape[2]));
    with_axis(&spec, 3, shape.reach(x.shape[3]))
}

impl GpuKernels for CubeBackend {
    fn gpu_conv2d(
        x: CubeTensor,
        weight: CubeTensor,
        bias: CubeTensor,
        addend: CubeTensor,
        shape: Conv2dShape,
        has_bias: bool,
        addend_kind: Addend,
    ) -> CubeTensor {
        let x = channels_last(x);
        if x.dtype == DType::F16 && multiplies_matrices(&x.device) && shape.pad_before == shape.pad_after {
            let weight = Self::float_permute(weight.clone(), &[0, 2, 3, 1]);
            if let Ok(y) = matrix_units::conv2d(&x, &weight, has_bias.then_some(&bias), shape) {
                let y = from_channels_last(y);
                return if addend_kind == Addend::None { y } else { Self::float_add(y, addend) };
            }
        }
        let weight = Self::float_permute(weight, &[2, 3, 1, 0]);
        let addend = if addend_kind == Addend::Same { channels_last(addend) } else { addend };
        let operands = Operands { x, weight, bias, addend };
        from_channels_last(product::conv2d(operands, shape, has_bias, addend_kind))
    }

    fn gpu_linear(
        x: CubeTensor,
        weight: CubeTensor,
        bias: CubeTensor,
        addend: CubeTensor,
        has_bias: bool,
        has_addend: bool,
    ) -> CubeTensor {
        let ([batch, tokens, inputs], [_, outputs]) = (dims(&x), dims(&weight));
        let weight = Self::float_reshape(contiguous(weight), Shape::from([1, 1, inputs, outputs]));
        let x = Self::float_reshape(contiguous(x), Shape::from([batch, tokens, 1, inputs]));
        let pointwise = Conv2dShape { kernel: 1, stride: 1, pad_before: 0, pad_after: 0 };
        let kind = if has_addend { Addend::Same } else { Addend::None };
        let out = product::conv2d(Operands { x, weight, bias, addend }, pointwise, has_bias, kind);
        Self::float_reshape(out, Shape::from([batch, tokens, outputs]))
    }

    fn gpu_group_norm(
        x: CubeTensor,
        weight: CubeTensor,
        bias: CubeTensor,
        groups: usize,
        epsilon: f64,
        silu: bool,
    ) -> CubeTensor {
        from_channels_last(norm::group_norm(channels_last(x), weight, bias, groups, epsilon as f32, silu))
    }

    fn gpu_layer_norm(x: CubeTensor, weight: CubeTensor, bias: CubeTensor, epsilon: f64) -> CubeTensor {
        norm::layer_norm(x, weight, bias, epsilon as f32)
    }

    fn gpu_attention(
        q: CubeTensor,
        k: CubeTensor,
        v: CubeTensor,
        heads: usize,
        is_causal: bool,
    ) -> CubeTensor {
        attention::attention(q, k, v, heads, is_causal)
    }

    fn gpu_geglu(x: CubeTensor) -> CubeTensor {
        rows::geglu(x)
    }

    fn gpu_cat_channels(a: CubeTensor, b: CubeTensor) -> CubeTensor {
        from_channels_last(rows::cat_channels(channels_last(a), channels_last(b)))
    }

    fn gpu_upsample_nearest(x: CubeTensor, height: usize, width: usize) -> CubeTensor {
        from_channels_last(rows::upsample_nearest(channels_last(x), height, width))
    }
}

/// Logical `[batch, channels, height, width]` as `[batch, height, width, channels]`.
fn channels_last(x: CubeTensor) -> CubeTensor {
    CubeBackend::float_permute(x, &[0, 2, 3, 1])
}

/// Logical `[batch, height, width, channels]` as `[batch, channels, height, width]`.
fn from_channels_last(x: CubeTensor) -> CubeTensor {
    CubeBackend::float_permute(x, &[0, 3, 1, 2])
}

/// The tensor in row-major order; free when it already is.
fn contiguous(x: CubeTensor) -> CubeTensor {
    if x.is_contiguous() {
        return x;
    }
    let (client, device, dtype, shape) = (x.client.clone(), x.device.clone(), x.dtype, x.shape());
    let elem = elem_type(&x);
    let copy = cubecl::std::tensor::into_contiguous(&client, x.binding(), elem);
    CubeTensor::new_contiguous(client, device, shape, copy.handle, dtype)
}

fn dims<const D: usize>(x: &CubeTensor) -> [usize; D] {
    let shape = x.shape();
    std::array::from_fn(|axis| shape[axis])
}

/// A tensor like `x` of another shape, whose numbers are still to be written.
fn empty<const D: usize>(x: &CubeTensor, shape: [usize; D]) -> CubeTensor {
    empty_of(x, shape, x.dtype)
}

fn empty_f32<const D: usize>(x: &CubeTensor, shape: [usize; D]) -> CubeTensor {
    empty_of(x, shape, DType::F32)
}

fn empty_of<const D: usize>(x: &CubeTensor, shape: [usize; D], dtype: DType) -> CubeTensor {
    let handle = x.client.empty(shape.iter().product::<usize>() * dtype.size());
    CubeTensor::new_contiguous(x.client.clone(), x.device.clone(), Shape::from(shape), handle, dtype)
}

/// A contiguous tensor's memory as an argument of a kernel.
fn buffer(x: &CubeTensor) -> BufferArg {
    // SAFETY: a contiguous tensor's memory holds as many numbers as its shape says.
    unsafe { BufferArg::from_raw_parts(x.handle.clone(), x.shape().num_elements()) }
}

fn elem_type(x: &CubeTensor) -> ElemType {
    match x.dtype {
        DType::F16 => half::f16::elem_type_native(),
        DType::F32 => f32::elem_type_native(),
        other => unreachable!("{other:?} is not a type of the networks"),
    }
}

/// Numbers that are read at once, of rows of this many.
fn vector_width(row: usize) -> usize {
    [4, 2].into_iter().find(|&width| row.is_multiple_of(width)).unwrap_or(1)
}

/// As many cubes as the units need, in two dimensions, since one has at most 65,535.
fn cubes(units: usize, cube: u32) -> CubeCount {
    let count = units.div_ceil(cube as usize) as u32;
    let rows = count.div_ceil(65_535).max(1);
    CubeCount::Static(count.div_ceil(rows), rows, 1)
}
