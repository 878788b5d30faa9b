//! The noise levels that a model was trained at.

use serde::{Deserialize, Serialize};

use crate::choice::impl_choice;

/// How the betas rise from the first training step to the last. In files it has the names of diffusers'
/// `scheduler_config.json`; [`BetaSchedule::name`] is for the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BetaSchedule {
    /// Their square roots rise linearly: Stable Diffusion.
    #[default]
    ScaledLinear,
    /// They rise linearly: Ho et al. (2020).
    Linear,
    /// The signal falls as a squared cosine: Nichol and Dhariwal (2021). It ignores the first and the last beta.
    #[serde(rename = "squaredcos_cap_v2")]
    Cosine,
}

impl_choice!(BetaSchedule);

impl BetaSchedule {
    #[rustfmt::skip]
    const TABLE: [(Self, &str, &str, &str); 3] = [
        (Self::ScaledLinear, "scaled-linear", "Scaled linear", "The square roots of the betas rise linearly: Stable Diffusion"),
        (Self::Linear, "linear", "Linear", "The betas rise linearly (Ho et al., 2020)"),
        (Self::Cosine, "cosine", "Cosine", "The signal falls as a squared cosine, regardless of the first and last beta (Nichol and Dhariwal, 2021)"),
    ];

    fn betas(self, start: f64, end: f64, len: usize) -> Vec<f32> {
        match self {
            Self::ScaledLinear => linspace(start.sqrt(), end.sqrt(), len).map(|root| root * root).collect(),
            Self::Linear => linspace(start, end, len).collect(),
            Self::Cosine => cosine_betas(len).collect(),
        }
    }
}

/// The noise levels that a model was trained at: sigma of each training timestep, ascending.
#[derive(Clone, Debug, PartialEq)]
pub struct NoiseSchedule {
    pub training_sigmas: Vec<f32>,
}

impl NoiseSchedule {
    /// `sigma_t = sqrt((1 - abar_t) / abar_t)` with `abar_t` the product of `1 - beta` up to `t`
    /// (Song et al., 2021). Stable Diffusion's betas rise from 0.00085 to 0.012 in 1000 steps.
    ///
    /// The steps of it are rounded where diffusers rounds them: 1 - abar has lost four digits in f32,
    /// so rounding elsewhere would move the smallest sigmas in their fifth.
    pub fn new(rise: BetaSchedule, beta_start: f64, beta_end: f64, train_steps: usize) -> Self {
        Self::of_abar(&products(&rise.betas(beta_start, beta_end, train_steps)))
    }

    /// [`NoiseSchedule::new`], shifted and stretched so that the last step keeps nothing of the picture:
    /// Algorithm 1 of Lin et al. (2024). A sigma there would be infinite; diffusers stops at an abar of
    /// 2^-24, the smallest number of f16.
    pub fn with_zero_terminal_snr(
        rise: BetaSchedule,
        beta_start: f64,
        beta_end: f64,
        train_steps: usize,
    ) -> Self {
        let roots: Vec<f32> =
            products(&rise.betas(beta_start, beta_end, train_steps)).into_iter().map(f32::sqrt).collect();
        let (Some(&first), Some(&last)) = (roots.first(), roots.last()) else {
            return Self { training_sigmas: Vec::new() };
        };
        let stretched: Vec<f32> =
            roots.iter().map(|root| ((root - last) * (first / (first - last))).powi(2)).collect();
        let before = std::iter::once(&1.0).chain(&stretched);
        let betas: Vec<f32> =
            stretched.iter().zip(before).map(|(abar, before)| 1.0 - abar / before).collect();
        let mut abar = products(&betas);
        if let Some(last) = abar.last_mut() {
            *last = 2f32.powi(-24);
        }
        Self::of_abar(&abar)
    }

    fn of_abar(abar: &[f32]) -> Self {
        Self { training_sigmas: abar.iter().map(|abar| ((1.0 - abar) / abar).sqrt()).collect() }
    }

    /// [`BetaSchedule::ScaledLinear`].
    pub fn scaled_linear(beta_start: f64, beta_end: f64, train_steps: usize) -> Self {
        Self::new(BetaSchedule::ScaledLinear, beta_start, beta_end, train_steps)
    }

    /// [`BetaSchedule::Linear`].
    pub fn linear(beta_start: f64, beta_end: f64, train_steps: usize) -> Self {
        Self::new(BetaSchedule::Linear, beta_start, beta_end, train_steps)
    }

    /// Whether the sigmas are finite, above 0 and rising, as schedules and samplers require. Betas from a file
    /// may give others.
    pub fn is_valid(&self) -> bool {
        let sigmas = &self.training_sigmas;
        !sigmas.is_empty()
            && sigmas[0] > 0.0
            && sigmas.is_sorted_by(|a, b| a < b)
            && self.sigma_max().is_finite()
    }

    /// # Panics
    /// If there are no training sigmas.
    pub fn sigma_min(&self) -> f32 {
        *self.training_sigmas.first().expect("a model was trained at some noise level")
    }

    /// # Panics
    /// If there are no training sigmas.
    pub fn sigma_max(&self) -> f32 {
        *self.training_sigmas.last().expect("a model was trained at some noise level")
    }

    pub(super) fn highest_timestep(&self) -> f64 {
        self.training_sigmas.len().saturating_sub(1) as f64
    }

    /// Linear interpolation of the sigmas at a timestep within `0..=highest_timestep`.
    pub(super) fn sigma_at(&self, timestep: f64) -> f32 {
        let (low, high, part) = self.around(timestep);
        (low + part * (high - low)) as f32
    }

    /// Linear interpolation of their logarithms: k-diffusion's `t_to_sigma`.
    pub(super) fn log_sigma_at(&self, timestep: f64) -> f32 {
        let (low, high, part) = self.around(timestep);
        (low.ln() + part * (high / low).ln()).exp() as f32
    }

    /// The trained sigmas below and above a timestep, and how far it lies between them.
    fn around(&self, timestep: f64) -> (f64, f64, f64) {
        let below = timestep as usize;
        let low = self.training_sigmas[below];
        let high = self.training_sigmas.get(below + 1).copied().unwrap_or(low);
        (f64::from(low), f64::from(high), timestep - below as f64)
    }

    /// Where `sigma` lies between the timesteps, on the scale of `f`.
    pub(super) fn timestep_of(&self, sigma: f32, f: impl Fn(f32) -> f64) -> f32 {
        let sigmas = &self.training_sigmas;
        match sigmas.partition_point(|&trained| trained <= sigma) {
            0 => 0.0,
            above if above == sigmas.len() => self.highest_timestep() as f32,
            above => {
                let (low, high) = (f(sigmas[above - 1]), f(sigmas[above]));
                ((above - 1) as f64 + (f(sigma) - low) / (high - low)) as f32
            }
        }
    }
}

/// The products of `1 - beta` so far.
fn products(betas: &[f32]) -> Vec<f32> {
    let product = betas.iter().scan(1.0, |abar, beta| {
        *abar *= f64::from(1.0 - beta);
        Some(*abar as f32)
    });
    product.collect()
}

/// Equation 17 of Nichol and Dhariwal (2021), no beta above 0.999.
fn cosine_betas(len: usize) -> impl Iterator<Item = f32> {
    let abar = move |i: usize| {
        let angle = (i as f64 / len as f64 + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2;
        angle.cos().powi(2)
    };
    (0..len).map(move |i| (1.0 - abar(i + 1) / abar(i)).min(0.999) as f32)
}

/// `torch.linspace` in f32, which counts from the nearer end.
fn linspace(start: f64, end: f64, len: usize) -> impl Iterator<Item = f32> {
    let (start, end) = (start as f32, end as f32);
    let step = (end - start) / len.saturating_sub(1) as f32;
    (0..len).map(move |i| {
        if i == 0 {
            start
        } else if i < len / 2 {
            step.mul_add(i as f32, start)
        } else {
            (-step).mul_add((len - 1 - i) as f32, end)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_sigmas_span_what_diffusers_says() {
        let noise = NoiseSchedule::scaled_linear(0.00085, 0.012, 1000);
        assert!(noise.is_valid());
        for (ours, theirs) in [(noise.sigma_min(), 0.029_167_533), (noise.sigma_max(), 14.614_647)] {
            assert!((ours - theirs).abs() <= 1e-6, "{ours} is not {theirs}");
        }
    }

    /// From diffusers' EulerDiscreteScheduler. Near the end abar is a difference of nearly equal f32s.
    #[test]
    fn zero_terminal_snr_is_where_diffusers_puts_it() {
        let noise = NoiseSchedule::with_zero_terminal_snr(BetaSchedule::ScaledLinear, 0.00085, 0.012, 1000);
        assert!(noise.is_valid());
        let theirs = [
            (0, 0.029_167_535),
            (1, 0.042_066_958),
            (500, 1.774_558_2),
            (900, 18.351_927),
            (990, 245.954_59),
            (998, 2_254.194_8),
            (999, 4096.0),
        ];
        for (step, theirs) in theirs {
            let ours = noise.training_sigmas[step];
            let error = (ours - theirs).abs() / theirs;
            assert!(error < if step > 900 { 1e-4 } else { 1e-5 }, "{ours} is not {theirs} at {step}");
        }
    }

    #[test]
    fn betas_without_noise_are_invalid() {
        assert!(!NoiseSchedule::linear(0.0, 0.0, 10).is_valid());
        assert!(!NoiseSchedule::linear(0.1, 1.5, 10).is_valid());
        assert!(!NoiseSchedule::linear(0.1, 0.2, 0).is_valid());
        assert!(NoiseSchedule::linear(1e-4, 0.02, 1).is_valid());
    }
}
