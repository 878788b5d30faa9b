//! Multi-head attention over tokens, whoever made the projections.
//!
//! burn has one call for it, and on a GPU with matrix units that is the fast way: but its kernel there
//! multiplies in f16 whatever it is given. So it is taken where f16 was asked for anyway, and everywhere
//! else the three steps are written out, with the softmax in f32.

use std::cell::Cell;

use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, DType, FloatDType, Tensor, activation, module};

use crate::cpu;
use crate::device::limits;

/// Bytes of scores that keep every GPU busy; more would only take memory.
const ENOUGH: u64 = 256 << 20;

/// Head widths that matrix units take are multiples of this: SD 1.x has 40, 80 and 160.
const UNIT: usize = 16;

thread_local! {
    /// Slices are so many times smaller than they may be.
    static SMALLER: Cell<u64> = const { Cell::new(1) };
}

/// Does some work with attention in slices of an eighth, for when memory has run out.
pub fn with_sliced_attention<T>(work: impl FnOnce() -> T) -> T {
    struct Restore(u64);
    impl Drop for Restore {
        fn drop(&mut self) {
            SMALLER.set(self.0);
        }
    }
    let _restore = Restore(SMALLER.replace(8));
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
    let [batch, queries, width] = q.dims();
    let limits = limits(&q.device());
    let at_once = queries_at_once(batch * heads * k.dims()[1], limits.largest_buffer);
    let fused = q.dtype() == DType::F16 && limits.has_matrix_units && !causal;
    let of_heads = |x: Tensor<3>| {
        let tokens = x.dims()[1];
        x.reshape([batch, tokens, heads, width / heads]).swap_dims(1, 2)
    };
    let (q, k, v) = (of_heads(q), of_heads(k), of_heads(v));
    let out = if fused { fused_attention(q, k, v, at_once) } else { written_out(q, k, v, causal, at_once) };
    out.swap_dims(1, 2).reshape([batch, queries, width])
}

/// Queries whose scores, in f32, stay well under the largest buffer.
fn queries_at_once(scores_of_a_query: usize, largest_buffer: u64) -> usize {
    let bytes = (largest_buffer / 4).min(ENOUGH) / SMALLER.get();
    (bytes / (4 * scores_of_a_query as u64)).max(1) as usize
}

/// # Shapes
/// - q and output: `[batch, heads, queries, head_width]`
/// - k, v: `[batch, heads, keys, head_width]`
fn written_out(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, causal: bool, at_once: usize) -> Tensor<4> {
    let dtype: FloatDType = q.dtype().into();
    let head_width = q.dims()[3];
    let keys = k.dims()[2];
    // Before the product, where f16 still has room.
    let q = q / (head_width as f64).sqrt();
    let k = k.swap_dims(2, 3);
    in_slices(q, at_once, |q, start| {
        let queries = q.dims()[2];
        let mut scores = q.matmul(k.clone()).cast(FloatDType::F32);
        if causal {
            let later = Tensor::<2, Bool>::tril_mask([queries, keys], start as i64, &scores.device());
            scores = scores.mask_fill(later.unsqueeze::<4>(), f32::NEG_INFINITY);
        }
        activation::softmax(scores, 3).cast(dtype).matmul(v.clone())
    })
}

/// The same, by burn's own kernel.
fn fused_attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, at_once: usize) -> Tensor<4> {
    let head_width = q.dims()[3];
    let padded_width = head_width.next_multiple_of(UNIT);
    // Zeros change no score; burn divides by the root of the padded width.
    let widen = |x: Tensor<4>| x.pad((0, padded_width - head_width, 0, 0), 0.0);
    let (q, k, v) = match padded_width == head_width {
        true => (q, k, v),
        false => (widen(q * (padded_width as f64 / head_width as f64).sqrt()), widen(k), widen(v)),
    };
    let options = AttentionModuleOptions::default();
    let out = in_slices(q, at_once, |q, _| module::attention(q, k.clone(), v.clone(), None, None, options));
    out.narrow(3, 0, head_width)
}

/// Applies `f` to so many queries at a time; it is told the first.
fn in_slices(q: Tensor<4>, at_once: usize, f: impl Fn(Tensor<4>, usize) -> Tensor<4>) -> Tensor<4> {
    let queries = q.dims()[2];
    if queries <= at_once {
        return f(q, 0);
    }
    let slice = |start: usize| f(q.clone().narrow(2, start, at_once.min(queries - start)), start);
    Tensor::cat((0..queries).step_by(at_once).map(slice).collect(), 2)
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

    /// By the kernel of the CPU, which is held against PyTorch elsewhere.
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
        let apart = a.iter().zip(b).fold(0.0f32, |apart, (a, b)| apart.max((a - b).abs()));
        assert!(a.len() == b.len() && apart < 2e-6, "{apart} apart");
    }

    #[test]
    fn attention_in_slices_is_attention() {
        let (q, k, v) = (random(1, [2, 3, 33, 8]), random(2, [2, 3, 21, 8]), random(3, [2, 3, 21, 8]));
        let whole = expected(q.clone(), k.clone(), v.clone(), false);
        for at_once in [1, 7, 32, 33, 500] {
            assert_near(&values(written_out(q.clone(), k.clone(), v.clone(), false, at_once)), &whole);
            assert_near(&values(fused_attention(q.clone(), k.clone(), v.clone(), at_once)), &whole);
        }
    }

    #[test]
    fn a_token_sees_none_that_comes_later_in_whichever_slice_it_is() {
        let [q, k, v] = [1, 2, 3].map(|seed| random(seed, [1, 2, 19, 8]));
        let whole = expected(q.clone(), k.clone(), v.clone(), true);
        for at_once in [1, 4, 19] {
            assert_near(&values(written_out(q.clone(), k.clone(), v.clone(), true, at_once)), &whole);
        }
    }

    #[test]
    fn heads_as_narrow_as_those_of_sd_1_are_widened_without_a_trace() {
        for width in [16, 40, 80] {
            let [q, k, v] = [1, 2, 3].map(|seed| random(seed, [1, 2, 24, width]));
            let whole = expected(q.clone(), k.clone(), v.clone(), false);
            assert_near(&values(fused_attention(q, k, v, 24)), &whole);
        }
    }

    #[test]
    fn no_slice_passes_the_largest_buffer() {
        // SD 1.5 at 768 x 768, a guided pair of four pictures: 9216 keys, 8 heads.
        let scores_of_a_query = 8 * 8 * 9216;
        for largest_buffer in [128 << 20, 2 << 30, u64::MAX] {
            let bytes = queries_at_once(scores_of_a_query, largest_buffer) as u64 * scores_of_a_query as u64;
            assert!(bytes <= largest_buffer / 16, "{bytes} of {largest_buffer}");
        }
    }
}
