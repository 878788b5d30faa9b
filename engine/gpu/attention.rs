//! Multi-head attention in one pass over the keys (Milakov and Gimelshein, 2018, "Online normalizer calculation for
//! softmax"; Dao et al., 2022): the scores are never in memory, and all sums are f32.

use burn_wgpu::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::{buffer, contiguous, cubes, dims, elem_type, empty, vector_width};

/// Keys whose scores are computed together, so that the output is rescaled once for all of them.
const KEYS: usize = 4;
const CUBE: u32 = 64;

/// Numbers of queries and outputs that a unit keeps in registers.
const MAX_REGISTERS: usize = 240;

/// Wider heads do not fit into registers.
pub const MAX_HEAD_WIDTH: usize = 160;

/// Below every score.
const LOWEST: f32 = -1e30;

/// What is known when a kernel is compiled; widths are counted in vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Plan {
    head_width: usize,
    /// The numbers of the output that a unit computes, of those of a head.
    part_width: usize,
    /// Queries per unit.
    queries: usize,
    is_causal: bool,
}

impl Plan {
    fn new(head_width: usize, is_causal: bool) -> Self {
        let vector = vector_width(head_width);
        let vectors = head_width / vector;
        // A part's unit computes the scores again.
        let parts = if head_width > 80 && vectors.is_multiple_of(2) { 2 } else { 1 };
        let part_width = vectors / parts;
        let queries = if 2 * (vectors + part_width) * vector <= MAX_REGISTERS { 2 } else { 1 };
        Self { head_width: vectors, part_width, queries, is_causal }
    }
}

#[cube(launch_unchecked)]
fn attention_kernel<E: Float, N: Size>(
    q: &[Vector<E, N>],
    k: &[Vector<E, N>],
    v: &[Vector<E, N>],
    out: &mut [Vector<E, N>],
    queries: u32,
    keys: u32,
    heads: u32,
    groups: u32,
    units: u32,
    scale: f32,
    #[comptime] plan: Plan,
    #[define(E)] _dtype: ElemType,
) {
    let unit = ABSOLUTE_POS as u32;
    if unit < units {
        let width = comptime!(plan.head_width);
        let part_width = comptime!(plan.part_width);
        let parts = comptime!((plan.head_width / plan.part_width) as u32);
        let count = comptime!(plan.queries);
        let token_width = heads * comptime!(plan.head_width as u32);

        // Neighbouring units take neighbouring queries of one head and read the same keys.
        let first_query = unit % groups;
        let part = unit / groups % parts;
        let head = unit / groups / parts % heads;
        let image = unit / groups / parts / heads;
        let head_start = head * comptime!(plan.head_width as u32);
        let part_start = head_start + part * comptime!(plan.part_width as u32);

        let mut query = Array::<Vector<f32, N>>::new(comptime!(count * width));
        let mut sums = Array::<Vector<f32, N>>::new(comptime!(count * part_width));
        let mut largest = Array::<f32>::new(count);
        let mut total = Array::<f32>::new(count);
        #[unroll]
        for t in 0..count {
            let token = u32::min(first_query + comptime!(t as u32) * groups, queries - 1);
            let start = (image * queries + token) * token_width + head_start;
            #[unroll]
            for d in 0..width {
                let value = Vector::<f32, N>::cast_from(q[(start + comptime!(d as u32)) as usize]);
                query[comptime!(t * width + d)] = value * Vector::new(scale);
            }
            #[unroll]
            for d in 0..part_width {
                sums[comptime!(t * part_width + d)] = Vector::new(0.0);
            }
            largest[t] = LOWEST;
            total[t] = 0.0f32;
        }

        for first_key in range_stepped(0u32, keys, comptime!(KEYS as u32)) {
            let mut weights = Array::<f32>::new(comptime!(count * KEYS));
            #[unroll]
            for index in 0..KEYS {
                let key = first_key + comptime!(index as u32);
                let start = (image * keys + u32::min(key, keys - 1)) * token_width + head_start;
                let mut products = Array::<Vector<f32, N>>::new(count);
                #[unroll]
                for t in 0..count {
                    products[t] = Vector::new(0.0);
                }
                #[unroll]
                for d in 0..width {
                    let value = Vector::<f32, N>::cast_from(k[(start + comptime!(d as u32)) as usize]);
                    #[unroll]
                    for t in 0..count {
                        products[t] = fma(query[comptime!(t * width + d)], value, products[t]);
                    }
                }
                #[unroll]
                for t in 0..count {
                    let mut score = products[t].extract(0usize);
                    #[unroll]
                    for i in 1..N::value() {
                        score += products[t].extract(i);
                    }
                    let mut is_seen = key < keys;
                    if comptime!(plan.is_causal) {
                        is_seen = is_seen && key <= first_query + comptime!(t as u32) * groups;
                    }
                    weights[comptime!(t * KEYS + index)] = select(is_seen, score, LOWEST);
                }
            }
            #[unroll]
            for t in 0..count {
                let mut new_largest = largest[t];
                #[unroll]
                for index in 0..KEYS {
                    new_largest = f32::max(new_largest, weights[comptime!(t * KEYS + index)]);
                }
                let correction = f32::exp(largest[t] - new_largest);
                largest[t] = new_largest;
                total[t] *= correction;
                #[unroll]
                for d in 0..part_width {
                    sums[comptime!(t * part_width + d)] *= Vector::new(correction);
                }
                #[unroll]
                for index in 0..KEYS {
                    let weight = f32::exp(weights[comptime!(t * KEYS + index)] - new_largest);
                    weights[comptime!(t * KEYS + index)] = weight;
                    total[t] += weight;
                }
            }
            #[unroll]
            for index in 0..KEYS {
                let key = u32::min(first_key + comptime!(index as u32), keys - 1);
                let start = (image * keys + key) * token_width + part_start;
                #[unroll]
                for d in 0..part_width {
                    let value = Vector::<f32, N>::cast_from(v[(start + comptime!(d as u32)) as usize]);
                    #[unroll]
                    for t in 0..count {
                        let weight = Vector::new(weights[comptime!(t * KEYS + index)]);
                        let at = comptime!(t * part_width + d);
                        sums[at] = fma(weight, value, sums[at]);
                    }
                }
            }
        }

        #[unroll]
        for t in 0..count {
            let token = first_query + comptime!(t as u32) * groups;
            if token < queries {
                let start = (image * queries + token) * token_width + part_start;
                #[unroll]
                for d in 0..part_width {
                    let value = sums[comptime!(t * part_width + d)] / Vector::new(total[t]);
                    out[(start + comptime!(d as u32)) as usize] = Vector::cast_from(value);
                }
            }
        }
    }
}

/// # Shapes
/// - q and output: `[batch, queries, heads * head_width]`
/// - k, v: `[batch, keys, heads * head_width]`
pub fn attention(q: CubeTensor, k: CubeTensor, v: CubeTensor, heads: usize, is_causal: bool) -> CubeTensor {
    let [q, k, v] = [q, k, v].map(contiguous);
    let [batch, queries, width] = dims(&q);
    let [_, keys, _] = dims(&k);
    let head_width = width / heads;
    let out = empty(&q, [batch, queries, width]);
    let plan = Plan::new(head_width, is_causal);
    let parts = plan.head_width / plan.part_width;
    let groups = queries.div_ceil(plan.queries);
    let units = groups * parts * heads * batch;
    // SAFETY: no unit beyond the given number reads or writes, queries and keys are clamped to their number, and each unit
    // writes outputs of its own.
    unsafe {
        attention_kernel::launch_unchecked(
            &q.client,
            cubes(units, CUBE),
            CubeDim::new_1d(CUBE),
            vector_width(head_width),
            buffer(&q),
            buffer(&k),
            buffer(&v),
            buffer(&out),
            queries as u32,
            keys as u32,
            heads as u32,
            groups as u32,
            units as u32,
            1.0 / (head_width as f32).sqrt(),
            plan,
            elem_type(&q),
        );
    }
    out
}
