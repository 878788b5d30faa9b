//! The faces of a step: what the samplers and the guidance had at hand, as latents to be looked at.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Latents, RecordedStep};

/// What can be looked at of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepView {
    #[default]
    Predicted,
    Noisy,
    Noise,
    Guidance,
}

impl StepView {
    pub const ALL: [Self; 4] = [Self::Predicted, Self::Noisy, Self::Noise, Self::Guidance];

    /// Name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Predicted => "predicted",
            Self::Noisy => "noisy",
            Self::Noise => "noise",
            Self::Guidance => "guidance",
        }
    }

    /// Name in the window.
    pub fn label(self) -> &'static str {
        match self {
            Self::Predicted => "Predicted",
            Self::Noisy => "Noisy",
            Self::Noise => "Noise",
            Self::Guidance => "Guidance",
        }
    }

    /// As it stands in a formula.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Predicted => "x0",
            Self::Noisy => "x",
            Self::Noise => "ε",
            Self::Guidance => "cond − uncond",
        }
    }

    /// One sentence for a tooltip.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Predicted => "The picture that the model expects at the end, as it sees it from this step",
            Self::Noisy => "What enters the step: the picture so far under the noise that is left",
            Self::Noise => "The noise that the model finds in it: (noisy x - predicted x0) / sigma",
            Self::Guidance => {
                "What the prompt adds: the prediction with it minus the one without, brought to one strength"
            }
        }
    }

    /// Scaled as the UNet sees them. `None` of guidance where there was none, its scale being 1.
    ///
    /// What guidance adds grows and shrinks a hundredfold along the way, so each picture of it is
    /// divided by its root mean square.
    pub fn latents(self, step: &RecordedStep) -> Option<Cow<'_, Latents>> {
        let RecordedStep { sigma, x, denoised, guidance, .. } = step;
        Some(match self {
            Self::Predicted => Cow::Borrowed(denoised),
            Self::Noisy => Cow::Borrowed(x),
            Self::Noise => Cow::Owned(x.zip_with(denoised, |x, denoised| (x - denoised) / sigma)),
            Self::Guidance => Cow::Owned(of_one_strength(guidance.clone()?)),
        })
    }
}

fn of_one_strength(mut latents: Latents) -> Latents {
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
            let step =
                RecordedStep { sigma, x, denoised: x0.clone(), guidance: guidance_seen, later: Vec::new() };
            let seen = |view: StepView| view.latents(&step).expect("a view").into_owned();
            assert_eq!((seen(StepView::Predicted), seen(StepView::Noisy)), (x0.clone(), step.x.clone()));
            for (ours, noise) in seen(StepView::Noise).data.iter().zip(&noise.data) {
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
    fn there_is_no_guidance_to_see_where_there_was_none_and_nothing_of_nothing() {
        let zeros = Latents::zeros([1, 4, 2, 2]);
        let (x, denoised) = (zeros.clone(), zeros.clone());
        let step = RecordedStep { sigma: 1.0, x, denoised, guidance: None, later: Vec::new() };
        assert!(StepView::Guidance.latents(&step).is_none());
        let step = RecordedStep { guidance: Some(zeros.clone()), ..step };
        assert_eq!(StepView::Guidance.latents(&step).as_deref(), Some(&zeros));
    }
}
