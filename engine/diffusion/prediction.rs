//! What a network was trained to predict.

use super::Latents;

/// What a network was trained to predict, by its name in diffusers' `scheduler_config.json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prediction {
    /// The noise: Ho et al. (2020), and most of Stable Diffusion.
    #[default]
    Epsilon,
    /// The velocity, `alpha eps - sigma x0` of a process that keeps the variance: Salimans and Ho
    /// (2022), and SD 2.x at 768 pixels.
    V,
}

impl Prediction {
    pub const ALL: [Self; 2] = [Self::Epsilon, Self::V];

    pub fn name(self) -> &'static str {
        match self {
            Self::Epsilon => "epsilon",
            Self::V => "v_prediction",
        }
    }

    /// The clean latents, given the network's `output` for `x / sqrt(sigma^2 + 1)`:
    /// `c_skip x + c_out output`, as Karras et al. (2022) write it for any prediction.
    pub fn denoised(self, x: &Latents, sigma: f32, output: &Latents) -> Latents {
        let (c_skip, c_out) = self.scales(sigma);
        x.clone().scale(c_skip).add_scaled(c_out, output)
    }

    /// The difference of the clean latents for two outputs with this `difference`.
    pub fn guidance_delta(self, sigma: f32, difference: Latents) -> Latents {
        let (_, c_out) = self.scales(sigma);
        difference.scale(c_out)
    }

    /// `(c_skip, c_out)`
    pub(super) fn scales(self, sigma: f32) -> (f32, f32) {
        let variance = sigma * sigma + 1.0;
        match self {
            Self::Epsilon => (1.0, -sigma),
            Self::V => (1.0 / variance, -sigma / variance.sqrt()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::TorchGenerator;

    /// From the definitions: with `alpha = 1 / sqrt(sigma^2 + 1)`, the network reads
    /// `alpha x0 + alpha sigma eps`.
    #[test]
    fn a_perfect_prediction_gives_the_clean_latents_back() {
        let mut noise = TorchGenerator::new(1);
        let shape = [1, 2, 3, 4];
        let clean = Latents::new(shape, noise.randn(24));
        let eps = Latents::new(shape, noise.randn(24));
        for sigma in [0.03f32, 0.7, 2.0, 14.6] {
            let x = clean.clone().add_scaled(sigma, &eps);
            let alpha = 1.0 / (sigma * sigma + 1.0).sqrt();
            let v = eps.clone().scale(alpha).add_scaled(-alpha * sigma, &clean);
            for (prediction, output) in [(Prediction::Epsilon, &eps), (Prediction::V, &v)] {
                let denoised = prediction.denoised(&x, sigma, output);
                for (ours, clean) in denoised.data.iter().zip(&clean.data) {
                    assert!((ours - clean).abs() < 1e-5 * (1.0 + sigma), "{prediction:?} at {sigma}");
                }
            }
        }
    }
}
