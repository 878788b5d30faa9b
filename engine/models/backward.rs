//! Gradients through a network, in little memory.
//!
//! A network is a chain of [`Segment`]s. The forward pass keeps only what enters each of them; the backward pass runs
//! each segment again, with gradients, from the last to the first (Chen et al., 2016, "Training Deep Nets with Sublinear
//! Memory Cost"). Both can be cancelled between two segments. For a small picture everything is kept, and nothing is
//! computed twice.

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

/// Pictures of up to as many latent pixels, 256 x 256 of Stable Diffusion, keep what every layer computed: about 1 GB there.
pub(crate) const MAX_KEPT_AREA: usize = 32 * 32;

/// The gradient of a function of the output with respect to `x`, latents. `gradient_of_output` is given the output and
/// returns the function's gradient with respect to it.
pub fn input_gradient(
    segments: &[Segment<'_>],
    x: Tensor<4>,
    gradient_of_output: impl FnOnce(Tensor<4>) -> Result<Tensor<4>, EngineError>,
    is_cancelled: &CancelCheck<'_>,
) -> Result<Tensor<4>, EngineError> {
    let [_, _, height, width] = x.dims();
    if height * width > MAX_KEPT_AREA {
        return segment_by_segment(segments, x, gradient_of_output, is_cancelled);
    }
    let pass = kept_forward(segments, x, is_cancelled)?;
    let gradient = gradient_of_output(pass.output())?;
    check_cancelled(is_cancelled)?;
    Ok(pass.input_gradient(gradient))
}

/// A forward pass of which everything is kept that its gradient needs.
pub struct KeptPass {
    x: Tensor<4>,
    output: Tensor<4>,
}

/// [`forward`], for a gradient to come.
pub fn kept_forward(
    segments: &[Segment<'_>],
    x: Tensor<4>,
    is_cancelled: &CancelCheck<'_>,
) -> Result<KeptPass, EngineError> {
    let x = x.autodiff().require_grad();
    let output = forward(segments, x.clone(), is_cancelled)?;
    Ok(KeptPass { x, output })
}

impl KeptPass {
    pub fn output(&self) -> Tensor<4> {
        self.output.clone().inner()
    }

    /// As in [`input_gradient`].
    pub fn input_gradient(self, gradient_of_output: Tensor<4>) -> Tensor<4> {
        let gradients = (self.output * gradient_of_output).sum().backward();
        self.x.grad(&gradients).expect("the output depends on the input")
    }
}

/// [`input_gradient`] for a picture of any size.
fn segment_by_segment(
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
        gradient = x.grad(&gradients).expect("the output depends on its input");
        skip_gradients.extend(skip.map(|skip| skip.grad(&gradients).expect("and on its skip connection")));
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

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    /// A network with two skip connections, one of them around the other.
    fn segments() -> Vec<Segment<'static>> {
        vec![
            Segment::plain(Tensor::sin),
            Segment::with_skip(|x| x * 3.0),
            Segment::with_skip(|x| x.clone() * x),
            Segment::plain(Tensor::tanh),
            Segment::from_skip(|x, skip| x * skip),
            Segment::from_skip(|x, skip| x + skip.cos()),
        ]
    }

    const CONTINUE: &CancelCheck<'static> = &|| false;

    fn numbers(x: Tensor<4>) -> Vec<f32> {
        x.into_data().try_into_vec().expect("f32")
    }

    /// The output for an input x, in f64: with `u = 3 sin x`, `tanh(u^2) u^2 + cos u`.
    fn output(x: f64) -> f64 {
        let u = 3.0 * x.sin();
        (u * u).tanh() * u * u + u.cos()
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences_with_and_without_segments() {
        let values = [-1.3f32, -0.2, 0.4, 0.9];
        let x = || Tensor::<1>::from_floats(values, &Device::flex()).reshape([1, 1, 2, 2]);
        // Of the sum of the squared outputs.
        let of_output = |output: Tensor<4>| Ok(output * 2.0);
        let kept = input_gradient(&segments(), x(), of_output, CONTINUE).expect("nothing cancels it");
        let again = segment_by_segment(&segments(), x(), of_output, CONTINUE).expect("nothing cancels it");
        let expected = values.map(|x| {
            let square = |x: f64| output(x).powi(2);
            (square(f64::from(x) + 1e-5) - square(f64::from(x) - 1e-5)) / 2e-5
        });
        for gradient in [kept, again] {
            for (ours, expected) in numbers(gradient).into_iter().zip(expected) {
                assert!(
                    (f64::from(ours) - expected).abs() < 1e-3 * expected.abs().max(1.0),
                    "{ours}: {expected}"
                );
            }
        }
    }

    #[test]
    fn a_backward_pass_can_be_cancelled_between_two_segments() {
        let x = || Tensor::<4>::ones([1, 1, 2, 2], &Device::flex());
        for last in 0..2 * segments().len() {
            let checked = std::cell::Cell::new(0);
            let cancel = || checked.replace(checked.get() + 1) == last;
            let cancelled = segment_by_segment(&segments(), x(), Ok, &cancel);
            assert_eq!(cancelled.err(), Some(EngineError::Stopped), "at check {last}");
        }
        assert!(segment_by_segment(&segments(), x(), Ok, CONTINUE).is_ok());
    }
}
