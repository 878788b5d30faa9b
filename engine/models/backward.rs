//! Gradients through a network, in little memory.
//!
//! A network is a chain of [`Segment`]s. The forward pass keeps only what enters each of them; the backward pass runs
//! each segment again, with gradients, from the last to the first (Chen et al., 2016, "Training Deep Nets with Sublinear
//! Memory Cost"). So the forward pass uses the fast kernels of the CPU, and both can be cancelled between two
//! segments.

use burn::tensor::Tensor;

use super::{CancelCheck, check_cancelled};
use crate::error::EngineError;

/// A part of a network.
pub enum Segment<'a> {
    Plain(Box<dyn Fn(Tensor<4>) -> Tensor<4> + 'a>),
    /// Its output is also kept as a skip connection.
    WithSkip(Box<dyn Fn(Tensor<4>) -> Tensor<4> + 'a>),
    /// It takes the latest skip connection, too.
    FromSkip(Box<dyn Fn(Tensor<4>, Tensor<4>) -> Tensor<4> + 'a>),
}

impl<'a> Segment<'a> {
    pub fn plain(run: impl Fn(Tensor<4>) -> Tensor<4> + 'a) -> Self {
        Self::Plain(Box::new(run))
    }

    pub fn with_skip(run: impl Fn(Tensor<4>) -> Tensor<4> + 'a) -> Self {
        Self::WithSkip(Box::new(run))
    }

    pub fn from_skip(run: impl Fn(Tensor<4>, Tensor<4>) -> Tensor<4> + 'a) -> Self {
        Self::FromSkip(Box::new(run))
    }
}

/// The output of all segments.
pub fn forward(
    segments: &[Segment<'_>],
    x: Tensor<4>,
    is_cancelled: &CancelCheck<'_>,
) -> Result<Tensor<4>, EngineError> {
    run(segments, x, is_cancelled, |_, _| ())
}

/// The gradient of a function of the output with respect to `x`. `gradient_of_output` is given the output and returns the
/// function's gradient with respect to it.
pub fn input_gradient(
    segments: &[Segment<'_>],
    x: Tensor<4>,
    gradient_of_output: impl FnOnce(Tensor<4>) -> Result<Tensor<4>, EngineError>,
    is_cancelled: &CancelCheck<'_>,
) -> Result<Tensor<4>, EngineError> {
    let mut inputs = Vec::with_capacity(segments.len());
    let keep = |x: &Tensor<4>, skip: Option<&Tensor<4>>| inputs.push((x.clone(), skip.cloned()));
    let output = run(segments, x, is_cancelled, keep)?;
    let mut gradient = gradient_of_output(output)?;
    // The segments take the skip connections in reverse order of their making; so do their gradients.
    let mut skip_gradients = Vec::new();
    for (segment, (x, skip)) in segments.iter().zip(inputs).rev() {
        check_cancelled(is_cancelled)?;
        let x = x.autodiff().require_grad();
        let skip = skip.map(|skip| skip.autodiff().require_grad());
        let output = match (segment, &skip) {
            (Segment::FromSkip(run), Some(skip)) => run(x.clone(), skip.clone()),
            (Segment::WithSkip(run), _) => {
                gradient = gradient + skip_gradients.pop().expect("every skip connection is taken");
                run(x.clone())
            }
            (Segment::Plain(run), _) => run(x.clone()),
            (Segment::FromSkip(_), None) => unreachable!("the forward pass kept its skip connection"),
        };
        let gradients = (output * gradient).sum().backward();
        let of = |input: &Tensor<4>| input.grad(&gradients).expect("the output depends on every input");
        gradient = of(&x);
        skip_gradients.extend(skip.as_ref().map(of));
    }
    Ok(gradient)
}

/// Runs the segments; `observe` sees what enters each of them.
fn run(
    segments: &[Segment<'_>],
    mut x: Tensor<4>,
    is_cancelled: &CancelCheck<'_>,
    mut observe: impl FnMut(&Tensor<4>, Option<&Tensor<4>>),
) -> Result<Tensor<4>, EngineError> {
    let mut skips = Vec::new();
    for segment in segments {
        check_cancelled(is_cancelled)?;
        x = match segment {
            Segment::Plain(run) => {
                observe(&x, None);
                run(x)
            }
            Segment::WithSkip(run) => {
                observe(&x, None);
                let x = run(x);
                skips.push(x.clone());
                x
            }
            Segment::FromSkip(run) => {
                let skip = skips.pop().expect("a skip connection for every segment that takes one");
                observe(&x, Some(&skip));
                run(x, skip)
            }
        };
    }
    Ok(x)
}
