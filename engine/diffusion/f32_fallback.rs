//! A second network in f32, for when the numbers of the first one leave the range of f16.

use super::Latents;
use super::guidance::{EpsGradient, EpsModel};
use crate::error::EngineError;

/// A network in f16 that is replaced by the same network in f32 once it produces invalid numbers.
pub struct F32Fallback<'a, M> {
    pub model: M,
    /// `None` if the first one computes in f32 already, and once it has been replaced.
    pub full_precision: Option<M>,
    /// Called with a note for the user when the network is replaced.
    pub on_fallback: &'a dyn Fn(&str),
}

impl<M> F32Fallback<'_, M> {
    fn try_both<T>(
        &mut self,
        predict: impl Fn(&mut M) -> Result<T, EngineError>,
        is_valid: impl Fn(&T) -> bool,
    ) -> Result<T, EngineError> {
        let prediction = predict(&mut self.model)?;
        if is_valid(&prediction) {
            return Ok(prediction);
        }
        if let Some(full_precision) = self.full_precision.take() {
            self.model = full_precision;
            let prediction = predict(&mut self.model)?;
            if is_valid(&prediction) {
                (self.on_fallback)(
                    "The model's numbers left the range of f16, so the run continued in f32, which takes longer. Choose precision f32 to start with it",
                );
                return Ok(prediction);
            }
        }
        Err(EngineError::invalid_numbers("UNet"))
    }
}

impl<M: EpsModel> EpsModel for F32Fallback<'_, M> {
    fn eps(&mut self, x: &Latents, timestep: f32) -> Result<Latents, EngineError> {
        self.try_both(|model| model.eps(x, timestep), Latents::is_finite_and_nonzero)
    }

    fn eps_pair(&mut self, x: &Latents, timestep: f32) -> Result<(Latents, Latents), EngineError> {
        let is_valid = |(uncond, cond): &(Latents, Latents)| {
            uncond.is_finite_and_nonzero() && cond.is_finite_and_nonzero()
        };
        self.try_both(|model| model.eps_pair(x, timestep), is_valid)
    }
}

impl<M: EpsGradient> EpsGradient for F32Fallback<'_, M> {
    fn expect_gradient(&mut self) {
        // The gradient is taken of the network that also predicts.
        if self.full_precision.is_none() {
            self.model.expect_gradient();
        }
    }

    /// In f32: the gradients of f16 networks overflow.
    fn eps_gradient(
        &mut self,
        x: &Latents,
        timestep: f32,
        cfg_scale: f32,
        gradient: &Latents,
    ) -> Result<Latents, EngineError> {
        let model = self.full_precision.as_mut().unwrap_or(&mut self.model);
        model.eps_gradient(x, timestep, cfg_scale, gradient)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Predicts one number everywhere, and counts its calls.
    struct Fake<'a> {
        value: f32,
        calls: &'a RefCell<usize>,
    }

    impl EpsModel for Fake<'_> {
        fn eps(&mut self, x: &Latents, _: f32) -> Result<Latents, EngineError> {
            *self.calls.borrow_mut() += 1;
            Ok(Latents::new(x.shape, vec![self.value; x.data.len()]))
        }

        fn eps_pair(&mut self, x: &Latents, timestep: f32) -> Result<(Latents, Latents), EngineError> {
            // Only one of the two is broken.
            Ok((Latents::new(x.shape, vec![1.0; x.data.len()]), self.eps(x, timestep)?))
        }
    }

    fn try_both(
        f16: f32,
        full_precision: Option<f32>,
        pair: bool,
    ) -> (Vec<Result<f32, EngineError>>, [usize; 2], usize) {
        let (calls_f16, calls_f32, notes) = (RefCell::new(0), RefCell::new(0), RefCell::new(0));
        let on_fallback = |_: &str| *notes.borrow_mut() += 1;
        let mut model = F32Fallback {
            model: Fake { value: f16, calls: &calls_f16 },
            full_precision: full_precision.map(|value| Fake { value, calls: &calls_f32 }),
            on_fallback: &on_fallback,
        };
        let x = Latents::zeros([1, 4, 2, 2]);
        let mut once = || match pair {
            true => model.eps_pair(&x, 0.0).map(|(_, cond)| cond.data[0]),
            false => model.eps(&x, 0.0).map(|eps| eps.data[0]),
        };
        let answers = vec![once(), once()];
        (answers, [calls_f16.take(), calls_f32.take()], notes.take())
    }

    #[test]
    fn after_an_invalid_prediction_the_f32_network_makes_it_again_and_all_that_follow() {
        for broken in [f32::NAN, f32::INFINITY, 0.0] {
            for pair in [false, true] {
                assert_eq!(
                    try_both(broken, Some(0.5), pair),
                    (vec![Ok(0.5); 2], [1, 2], 1),
                    "{broken} {pair}"
                );
            }
        }
    }

    #[test]
    fn a_valid_prediction_is_used() {
        assert_eq!(try_both(0.25, Some(0.5), true), (vec![Ok(0.25); 2], [2, 0], 0));
    }

    #[test]
    fn invalid_numbers_in_f32_end_in_an_error_without_a_note() {
        for full_precision in [None, Some(f32::NAN)] {
            let (answers, _, notes) = try_both(f32::NAN, full_precision, false);
            assert_eq!(notes, 0);
            for answer in answers {
                assert!(matches!(answer, Err(EngineError::Failed(text)) if text.contains("f32")));
            }
        }
    }
}
