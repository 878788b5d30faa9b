//! The views of a step: the latents that the sampler and the guidance computed with.

use std::borrow::Cow;

use super::{Latents, RecordedStep};
use crate::choice::{impl_choice, impl_serde_by_name};

/// The latents of a step that can be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StepView {
    #[default]
    Predicted,
    NoisyLatents,
    PredictedNoise,
    Guidance,
}

impl_choice!(StepView);
impl_serde_by_name!(StepView);

impl StepView {
    #[rustfmt::skip]
    const TABLE: [(Self, &str, &str, &str); 4] = [
        (Self::Predicted, "predicted", "Predicted", "The final picture as the model predicts it at this step"),
        (Self::NoisyLatents, "noisy", "Noisy", "The input of the step: the picture so far with the remaining noise"),
        (Self::PredictedNoise, "noise", "Noise", "The noise that the model predicts: (noisy x - predicted x0) / sigma"),
        (Self::Guidance, "guidance", "Guidance", "What the prompt adds: the prediction with it minus the one without, normalised"),
    ];

    /// As in a formula.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Predicted => "x0",
            Self::NoisyLatents => "x",
            Self::PredictedNoise => "ε",
            Self::Guidance => "cond − uncond",
        }
    }

    /// The latents of this view, scaled as the UNet sees them; `None` for [`StepView::Guidance`] when the
    /// guidance scale is 1.
    ///
    /// The contribution of guidance varies a hundredfold over a run, so each picture of it is divided by its
    /// root mean square.
    pub fn latents(self, step: &RecordedStep) -> Option<Cow<'_, Latents>> {
        let RecordedStep { sigma, x, denoised, guidance, .. } = step;
        Some(match self {
            Self::Predicted => Cow::Borrowed(denoised),
            Self::NoisyLatents => Cow::Borrowed(x),
            Self::PredictedNoise => {
                Cow::Owned(step.guided_x().zip_with(denoised, |x, denoised| (x - denoised) / sigma))
            }
            Self::Guidance => Cow::Owned(normalised(guidance.clone()?)),
        })
    }
}

fn normalised(mut latents: Latents) -> Latents {
    let len = latents.data.len() / latents.batch();
    for picture in latents.data.chunks_exact_mut(len) {
        let mean_square = picture.iter().map(|value| value * value).sum::<f32>() / len as f32;
        if mean_square > 0.0 {
            picture.iter_mut().for_each(|value| *value /= mean_square.sqrt());
        }
    }
    latents
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::TorchGenerator;

    /// `x = x0 + noise * sigma`, so a prediction that is right leaves the noise over.
    #[test]
    fn a_perfect_prediction_shows_the_noise_that_was_added() {
        let mut torch = TorchGenerator::new(32);
        let shape = [2, 4, 8, 8];
        let [x0, noise, guidance] = [(); 3].map(|()| Latents::new(shape, torch.randn(512)));
        for sigma in [0.03, 1.0, 14.6] {
            let x = x0.clone().add_scaled(sigma, &noise);
            let guidance_seen = Some(guidance.clone());
            let step = RecordedStep {
                sigma,
                x,
                denoised: x0.clone(),
                loss_guidance: None,
                guidance: guidance_seen,
                later: Vec::new(),
            };
            let seen = |view: StepView| view.latents(&step).expect("a view").into_owned();
            assert_eq!(
                (seen(StepView::Predicted), seen(StepView::NoisyLatents)),
                (x0.clone(), step.x.clone())
            );
            for (ours, noise) in seen(StepView::PredictedNoise).data.iter().zip(&noise.data) {
                assert!(
                    (ours - noise).abs() < 2e-5 * (1.0 + 1.0 / sigma),
                    "{ours} is not {noise} at {sigma}"
                );
            }
            for (index, picture) in seen(StepView::Guidance).data.chunks(256).enumerate() {
                let strength = picture.iter().map(|value| value * value).sum::<f32>() / 256.0;
                assert!((strength - 1.0).abs() < 1e-5);
                let by = guidance.picture(index)[7] / picture[7];
                assert!((guidance.picture(index)[100] / picture[100] / by - 1.0).abs() < 1e-5, "only scaled");
            }
        }
    }

    #[test]
    fn a_step_without_guidance_has_no_view_of_it_and_zeros_stay_zeros() {
        let zeros = Latents::zeros([1, 4, 2, 2]);
        let (x, denoised) = (zeros.clone(), zeros.clone());
        let step =
            RecordedStep { sigma: 1.0, x, denoised, loss_guidance: None, guidance: None, later: Vec::new() };
        assert!(StepView::Guidance.latents(&step).is_none());
        let step = RecordedStep { guidance: Some(zeros.clone()), ..step };
        assert_eq!(StepView::Guidance.latents(&step).as_deref(), Some(&zeros));
    }
}
