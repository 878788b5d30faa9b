//! Gradients through a network, in little memory.
//!
//! A network is a chain of [`Segment`]s. The forward pass keeps only what enters each of them; the backward pass runs
//! each segment again, with gradients, from the last to the first (Chen et al., 2016, "Training Deep Nets with Sublinear
//! Memory Cost"). The forward pass so uses the fast kernels of the CPU, and both can be cancelled between two
//! segments.

use burn::tensor::Tensor;

use super::{CancelCheck, check_cancelled};
use crate::error::EngineError;

/// A part of a network.
pub type Segment<'a> = Box<dyn Fn(Tensor<4>) -> Tensor<4> + 'a>;

/// The output of all segments.
pub fn forward(
    segments: &[Segment<'_>],
    mut x: Tensor<4>,
    is_cancelled: &CancelCheck<'_>,
) -> Result<Tensor<4>, EngineError> {
    for segment in segments {
        check_cancelled(is_cancelled)?;
        x = segment(x);
    }
    Ok(x)
}

/// The gradient of a function of the output with respect to `x`. `gradient_of_output` is given the output and returns the
/// function's gradient with respect to it.
pub fn input_gradient(
    segments: &[Segment<'_>],
    mut x: Tensor<4>,
    gradient_of_output: impl FnOnce(Tensor<4>) -> Result<Tensor<4>, EngineError>,
    is_cancelled: &CancelCheck<'_>,
) -> Result<Tensor<4>, EngineError> {
    let mut inputs = Vec::with_capacity(segments.len());
    for segment in segments {
        check_cancelled(is_cancelled)?;
        inputs.push(x.clone());
        x = segment(x);
    }
    let mut gradient = gradient_of_output(x)?;
    for (segment, input) in segments.iter().zip(inputs).rev() {
        check_cancelled(is_cancelled)?;
        let input = input.autodiff().require_grad();
        let gradients = (segment(input.clone()) * gradient).sum().backward();
        gradient = input.grad(&gradients).expect("a segment's output depends on its input");
    }
    Ok(gradient)
}
