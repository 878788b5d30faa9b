//! Arithmetic on output embeddings: weights of words, and mixes of prompts.

use burn::tensor::{Tensor, TensorData};

use crate::prompt::{Mix, MixMethod, PromptWeights, Tokenized};

/// Applies the weights of tokens to output embeddings.
///
/// A1111 ("Original" emphasis): each position is multiplied by its weight, then each chunk is scaled so that its
/// mean stays the same. ComfyUI: each position's difference from the empty prompt is multiplied.
///
/// # Shapes
/// - z and output: `[chunks, tokens, width]`
/// - empty: `[1, tokens, width]`, called if needed
pub(crate) fn weighted(
    z: Tensor<3>,
    text: &Tokenized,
    weights: PromptWeights,
    empty: impl FnOnce() -> Tensor<3>,
) -> Tensor<3> {
    if !text.is_weighted() {
        return z;
    }
    let [chunks, tokens, _] = z.dims();
    let mut factors = vec![1.0; chunks * tokens];
    for (place, token) in text.tokens() {
        factors[place.chunk * tokens + place.position] = token.weight;
    }
    let factors = Tensor::<3>::from_data(TensorData::new(factors, [chunks, tokens, 1]), &z.device());
    match weights {
        PromptWeights::A1111 => {
            let mean = |z: &Tensor<3>| z.clone().mean_dim(2).mean_dim(1);
            let before = mean(&z);
            let z = z * factors;
            let ratio = before / mean(&z);
            let is_number = ratio.clone().abs().lower_elem(f32::INFINITY);
            z * ratio.ones_like().mask_where(is_number, ratio)
        }
        PromptWeights::Comfy => {
            let empty = empty().repeat_dim(0, chunks);
            (z - empty.clone()) * factors + empty
        }
        PromptWeights::None => z,
    }
}

/// Mixes prompts by their weights; the main one has the rest of 1.
///
/// # Shapes
/// - all: `[1, tokens, width]`
pub(crate) fn mixed(mix: &Mix, main: Tensor<3>, others: impl Iterator<Item = (f32, Tensor<3>)>) -> Tensor<3> {
    let mut share = mix.main_weight();
    match mix.method {
        MixMethod::Linear => others.fold(main * share, |sum, (weight, text)| sum + text * weight),
        // One after the other: each is interpolated with the mix of those before it.
        MixMethod::Spherical => others.fold(main, |sum, (weight, text)| {
            share += weight;
            let t = if share.abs() < f32::EPSILON { 0.0 } else { weight / share };
            slerp(t, sum, text)
        }),
    }
}

/// Spherical interpolation from `a` (`t` 0) to `b` (1), for each position alone; linear where they are nearly
/// parallel.
fn slerp(t: f32, a: Tensor<3>, b: Tensor<3>) -> Tensor<3> {
    const PARALLEL: f32 = 0.9995;
    let dot = |a: &Tensor<3>, b: &Tensor<3>| (a.clone() * b.clone()).sum_dim(2);
    let cosine = dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt();
    let is_parallel = cosine.clone().abs().greater_elem(PARALLEL);
    let angle = cosine.clamp(-PARALLEL, PARALLEL).acos();
    let part = |t: f32| {
        let on_arc = (angle.clone() * t).sin() / angle.clone().sin();
        on_arc.clone().mask_where(is_parallel.clone(), on_arc.ones_like() * t)
    };
    a * part(1.0 - t) + b * part(t)
}
