//! Classifier-free guidance: a denoiser around a network that predicts noise or v.

use std::cell::Cell;

use super::{Denoiser, Latents, NoiseSchedule, Prediction, Schedule};
use crate::error::EngineError;

/// A network that predicts the noise in latents, or v ([`Prediction`]), conditioned on its prompts.
pub trait EpsModel {
    /// The prediction for the prompt; `x` is scaled for the network already.
    fn eps(&mut self, x: &Latents, timestep: f32) -> Result<Latents, EngineError>;

    /// The predictions for the negative (or empty) prompt and for the prompt.
    fn eps_pair(&mut self, x: &Latents, timestep: f32) -> Result<(Latents, Latents), EngineError>;
}

/// A network whose predictions can be differentiated.
pub trait EpsGradient {
    /// A gradient of the next prediction will be asked for. What it needs may be kept, so that nothing is computed twice.
    fn expect_gradient(&mut self) {}

    /// The gradient with respect to `x` of a function of the guided prediction, `uncond + cfg_scale * (cond - uncond)`, whose
    /// gradient with respect to that is `gradient`. `x` is scaled for the network already.
    fn eps_gradient(
        &mut self,
        x: &Latents,
        timestep: f32,
        cfg_scale: f32,
        gradient: &Latents,
    ) -> Result<Latents, EngineError>;
}

/// A denoiser whose predictions can be differentiated.
pub trait DenoiserGradient: Denoiser {
    /// As [`EpsGradient::expect_gradient`].
    fn expect_gradient(&mut self) {}

    /// The gradient with respect to `x` of a function of the prediction, whose gradient with respect to that is `gradient`.
    fn input_gradient(&mut self, x: &Latents, sigma: f32, gradient: &Latents)
    -> Result<Latents, EngineError>;
}

/// Classifier-free guidance (Ho and Salimans, 2022) around a network: the prediction for the prompt, extrapolated
/// away from the one for the negative prompt.
///
/// At a scale of 1 the second prediction is skipped.
pub struct Cfg<'a, M: EpsModel> {
    pub model: M,
    pub prediction: Prediction,
    pub cfg_scale: f32,
    pub schedule: Schedule,
    pub noise: &'a NoiseSchedule,
    /// The latest predicted x0 with the prompt minus the one without it, for the recorder.
    pub difference: &'a Cell<Option<Latents>>,
}

impl<M: EpsModel> Denoiser for Cfg<'_, M> {
    /// # Errors
    /// If the guided prediction overflows. The network's own predictions are checked by
    /// [`F32Fallback`](super::f32_fallback::F32Fallback); two finite ones times a large scale may still be too large.
    fn denoise(&mut self, x: &Latents, sigma: f32) -> Result<Latents, EngineError> {
        let timestep = self.schedule.timestep(sigma, self.noise);
        let scaled = x.clone().scale(1.0 / (sigma * sigma + 1.0).sqrt());
        let eps = if self.cfg_scale == 1.0 {
            self.model.eps(&scaled, timestep)?
        } else {
            let (uncond, cond) = self.model.eps_pair(&scaled, timestep)?;
            let difference = cond.zip_with(&uncond, |cond, uncond| cond - uncond);
            let eps = uncond.add_scaled(self.cfg_scale, &difference);
            self.difference.set(Some(self.prediction.guidance_delta(sigma, difference)));
            eps
        };
        if !eps.is_finite() {
            return Err(EngineError::Failed(format!(
                "A guidance scale of {} made the numbers too large. Choose a smaller one",
                self.cfg_scale
            )));
        }
        Ok(self.prediction.denoised(x, sigma, &eps))
    }
}

impl<M: EpsModel + EpsGradient> DenoiserGradient for Cfg<'_, M> {
    fn expect_gradient(&mut self) {
        self.model.expect_gradient();
    }

    /// `denoised = c_skip x + c_out eps(c_in x)`, so it is `c_skip gradient + c_in c_out` times that through the network.
    fn input_gradient(
        &mut self,
        x: &Latents,
        sigma: f32,
        gradient: &Latents,
    ) -> Result<Latents, EngineError> {
        let timestep = self.schedule.timestep(sigma, self.noise);
        let c_in = 1.0 / (sigma * sigma + 1.0).sqrt();
        let (c_skip, c_out) = self.prediction.scales(sigma);
        let through = self.model.eps_gradient(&x.clone().scale(c_in), timestep, self.cfg_scale, gradient)?;
        Ok(gradient.clone().scale(c_skip).add_scaled(c_in * c_out, &through))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::TorchGenerator;

    /// Returns fixed predictions.
    struct Known {
        uncond: Latents,
        cond: Latents,
    }

    impl EpsModel for Known {
        fn eps(&mut self, _: &Latents, _: f32) -> Result<Latents, EngineError> {
            Ok(self.cond.clone())
        }

        fn eps_pair(&mut self, _: &Latents, _: f32) -> Result<(Latents, Latents), EngineError> {
            Ok((self.uncond.clone(), self.cond.clone()))
        }
    }

    #[test]
    fn a_guided_prediction_that_overflows_is_an_error_and_not_a_picture() {
        let all = |value: f32| Latents::new([1, 4, 1, 1], vec![value; 4]);
        let noise = NoiseSchedule::scaled_linear(0.00085, 0.012, 1000);
        let mut cfg = Cfg {
            model: Known { uncond: all(-1e38), cond: all(1e38) },
            prediction: Prediction::Epsilon,
            cfg_scale: 7.5,
            schedule: Schedule::Linspace,
            noise: &noise,
            difference: &Cell::new(None),
        };
        // -1e38 + 7.5 * 2e38 is above the largest f32, 3.4e38.
        assert!(matches!(cfg.denoise(&all(0.0), 1.0), Err(EngineError::Failed(_))));
        cfg.cfg_scale = 1.5;
        assert!(cfg.denoise(&all(0.0), 1.0).is_ok(), "2e38 is not");
    }

    #[test]
    fn the_difference_is_between_the_predictions_with_and_without_the_prompt() {
        let mut torch = TorchGenerator::new(5);
        let [x, uncond, cond] = [(); 3].map(|()| Latents::new([1, 4, 4, 4], torch.randn(64)));
        let noise = NoiseSchedule::scaled_linear(0.00085, 0.012, 1000);
        for prediction in Prediction::ALL {
            let left = Cell::new(None);
            let mut cfg = Cfg {
                model: Known { uncond: uncond.clone(), cond: cond.clone() },
                prediction,
                cfg_scale: 7.5,
                schedule: Schedule::Linspace,
                noise: &noise,
                difference: &left,
            };
            cfg.denoise(&x, 2.0).expect("an answer");
            let left_there = left.take().expect("a difference");
            let of = |output| prediction.denoised(&x, 2.0, output);
            let expected = of(&cond).add_scaled(-1.0, &of(&uncond));
            for (ours, theirs) in left_there.data.iter().zip(&expected.data) {
                assert!((ours - theirs).abs() < 1e-5, "{ours} is not {theirs} for {prediction:?}");
            }
            cfg.cfg_scale = 1.0;
            cfg.denoise(&x, 2.0).expect("an answer");
            assert_eq!(left.take(), None, "without guidance there is none");
        }
    }
}
