//! Multi-head attention over tokens that are already projected.
//!
//! burn's fused kernel is fastest on a GPU with matrix units, but it multiplies in f16 whatever its input, so it is used for
//! f16 inputs only. For others, and on other GPUs, there is one of our own (`engine/gpu/attention.rs`). Heads that are too
//! wide for it, and gradients, take three separate steps, with the softmax in f32.

use std::cell::Cell;

use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, DType, FloatDType, Tensor, activation, module};

use crate::device::limits;
use crate::{cpu, gpu};

/// Bytes of scores that keep any GPU busy; more would only take memory.
const MAX_SCORE_BYTES: u64 = 256 << 20;

/// Matrix units need head widths that are multiples of this: SD 1.x has 40, 80 and 160.
const HEAD_WIDTH_MULTIPLE: usize = 16;

thread_local! {
    /// Slices are this many times smaller than the limits allow.
    static SLICE_DIVISOR: Cell<u64> = const { Cell::new(1) };
}

/// Runs `work` with attention in slices of an eighth of the usual size, to save memory.
pub fn with_sliced_attention<T>(work: impl FnOnce() -> T) -> T {
    struct Restore(u64);
    impl Drop for Restore {
        fn drop(&mut self) {
            SLICE_DIVISOR.set(self.0);
        }
    }
    let _restore = Restore(SLICE_DIVISOR.replace(8));
    work()
}

/// `softmax(q k' / sqrt(width of a head)) v` for each head.
///
/// # Shapes
/// - q and output: `[batch, queries, heads * head_width]`
/// - k, v: `[batch, keys, heads * head_width]`
pub fn attend(q: Tensor<3>, k: Tensor<3>, v: Tensor<3>, heads: usize, causal: bool) -> Tensor<3> {
    if cpu::runs_on(&q) {
        return cpu::attention(q, k, v, heads, causal);
    }
    if cpu::is_tracked(&q) && !causal {
        return cpu::tracked_attention(q, k, v, heads);
    }
    let [batch, queries, width] = q.dims();
    let limits = limits(&q.device());
    let fused = q.dtype() == DType::F16 && limits.has_matrix_units && !causal;
    if gpu::runs_on(&q) && !fused && width / heads <= gpu::MAX_HEAD_WIDTH {
        return gpu::attention(q, k, v, heads, causal);
    }
    let split_heads = |x: Tensor<3>| {
        let tokens = x.dims()[1];
        x.reshape([batch, tokens, heads, width / heads]).swap_dims(1, 2)
    };
    let (q, k, v) = (split_heads(q), split_heads(k), split_heads(v));
    let out = if fused {
        fused_attention(q, k, v)
    } else {
        let slice_len = max_slice_len(batch * heads * k.dims()[2], limits.largest_buffer);
        unfused_attention(q, k, v, causal, slice_len)
    };
    out.swap_dims(1, 2).reshape([batch, queries, width])
}

/// The number of queries whose f32 scores stay well below the largest buffer.
fn max_slice_len(scores_per_query: usize, largest_buffer: u64) -> usize {
    let bytes = (largest_buffer / 4).min(MAX_SCORE_BYTES) / SLICE_DIVISOR.get();
    (bytes / (4 * scores_per_query as u64)).max(1) as usize
}

/// # Shapes
/// - q and output: `[batch, heads, queries, head_width]`
/// - k, v: `[batch, heads, keys, head_width]`
fn unfused_attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, causal: bool, slice_len: usize) -> Tensor<4> {
    let dtype: FloatDType = q.dtype().into();
    let head_width = q.dims()[3];
    let keys = k.dims()[2];
    // Scaling before the product avoids overflow in f16.
    let q = q / (head_width as f64).sqrt();
    let k = k.swap_dims(2, 3);
    in_query_slices(q, slice_len, |q, start| {
        let queries = q.dims()[2];
        let mut scores = q.matmul(k.clone()).cast(FloatDType::F32);
        if causal {
            let later = Tensor::<2, Bool>::tril_mask([queries, keys], start as i64, &scores.device());
            scores = scores.mask_fill(later.unsqueeze::<4>(), f32::NEG_INFINITY);
        }
        activation::softmax(scores, 3).cast(dtype).matmul(v.clone())
    })
}

/// [`unfused_attention`] without a mask, by burn's fused kernel, which keeps no scores.
fn fused_attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>) -> Tensor<4> {
    let head_width = q.dims()[3];
    let padded_width = head_width.next_multiple_of(HEAD_WIDTH_MULTIPLE);
    // Zeros do not change the scores, but burn divides by the root of the padded width.
    let widen = |x: Tensor<4>| x.pad((0, padded_width - head_width, 0, 0), 0.0);
    let (q, k, v) = match padded_width == head_width {
        true => (q, k, v),
        false => (widen(q * (padded_width as f64 / head_width as f64).sqrt()), widen(k), widen(v)),
    };
    let out = module::attention(q, k, v, None, None, AttentionModuleOptions::default());
    out.narrow(3, 0, head_width)
}

/// Applies `f` to `slice_len` queries at a time, with the index of the first.
fn in_query_slices(q: Tensor<4>, slice_len: usize, f: impl Fn(Tensor<4>, usize) -> Tensor<4>) -> Tensor<4> {
    let queries = q.dims()[2];
    if queries <= slice_len {
        return f(q, 0);
    }
    let slice = |start: usize| f(q.clone().narrow(2, start, slice_len.min(queries - start)), start);
    Tensor::cat((0..queries).step_by(slice_len).map(slice).collect(), 2)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::diffusion::NoiseStreams;

    fn random(seed: u64, shape: [usize; 4]) -> Tensor<4> {
        let noise = NoiseStreams::new(seed, shape[0]).draw(shape);
        Tensor::from_data(TensorData::new(noise.data, shape), &Device::flex())
    }

    /// By the CPU kernel, which other tests compare with PyTorch.
    fn expected(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, causal: bool) -> Vec<f32> {
        let [batch, heads, queries, width] = q.dims();
        let tokens = |x: Tensor<4>| {
            let count = x.dims()[2];
            x.swap_dims(1, 2).reshape([batch, count, heads * width])
        };
        let out = cpu::attention(tokens(q), tokens(k), tokens(v), heads, causal);
        values(out.reshape([batch, queries, heads, width]).swap_dims(1, 2))
    }

    fn values(x: Tensor<4>) -> Vec<f32> {
        x.into_data().try_into_vec().expect("f32")
    }

    fn assert_near(a: &[f32], b: &[f32]) {
        let difference = a.iter().zip(b).fold(0.0f32, |difference, (a, b)| difference.max((a - b).abs()));
        assert!(a.len() == b.len() && difference < 2e-6, "they differ by {difference}");
    }

    #[test]
    fn attention_in_slices_equals_attention_at_once() {
        let (q, k, v) = (random(1, [2, 3, 33, 8]), random(2, [2, 3, 21, 8]), random(3, [2, 3, 21, 8]));
        let whole = expected(q.clone(), k.clone(), v.clone(), false);
        for slice_len in [1, 7, 32, 33, 500] {
            assert_near(
                &values(unfused_attention(q.clone(), k.clone(), v.clone(), false, slice_len)),
                &whole,
            );
        }
        assert_near(&values(fused_attention(q, k, v)), &whole);
    }

    #[test]
    fn causal_attention_in_slices_ignores_later_tokens() {
        let [q, k, v] = [1, 2, 3].map(|seed| random(seed, [1, 2, 19, 8]));
        let whole = expected(q.clone(), k.clone(), v.clone(), true);
        for slice_len in [1, 4, 19] {
            assert_near(&values(unfused_attention(q.clone(), k.clone(), v.clone(), true, slice_len)), &whole);
        }
    }

    #[test]
    fn padding_narrow_heads_does_not_change_the_result() {
        for width in [16, 40, 80] {
            let [q, k, v] = [1, 2, 3].map(|seed| random(seed, [1, 2, 24, width]));
            let whole = expected(q.clone(), k.clone(), v.clone(), false);
            assert_near(&values(fused_attention(q, k, v)), &whole);
        }
    }

    #[test]
    fn slices_stay_below_the_largest_buffer() {
        // SD 1.5 at 768 x 768, a guided pair of four pictures: 9216 keys, 8 heads.
        let scores_per_query = 8 * 8 * 9216;
        for largest_buffer in [128 << 20, 2 << 30, u64::MAX] {
            let bytes = max_slice_len(scores_per_query, largest_buffer) as u64 * scores_per_query as u64;
            assert!(bytes <= largest_buffer / 16, "{bytes} of {largest_buffer}");
        }
    }
}
