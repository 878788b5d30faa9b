//! Activation functions, written so that the compiler vectorises them.

use std::marker::PhantomData;

use burn::tensor::Tensor;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::{close, contiguous, from_rows, open, values};

/// A function of one number, applied to each element.
pub trait ElementwiseFn: Copy + Send + Sync {
    fn apply(x: f32) -> f32;
}

/// `x * sigmoid(x)`
#[derive(Clone, Copy)]
pub struct Silu;

/// `x * sigmoid(1.702 x)`, the activation of OpenAI's CLIP.
#[derive(Clone, Copy)]
pub struct QuickGelu;

/// `x`
#[derive(Clone, Copy)]
pub struct Identity;

impl ElementwiseFn for Silu {
    #[inline(always)]
    fn apply(x: f32) -> f32 {
        x * sigmoid(x)
    }
}

impl ElementwiseFn for QuickGelu {
    #[inline(always)]
    fn apply(x: f32) -> f32 {
        x * sigmoid(1.702 * x)
    }
}

impl ElementwiseFn for Identity {
    #[inline(always)]
    fn apply(x: f32) -> f32 {
        x
    }
}

/// `e^x` to about two units in the last place, for finite `x`: Cody and Waite's reduction and the
/// polynomial of the Cephes library's `expf`.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to an integer
    let x = x.clamp(-87.0, 88.0);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let p = 1.987_569_1e-4f32;
    let p = p * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let p = p * r * r + r + 1.0;
    p * f32::from_bits((rounded.to_bits() << 23).wrapping_add(0x3f80_0000))
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Gaussian error function, absolute error below 2e-7: Abramowitz and Stegun, 7.1.26.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let p = 1.061_405_4f32;
    let p = p * t - 1.453_152;
    let p = p * t + 1.421_413_8;
    let p = p * t - 0.284_496_74;
    let p = p * t + 0.254_829_6;
    (1.0 - p * t * exp(-x * x)).copysign(x)
}

#[inline(always)]
fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// Applies an activation, in place where the memory is not shared.
pub fn activate<A: ElementwiseFn, const D: usize>(_activation: A, x: Tensor<D>) -> Tensor<D> {
    let x = open(x);
    let mut x = if x.layout().is_dense_unique_storage() { x } else { x.to_contiguous() };
    let arch = Arch::new();
    let parts = x.storage_mut::<f32>().par_chunks_mut(1 << 15);
    parts.for_each(|values| arch.dispatch(InPlace::<A> { values, activation: PhantomData }));
    close(x)
}

struct InPlace<'a, A> {
    values: &'a mut [f32],
    activation: PhantomData<A>,
}

impl<A: ElementwiseFn> WithSimd for InPlace<'_, A> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        for value in self.values {
            *value = A::apply(*value);
        }
    }
}

/// The gated feed-forward of a transformer block: first half times the GELU of the second.
///
/// # Shapes
/// - x: `[batch, tokens, 2 * width]`
/// - output: `[batch, tokens, width]`
pub fn geglu(x: Tensor<3>) -> Tensor<3> {
    let [batch, tokens, double] = x.dims();
    let width = double / 2;
    let x = contiguous(x);
    let mut out = vec![0.0; batch * tokens * width];
    let arch = Arch::new();
    let rows = (1 << 14) / width.max(1) + 1;
    let parts = values(&x).par_chunks(rows * double).zip(out.par_chunks_mut(rows * width));
    parts.for_each(|(x, out)| arch.dispatch(Geglu { x, out, width }));
    close(from_rows(out, [batch, tokens, width]))
}

struct Geglu<'a> {
    x: &'a [f32],
    out: &'a mut [f32],
    width: usize,
}

impl WithSimd for Geglu<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Self { x, out, width } = self;
        for (x, out) in x.chunks_exact(2 * width).zip(out.chunks_exact_mut(width)) {
            let (value, gate) = x.split_at(width);
            for ((out, &value), &gate) in out.iter_mut().zip(value).zip(gate) {
                *out = value * gelu(gate);
            }
        }
    }
}

/// The gradient with respect to `x` of a function of [`geglu`], whose gradient with respect to the output is `gradient`.
///
/// # Shapes
/// - gradient: `[batch, tokens, width]`
/// - output: `[batch, tokens, 2 * width]`
pub fn geglu_gradient(x: Tensor<3>, gradient: Tensor<3>) -> Tensor<3> {
    let [batch, tokens, width] = gradient.dims();
    let (x, gradient) = (contiguous(x), contiguous(gradient));
    let mut out = vec![0.0; batch * tokens * 2 * width];
    let arch = Arch::new();
    let rows = (1 << 14) / width.max(1) + 1;
    let parts = values(&x).par_chunks(rows * 2 * width).zip(values(&gradient).par_chunks(rows * width));
    parts.zip(out.par_chunks_mut(rows * 2 * width)).for_each(|((x, gradient), out)| {
        arch.dispatch(GegluGradient { x, gradient, out, width });
    });
    close(from_rows(out, [batch, tokens, 2 * width]))
}

struct GegluGradient<'a> {
    x: &'a [f32],
    gradient: &'a [f32],
    out: &'a mut [f32],
    width: usize,
}

impl WithSimd for GegluGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Self { x, gradient, out, width } = self;
        let rows = x.chunks_exact(2 * width).zip(gradient.chunks_exact(width));
        for ((x, gradient), out) in rows.zip(out.chunks_exact_mut(2 * width)) {
            let (value, gate) = x.split_at(width);
            let (of_value, of_gate) = out.split_at_mut(width);
            // Slices of one known length, so that the loop needs no checks and is vectorised.
            let (value, gate, gradient) = (&value[..width], &gate[..width], &gradient[..width]);
            let (of_value, of_gate) = (&mut of_value[..width], &mut of_gate[..width]);
            for at in 0..width {
                of_value[at] = gradient[at] * gelu(gate[at]);
                of_gate[at] = gradient[at] * value[at] * gelu_slope(gate[at]);
            }
        }
    }
}

/// The derivative of GELU: the normal distribution, and `x` times its density.
#[inline(always)]
fn gelu_slope(x: f32) -> f32 {
    const DENSITY_AT_0: f32 = 0.398_942_3; // 1 / sqrt(2 pi)
    0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2)) + x * DENSITY_AT_0 * exp(-0.5 * x * x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_accurate_to_a_millionth() {
        for i in -8600..8600 {
            let x = i as f32 / 100.0;
            let (ours, exact) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((ours - exact).abs() <= 1e-6 * exact, "e^{x}: {ours} for {exact}");
        }
    }

    #[test]
    fn gelu_has_known_values() {
        for (x, expected) in
            [(-3.0, -0.004_049_69), (-1.0, -0.158_655_25), (0.5, 0.345_731_23), (2.0, 1.954_499_7)]
        {
            assert!((gelu(x) - expected).abs() < 1e-6, "gelu({x}) = {}", gelu(x));
        }
    }
}
