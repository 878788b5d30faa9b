//! A second, more exact network for when the first one's numbers leave its range.

use super::Latents;
use super::guidance::EpsModel;
use crate::error::EngineError;

/// A network that computes fast, and the same one computing exactly. What the fast one has no answer to,
/// and all that is asked after that, goes to the exact one.
pub struct F32Fallback<'a, M> {
    pub model: M,
    /// Absent where the first is as exact as there is, and once it has taken its place.
    pub full_precision: Option<M>,
    /// Told when that happens.
    pub on_fallback: &'a dyn Fn(&str),
}

impl<M> F32Fallback<'_, M> {
    fn try_both<T>(
        &mut self,
        question: impl Fn(&mut M) -> Result<T, EngineError>,
        is_finite_and_nonzero: impl Fn(&T) -> bool,
    ) -> Result<T, EngineError> {
        let answer = question(&mut self.model)?;
        if is_finite_and_nonzero(&answer) {
            return Ok(answer);
        }
        if let Some(full_precision) = self.full_precision.take() {
            self.model = full_precision;
            let answer = question(&mut self.model)?;
            if is_finite_and_nonzero(&answer) {
                (self.on_fallback)(
                    "The model's numbers left the range of f16, so it went on in f32, which takes longer. Choose precision f32 to begin with that",
                );
                return Ok(answer);
            }
        }
        Err(EngineError::Failed(
            "The model's prediction is no number, in f32 either. Its weights may be damaged: get the model again, or choose another"
                .into(),
        ))
    }
}

impl<M: EpsModel> EpsModel for F32Fallback<'_, M> {
    fn eps(&mut self, x: &Latents, timestep: f32) -> Result<Latents, EngineError> {
        self.try_both(|model| model.eps(x, timestep), Latents::is_finite_and_nonzero)
    }

    fn eps_pair(&mut self, x: &Latents, timestep: f32) -> Result<(Latents, Latents), EngineError> {
        let is_finite_and_nonzero = |(uncond, cond): &(Latents, Latents)| {
            uncond.is_finite_and_nonzero() && cond.is_finite_and_nonzero()
        };
        self.try_both(|model| model.eps_pair(x, timestep), is_finite_and_nonzero)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Answers with one number, and counts how often it is asked.
    struct Fake<'a> {
        answer: f32,
        asked: &'a RefCell<usize>,
    }

    impl EpsModel for Fake<'_> {
        fn eps(&mut self, x: &Latents, _: f32) -> Result<Latents, EngineError> {
            *self.asked.borrow_mut() += 1;
            Ok(Latents::new(x.shape, vec![self.answer; x.data.len()]))
        }

        fn eps_pair(&mut self, x: &Latents, timestep: f32) -> Result<(Latents, Latents), EngineError> {
            // Only one of the two is broken.
            Ok((Latents::new(x.shape, vec![1.0; x.data.len()]), self.eps(x, timestep)?))
        }
    }

    fn try_both(
        fast: f32,
        full_precision: Option<f32>,
        pair: bool,
    ) -> (Vec<Result<f32, EngineError>>, [usize; 2], usize) {
        let (asked_fast, asked_exact, told) = (RefCell::new(0), RefCell::new(0), RefCell::new(0));
        let on_fallback = |_: &str| *told.borrow_mut() += 1;
        let mut model = F32Fallback {
            model: Fake { answer: fast, asked: &asked_fast },
            full_precision: full_precision.map(|answer| Fake { answer, asked: &asked_exact }),
            on_fallback: &on_fallback,
        };
        let x = Latents::zeros([1, 4, 2, 2]);
        let mut once = || match pair {
            true => model.eps_pair(&x, 0.0).map(|(_, cond)| cond.data[0]),
            false => model.eps(&x, 0.0).map(|eps| eps.data[0]),
        };
        let answers = vec![once(), once()];
        (answers, [asked_fast.take(), asked_exact.take()], told.take())
    }

    #[test]
    fn an_answer_that_is_no_number_is_asked_of_the_exact_network_and_so_is_the_next() {
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
    fn a_sound_answer_is_taken_as_it_is() {
        assert_eq!(try_both(0.25, Some(0.5), true), (vec![Ok(0.25); 2], [2, 0], 0));
    }

    #[test]
    fn what_no_network_answers_ends_in_a_sentence_and_is_not_called_a_rescue() {
        for full_precision in [None, Some(f32::NAN)] {
            let (answers, _, told) = try_both(f32::NAN, full_precision, false);
            assert_eq!(told, 0);
            for answer in answers {
                assert!(matches!(answer, Err(EngineError::Failed(text)) if text.contains("no number")));
            }
        }
    }
}
