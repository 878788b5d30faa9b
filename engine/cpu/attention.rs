//! Attention on a tile of queries at a time, with heads interleaved as the projections output them.

use std::cell::RefCell;
use std::ops::Range;

use burn::tensor::Tensor;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::activation::exp;
use super::gemm::{Matrix, matmul};
use super::{close, contiguous, from_rows, values};

thread_local! {
    // Scores of one head and tile, reused by later calls.
    static SCORES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Scores per task: half of a 2 MiB second-level cache.
const SCORE_ELEMENTS: usize = 1 << 18;

/// `softmax(q k' / sqrt(width of a head)) v` of each head.
///
/// # Shapes
/// - q and output: `[batch, queries, heads * head_width]`
/// - k: `[batch, keys, heads * head_width]`
/// - v: `[batch, keys, heads * head_width]`
pub fn attention(q: Tensor<3>, k: Tensor<3>, v: Tensor<3>, heads: usize, causal: bool) -> Tensor<3> {
    let [batch, queries, width] = q.dims();
    let keys = k.dims()[1];
    let head_width = width / heads;
    let scale = 1.0 / (head_width as f32).sqrt();
    let (q, k, v) = (contiguous(q), contiguous(k), contiguous(v));
    let (q, k, v) = (values(&q), values(&k), values(&v));
    let arch = Arch::new();

    let tile = tile_rows(keys);
    let tile = tile.min((batch * queries).div_ceil(rayon::current_num_threads())).min(queries).max(1);
    let mut out = vec![0.0; batch * queries * width];
    let images = out.par_chunks_exact_mut(queries * width).enumerate();
    images.for_each(|(image, out)| {
        let q = &q[image * queries * width..];
        let k = &k[image * keys * width..];
        let v = &v[image * keys * width..];
        out.par_chunks_mut(tile * width).enumerate().for_each(|(task, out)| {
            let rows = out.len() / width;
            let first = task * tile;
            SCORES.with_borrow_mut(|scores| {
                scores.resize(rows * keys, 0.0);
                for start in (0..width).step_by(head_width) {
                    let head = start..start + head_width;
                    let head_columns = |x, rows: Range<usize>| head_columns(x, rows, head.clone(), width);
                    let q = head_columns(q, first..first + rows);
                    matmul(scores, keys, q, head_columns(k, 0..keys).transposed(), false);
                    let totals: Vec<f32> = scores
                        .chunks_exact_mut(keys)
                        .enumerate()
                        .map(|(row, scores)| {
                            let seen = if causal { (first + row + 1).min(keys) } else { keys };
                            arch.dispatch(Exponentials { scores, seen, scale })
                        })
                        .collect();
                    let weights = Matrix::rows(scores, rows, keys, keys);
                    matmul(&mut out[start..], width, weights, head_columns(v, 0..keys), false);
                    for (row, total) in out.chunks_exact_mut(width).zip(totals) {
                        row[head.clone()].iter_mut().for_each(|value| *value /= total);
                    }
                }
            });
        });
    });
    close(from_rows(out, [batch, queries, width]))
}

/// Queries whose scores stay in the cache.
pub(super) fn tile_rows(keys: usize) -> usize {
    (SCORE_ELEMENTS / keys.max(1)).clamp(16, 128)
}

/// The columns of one head, for the given rows.
pub(super) fn head_columns(x: &[f32], rows: Range<usize>, head: Range<usize>, width: usize) -> Matrix<'_> {
    Matrix::rows(&x[rows.start * width + head.start..], rows.len(), head.len(), width)
}

/// Turns the first `seen` scores into `exp(scale * (score - largest))`, the others into 0, and
/// returns their sum.
pub(super) struct Exponentials<'a> {
    pub scores: &'a mut [f32],
    pub seen: usize,
    pub scale: f32,
}

/// Numbers reduced in parallel, so that the compiler can use the widest vectors.
const LANES: usize = 32;

impl WithSimd for Exponentials<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> f32 {
        let (seen, unseen) = self.scores.split_at_mut(self.seen);
        unseen.fill(0.0);
        let (chunks, rest) = seen.as_chunks::<LANES>();
        let mut lanes = [f32::NEG_INFINITY; LANES];
        for chunk in chunks {
            for lane in 0..LANES {
                lanes[lane] = if chunk[lane] > lanes[lane] { chunk[lane] } else { lanes[lane] };
            }
        }
        let largest = lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max);

        let (chunks, rest) = seen.as_chunks_mut::<LANES>();
        let mut sums = [0.0f32; LANES];
        for chunk in chunks {
            for lane in 0..LANES {
                chunk[lane] = exp(self.scale * (chunk[lane] - largest));
                sums[lane] += chunk[lane];
            }
        }
        let mut sum: f32 = sums.iter().sum();
        for score in rest {
            *score = exp(self.scale * (*score - largest));
            sum += *score;
        }
        sum
    }
}
