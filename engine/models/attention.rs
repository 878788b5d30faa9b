//! Multi-head attention over tokens, whoever made the projections.

use std::cell::Cell;

use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Tensor, module};

use crate::cpu;

/// Scores held at a time on a GPU: an eighth of the 2 GiB that one binding may have, in f32.
const SCORE_ELEMENTS: usize = 1 << 26;

thread_local! {
    /// Slices are so many times smaller than they may be.
    static SMALLER: Cell<usize> = const { Cell::new(1) };
}

/// Does some work with attention in slices of an eighth, for when memory has run out.
pub fn in_small_slices<T>(work: impl FnOnce() -> T) -> T {
    struct Restore(usize);
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
    let keys = k.dims()[1];
    let of_heads = |x: Tensor<3>| {
        let tokens = x.dims()[1];
        x.reshape([batch, tokens, heads, width / heads]).swap_dims(1, 2)
    };
    let (q, k, v) = (of_heads(q), of_heads(k), of_heads(v));
    let options = AttentionModuleOptions { is_causal: causal, ..Default::default() };
    let slice = (SCORE_ELEMENTS / SMALLER.get() / (batch * heads * keys)).max(64);
    let out = if queries <= slice || causal {
        module::attention(q, k, v, None, None, options)
    } else {
        let slices = q.split(slice, 2).into_iter();
        Tensor::cat(
            slices.map(|q| module::attention(q, k.clone(), v.clone(), None, None, options)).collect(),
            2,
        )
    };
    out.swap_dims(1, 2).reshape([batch, queries, width])
}
