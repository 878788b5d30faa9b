//! Schedules: which noise levels the steps visit.

use serde::{Deserialize, Serialize};

/// The schedules that users know by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    #[default]
    Lesson,
    Karras,
}

impl Schedule {
    pub const ALL: [Self; 2] = [Self::Lesson, Self::Karras];

    /// Name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lesson => "lesson",
            Self::Karras => "karras",
        }
    }

    /// Name in the window.
    pub fn label(self) -> &'static str {
        match self {
            Self::Lesson => "Lesson",
            Self::Karras => "Karras",
        }
    }

    /// One sentence for a tooltip.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Lesson => "Even timesteps over the training schedule, as in the fast.ai lesson",
            Self::Karras => "Spends its steps where the noise is low (Karras et al., 2022)",
        }
    }

    /// The noise levels that `steps` steps visit: `steps + 1` of them, falling, the last one 0.
    ///
    /// One step of the lesson's schedule starts at timestep 0, the lowest noise, as in diffusers;
    /// one step of Karras starts at the highest, as in k-diffusion.
    pub fn sigmas(self, steps: usize, noise: &NoiseSchedule) -> Vec<f32> {
        match self {
            Self::Lesson => even_timesteps(steps, noise),
            Self::Karras => karras(steps, noise.sigma_min(), noise.sigma_max()),
        }
    }

    /// The training timestep of a noise level, 0 to `train_steps - 1` with a fraction: what the
    /// model is told. Levels beyond the trained ones get the nearest.
    ///
    /// The lesson's schedule takes sigmas as linear between two timesteps, so this is the exact inverse
    /// of [`Schedule::sigmas`]; for Karras it is their logarithms, as in k-diffusion's `sigma_to_t`.
    pub fn timestep(self, sigma: f32, noise: &NoiseSchedule) -> f32 {
        match self {
            Self::Lesson => noise.timestep_of(sigma, f64::from),
            Self::Karras => noise.timestep_of(sigma, |sigma| f64::from(sigma).ln()),
        }
    }

    /// The timestep of every step, falling: [`Schedule::sigmas`] as the model is told them, without
    /// the final 0.
    pub fn timesteps(self, steps: usize, noise: &NoiseSchedule) -> Vec<f32> {
        let sigmas = self.sigmas(steps, noise);
        sigmas[..steps].iter().map(|&sigma| self.timestep(sigma, noise)).collect()
    }
}

/// The sigmas of evenly spaced timesteps, the last training step first and step 0 last.
fn even_timesteps(steps: usize, noise: &NoiseSchedule) -> Vec<f32> {
    // diffusers rounds a timestep to f32 before it interpolates.
    let timestep = |i| (noise.highest_timestep() * ramp(i, steps)) as f32;
    let sigma = |i| noise.sigma_at(f64::from(timestep(i)));
    (0..steps).rev().map(sigma).chain([0.0]).collect()
}

/// Equation 5 of Karras et al. (2022): evenly spaced in sigma^(1/rho).
fn karras(steps: usize, sigma_min: f32, sigma_max: f32) -> Vec<f32> {
    let rho = 7.0;
    let [min, max] = [sigma_min, sigma_max].map(|sigma| f64::from(sigma).powf(1.0 / rho));
    let sigma = |i| (max + ramp(i, steps) * (min - max)).powf(rho) as f32;
    (0..steps).map(sigma).chain([0.0]).collect()
}

/// Entry `i` of `linspace(0, 1, len)`; a single entry is 0.
fn ramp(i: usize, len: usize) -> f64 {
    if i == 0 { 0.0 } else { i as f64 / (len - 1) as f64 }
}

/// How the betas rise from the first training step to the last; the names are those of diffusers'
/// `scheduler_config.json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BetaSchedule {
    /// Their square roots rise evenly: Stable Diffusion.
    #[default]
    ScaledLinear,
    /// They rise evenly: Ho et al. (2020).
    Linear,
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
        let betas = match rise {
            BetaSchedule::ScaledLinear => linspace(beta_start.sqrt(), beta_end.sqrt(), train_steps)
                .map(|root| root * root)
                .collect::<Vec<f32>>(),
            BetaSchedule::Linear => linspace(beta_start, beta_end, train_steps).collect(),
        };
        let abar = betas.iter().scan(1.0, |abar, beta| {
            *abar *= f64::from(1.0 - beta);
            Some(*abar as f32)
        });
        Self { training_sigmas: abar.map(|abar| ((1.0 - abar) / abar).sqrt()).collect() }
    }

    /// [`BetaSchedule::ScaledLinear`].
    pub fn scaled_linear(beta_start: f64, beta_end: f64, train_steps: usize) -> Self {
        Self::new(BetaSchedule::ScaledLinear, beta_start, beta_end, train_steps)
    }

    /// [`BetaSchedule::Linear`].
    pub fn linear(beta_start: f64, beta_end: f64, train_steps: usize) -> Self {
        Self::new(BetaSchedule::Linear, beta_start, beta_end, train_steps)
    }

    /// Whether the sigmas are finite, above 0 and rising, on which schedules and samplers rely.
    /// Betas that come from a file may make others.
    pub fn is_sound(&self) -> bool {
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

    fn highest_timestep(&self) -> f64 {
        self.training_sigmas.len().saturating_sub(1) as f64
    }

    /// Linear interpolation of the sigmas at a timestep within `0..=highest_timestep`.
    fn sigma_at(&self, timestep: f64) -> f32 {
        let below = timestep as usize;
        let low = self.training_sigmas[below];
        let Some(&high) = self.training_sigmas.get(below + 1) else { return low };
        let [low, high] = [low, high].map(f64::from);
        (low + (timestep - below as f64) * (high - low)) as f32
    }

    /// Where `sigma` lies between the timesteps, on the scale of `f`.
    fn timestep_of(&self, sigma: f32, f: impl Fn(f32) -> f64) -> f32 {
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

    fn stable_diffusion() -> NoiseSchedule {
        NoiseSchedule::scaled_linear(0.00085, 0.012, 1000)
    }

    #[track_caller]
    fn assert_close(ours: &[f32], theirs: &[f32], tolerance: f32) {
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(theirs) {
            assert!((ours - theirs).abs() <= tolerance, "{ours} is not {theirs}");
        }
    }

    #[test]
    fn training_sigmas_span_what_diffusers_says() {
        let noise = stable_diffusion();
        assert!(noise.is_sound());
        assert_close(&[noise.sigma_min(), noise.sigma_max()], &[0.029_167_533, 14.614_647], 1e-6);
    }

    #[test]
    fn fifteen_steps_are_the_lessons() {
        let (noise, lesson) = (stable_diffusion(), Schedule::Lesson);
        let sigmas = [
            14.6146, 9.6826, 6.6780, 4.7746, 3.5221, 2.6666, 2.0606, 1.6156, 1.2768, 1.0097, 0.7913, 0.6056,
            0.4397, 0.2780, 0.0292, 0.0,
        ];
        assert_close(&lesson.sigmas(15, &noise), &sigmas, 6e-5);
        let timesteps = lesson.timesteps(15, &noise);
        assert_close(&timesteps[..3], &[999.0, 927.6429, 856.2857], 1e-3);
        assert_close(&timesteps[13..], &[71.3571, 0.0], 1e-3);
    }

    #[test]
    fn ten_karras_steps_are_k_diffusions() {
        let noise = stable_diffusion();
        let sigmas = [
            14.614_643, 9.102_934, 5.478_399, 3.168_609, 1.749_423, 0.914_076, 0.446_921, 0.2014, 0.081_911,
            0.029_168, 0.0,
        ];
        assert_close(&Schedule::Karras.sigmas(10, &noise), &sigmas, 5e-6);
    }

    #[test]
    fn every_schedule_falls_to_zero_for_any_number_of_steps() {
        let noise = stable_diffusion();
        for schedule in Schedule::ALL {
            for steps in [0, 1, 2, 3, 20, 999, 1000] {
                let sigmas = schedule.sigmas(steps, &noise);
                assert_eq!((sigmas.len(), sigmas[steps]), (steps + 1, 0.0));
                assert!(sigmas.is_sorted_by(|a, b| a > b), "{schedule:?} in {steps} steps");
            }
        }
    }

    #[test]
    fn a_timestep_is_whole_at_a_training_sigma_and_kept_in_range() {
        let noise = stable_diffusion();
        for schedule in Schedule::ALL {
            for t in [0u16, 1, 500, 998, 999] {
                let sigma = noise.training_sigmas[usize::from(t)];
                assert_eq!(schedule.timestep(sigma, &noise), f32::from(t));
            }
            assert_eq!(schedule.timestep(0.0, &noise), 0.0);
            assert_eq!(schedule.timestep(100.0, &noise), 999.0);
        }
    }

    #[test]
    fn betas_without_noise_are_unsound() {
        assert!(!NoiseSchedule::linear(0.0, 0.0, 10).is_sound());
        assert!(!NoiseSchedule::linear(0.1, 1.5, 10).is_sound());
        assert!(!NoiseSchedule::linear(0.1, 0.2, 0).is_sound());
        assert!(NoiseSchedule::linear(1e-4, 0.02, 1).is_sound());
    }
}
