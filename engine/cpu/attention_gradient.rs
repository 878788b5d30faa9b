//! The gradient of attention, on a tile of queries at a time. The weights of a tile are computed again, so that they are never
//! all in memory (Dao et al., 2022, "FlashAttention", algorithm 4).

use std::cell::RefCell;
use std::ops::Range;

use burn::tensor::Tensor;
use pulp::Arch;
use rayon::prelude::*;

use super::attention::{Exponentials, head_columns, tile_rows};
use super::gemm::{Matrix, matmul};
use super::{close, contiguous, from_rows, values, vectorised};

thread_local! {
    // The weights of one head and tile and their gradients, reused by later calls.
    static WEIGHTS: RefCell<[Vec<f32>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// The gradients with respect to q and, if `for_keys`, to k and v, of a function of
/// [`attention`](super::attention()), whose gradient with respect to the output is `gradient`.
///
/// # Shapes
/// - each gradient: as its tensor
pub fn attention_gradient(
    [q, k, v]: [Tensor<3>; 3],
    heads: usize,
    gradient: Tensor<3>,
    for_keys: bool,
) -> (Tensor<3>, Option<[Tensor<3>; 2]>) {
    let [batch, queries, width] = q.dims();
    let keys = k.dims()[1];
    let [q, k, v, gradient] = [q, k, v, gradient].map(contiguous);
    let head_width = width / heads;
    // Every thread has work, although a head may be the only one.
    let parts = rayon::current_num_threads().div_ceil(batch * heads).min(queries).max(1);
    let rows_of_part = queries.div_ceil(parts).max(1);
    let tasks: Vec<(usize, usize, Range<usize>)> = (0..batch)
        .flat_map(|image| (0..heads).map(move |head| (image, head)))
        .flat_map(|(image, head)| {
            let parts = (0..queries).step_by(rows_of_part);
            parts.map(move |first| (image, head, first..(first + rows_of_part).min(queries)))
        })
        .collect();
    let parts: Vec<HeadGradient> = tasks
        .par_iter()
        .map(|(image, head, rows)| {
            let of_image = |x, count: usize| &values(x)[image * count * width..(image + 1) * count * width];
            let head = Head {
                q: of_image(&q, queries),
                k: of_image(&k, keys),
                v: of_image(&v, keys),
                gradient: of_image(&gradient, queries),
                columns: head * head_width..(head + 1) * head_width,
                keys,
                width,
            };
            head.gradient_of_rows(rows.clone(), for_keys)
        })
        .collect();

    let collect = |count: usize, part: fn(&HeadGradient) -> &[f32], by_rows: bool| -> Tensor<3> {
        let mut out = vec![0.0; batch * count * width];
        for ((image, head, rows), gradient) in tasks.iter().zip(&parts) {
            let first_row = if by_rows { rows.start } else { 0 };
            let out = &mut out[(image * count + first_row) * width..];
            for (out, row) in out.chunks_mut(width).zip(part(gradient).chunks_exact(head_width)) {
                super::rows::add_to(&mut out[head * head_width..(head + 1) * head_width], row);
            }
        }
        close(from_rows(out, [batch, count, width]))
    };
    let of_keys =
        for_keys.then(|| [collect(keys, |part| &part.k, false), collect(keys, |part| &part.v, false)]);
    (collect(queries, |part| &part.q, true), of_keys)
}

/// One head of one picture, in the rows of all heads.
struct Head<'a> {
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    gradient: &'a [f32],
    columns: Range<usize>,
    keys: usize,
    width: usize,
}

/// Rows of one head.
struct HeadGradient {
    q: Vec<f32>,
    /// Empty if they are not wanted.
    k: Vec<f32>,
    v: Vec<f32>,
}

impl Head<'_> {
    /// With the weights `p = softmax(scale q k')` and `y = p v`: `dv = p' dy`, `dp = dy v'`,
    /// `ds = p (dp - sum(p dp))`, `dq = scale ds k` and `dk = scale ds' q`, for some of the queries.
    fn gradient_of_rows(&self, rows: Range<usize>, for_keys: bool) -> HeadGradient {
        let Self { keys, width, .. } = *self;
        let head_width = self.columns.len();
        let scale = 1.0 / (head_width as f32).sqrt();
        let arch = Arch::new();
        let columns = |x, rows: Range<usize>| head_columns(x, rows, self.columns.clone(), width);
        let (k, v) = (columns(self.k, 0..keys), columns(self.v, 0..keys));
        let of_keys = if for_keys { keys * head_width } else { 0 };
        let mut out = HeadGradient {
            q: vec![0.0; rows.len() * head_width],
            k: vec![0.0; of_keys],
            v: vec![0.0; of_keys],
        };
        let tile = tile_rows(keys);
        for (first, out_q) in rows.step_by(tile).zip(out.q.chunks_mut(tile * head_width)) {
            let count = out_q.len() / head_width;
            let [q, gradient] = [self.q, self.gradient].map(|x| columns(x, first..first + count));
            WEIGHTS.with_borrow_mut(|[weights, of_weights]| {
                weights.resize(count * keys, 0.0);
                of_weights.resize(count * keys, 0.0);
                matmul(weights, keys, q, k.transposed(), false);
                for scores in weights.chunks_exact_mut(keys) {
                    let total = arch.dispatch(Exponentials { scores, seen: keys, scale });
                    scores.iter_mut().for_each(|weight| *weight /= total);
                }
                if for_keys {
                    let weights = Matrix::rows(weights, count, keys, keys);
                    matmul(&mut out.v, head_width, weights.transposed(), gradient, true);
                }
                matmul(of_weights, keys, gradient, v.transposed(), false);
                let rows = of_weights.chunks_exact_mut(keys).zip(weights.chunks_exact(keys));
                for (of_weights, weights) in rows {
                    vectorised(
                        #[inline(always)]
                        || score_gradient(of_weights, weights, scale),
                    );
                }
                let of_scores = Matrix::rows(of_weights, count, keys, keys);
                matmul(out_q, head_width, of_scores, k, false);
                if for_keys {
                    matmul(&mut out.k, head_width, of_scores.transposed(), q, true);
                }
            });
        }
        out
    }
}

/// Turns the gradient with respect to one query's weights into that with respect to its scores before the scale.
#[inline(always)]
fn score_gradient(gradient: &mut [f32], weights: &[f32], scale: f32) {
    const LANES: usize = 32;
    let mut sums = [0.0f32; LANES];
    let (gradients, gradients_rest) = gradient.as_chunks::<LANES>();
    let (chunks, rest) = weights.as_chunks::<LANES>();
    for (gradient, weights) in gradients.iter().zip(chunks) {
        for lane in 0..LANES {
            sums[lane] += gradient[lane] * weights[lane];
        }
    }
    let rest: f32 = gradients_rest.iter().zip(rest).map(|(gradient, weight)| gradient * weight).sum();
    let sum = sums.iter().sum::<f32>() + rest;
    for (gradient, weight) in gradient.iter_mut().zip(weights) {
        *gradient = scale * weight * (*gradient - sum);
    }
}
