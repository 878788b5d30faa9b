//! Kernels for the CPU, under burn's tensors.
//!
//! burn-flex is correct, and fast in matrix products, but its convolution repacks the weights at every call
//! and its attention is much slower than its matmul. Without a GPU, those two take most of the time, so they
//! are implemented here with channels-last memory: a tensor that is logically `[batch, channels, height,
//! width]` is stored as `[batch, height, width, channels]`. That is also the `[batch, tokens, width]` of
//! attention, so nothing is transposed in between.
//!
//! Every kernel takes and returns burn tensors and is used if [`runs_on`] says so; tensors on a GPU use burn's own
//! operations. Under autodiff the kernels of `gradient` are used if [`tracks`] says so, and burn's elsewhere.

mod activation;
mod attention;
mod attention_gradient;
mod conv;
mod gemm;
mod gradient;
mod norm;
mod norm_gradient;
mod rows;

pub use activation::{QuickGelu, Silu, activate, geglu};
pub use attention::attention;
pub use conv::{Conv2dShape, conv2d};
pub use gemm::{Matrix, matmul};
pub use gradient::{
    is_tracked, tracked_attention, tracked_cat_channels, tracked_conv2d, tracked_geglu, tracked_group_norm,
    tracked_layer_norm, tracked_linear, tracked_upsample_nearest, tracks,
};
pub use norm::{group_norm, normalise};
pub use rows::{add, cat_channels, linear, upsample_nearest};

use std::cell::OnceCell;

use burn::backend::flex::{Flex, FlexTensor, Layout};
use burn::backend::{DispatchDevice, TensorMetadata};
use burn::tensor::{Bytes, DType, Device, FloatDType, Shape, Tensor};
use pulp::{Arch, Simd, WithSimd};
use rayon::ThreadPoolBuilder;

use self::gemm::{HalfMatrix, Weights};

/// True for f32 activations on the CPU that are not tracked for gradients. Their weights are f32 or f16.
pub fn runs_on<const D: usize>(x: &Tensor<D>) -> bool {
    is_cpu(&x.device()) && x.dtype() == DType::F32
}

/// True for the plain CPU device.
pub fn is_cpu(device: &Device) -> bool {
    matches!(device.as_dispatch(), DispatchDevice::Flex(_))
}

/// Makes the calling thread one of the kernels' worker threads, permanently.
///
/// Any other thread would hand over each kernel and sleep until it is done, which takes longer than a small
/// kernel itself.
pub fn join_workers() {
    thread_local! {
        static JOINED: OnceCell<()> = const { OnceCell::new() };
    }
    JOINED.with(|joined| {
        joined.get_or_init(|| {
            let workers = ThreadPoolBuilder::new()
                .use_current_thread()
                .thread_name(|index| format!("engine kernels {index}"));
            if rayon::current_thread_index().is_none()
                && let Ok(pool) = workers.build()
            {
                // Dropping the pool would end the other workers, which this thread still needs.
                std::mem::forget(pool);
            }
        });
    });
}

/// Runs a closure that is compiled for the widest vectors of this machine, if it is `#[inline(always)]`.
///
/// pulp's own dispatch of closures calls a `FnOnce`, which is not inlined when it is large, and then has no wide vectors.
pub fn vectorised<R>(run: impl FnMut() -> R) -> R {
    struct Run<F>(F);
    impl<R, F: FnMut() -> R> WithSimd for Run<F> {
        type Output = R;

        #[inline(always)]
        fn with_simd<S: Simd>(mut self, _simd: S) -> R {
            (self.0)()
        }
    }
    Arch::new().dispatch(Run(run))
}

/// The flex tensor inside, in any memory order.
fn open<const D: usize>(x: Tensor<D>) -> FlexTensor {
    x.try_into_primitive::<Flex>().expect("kernels are called for CPU tensors only")
}

fn close<const D: usize>(x: FlexTensor) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(x)
}

/// A tensor whose memory is the given rows.
fn from_rows<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    debug_assert_eq!(values.len(), shape.iter().product::<usize>());
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(Shape::from(shape.to_vec())), DType::F32)
}

/// The flex tensor in row-major order; free when it already is.
fn contiguous<const D: usize>(x: Tensor<D>) -> FlexTensor {
    let x = open(x);
    if x.is_contiguous() { x } else { x.to_contiguous() }
}

fn values(x: &FlexTensor) -> &[f32] {
    x.as_slice().expect("a contiguous f32 tensor")
}

/// The contiguous weights of a layer, `rows` x `columns`, which may be f16.
fn weights(x: &FlexTensor, rows: usize, columns: usize) -> Weights<'_> {
    match x.dtype() {
        DType::F16 => {
            let data = x.as_slice().expect("a contiguous f16 tensor");
            Weights::F16(HalfMatrix { data, rows, columns, row_stride: columns })
        }
        _ => Weights::F32(Matrix::rows(values(x), rows, columns, columns)),
    }
}

/// Weights in f32, for the gradients, which read them transposed.
fn wide<const D: usize>(weight: Tensor<D>) -> Tensor<D> {
    if weight.dtype() == DType::F32 { weight } else { weight.cast(FloatDType::F32) }
}

/// Logical `[batch, channels, height, width]` to memory `[batch, height, width, channels]`.
fn channels_last(x: Tensor<4>) -> (FlexTensor, [usize; 4]) {
    let x = open(x).permute(&[0, 2, 3, 1]);
    let x = if x.is_contiguous() { x } else { x.to_contiguous() };
    let shape = x.shape();
    let shape = [shape[0], shape[1], shape[2], shape[3]];
    (x, shape)
}

/// Memory `[batch, height, width, channels]` to logical `[batch, channels, height, width]`.
fn from_channels_last(values: Vec<f32>, shape: [usize; 4]) -> Tensor<4> {
    close(from_rows(values, shape).permute(&[0, 3, 1, 2]))
}

/// Rows per task, so that every thread has about two tasks, of at least `min_rows`.
fn rows_per_task(rows: usize, min_rows: usize) -> usize {
    rows.div_ceil(2 * rayon::current_num_threads()).max(min_rows).min(rows.max(1))
}
