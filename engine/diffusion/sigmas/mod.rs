//! Schedules: the noise levels that the steps visit.

mod beta_quantile;
mod options;
mod training;

use beta_quantile::beta_quantile;
pub use options::ScheduleOptions;
pub use training::{BetaSchedule, NoiseSchedule};

use crate::choice::{impl_choice, impl_serde_by_name};

/// The schedules that users know by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Schedule {
    /// The timesteps of `numpy.linspace`: the default of CompVis' code and of diffusers.
    #[default]
    Linspace,
    Normal,
    Karras,
    Exponential,
    Polyexponential,
    SgmUniform,
    Simple,
    DdimUniform,
    Beta,
}

// "lesson" is what recipes of earlier versions call `Linspace`.
impl_choice!(Schedule, "lesson" => Linspace);
impl_serde_by_name!(Schedule);

impl Schedule {
    #[rustfmt::skip]
    const TABLE: [(Self, &str, &str, &str); 9] = [
        (Self::Linspace, "linspace", "Default (linspace)", "Evenly spaced timesteps over the training schedule, as in diffusers and the fast.ai lesson"),
        (Self::Normal, "normal", "Normal", "Evenly spaced timesteps, with sigmas interpolated by their logarithms, as in k-diffusion"),
        (Self::Karras, "karras", "Karras", "Spends more steps where the noise is low (Karras et al., 2022)"),
        (Self::Exponential, "exponential", "Exponential", "Each step divides the noise by the same factor"),
        (Self::Polyexponential, "polyexponential", "Polyexponential", "A power of the exponential schedule; the same as it at rho 1"),
        (Self::SgmUniform, "sgm-uniform", "SGM uniform", "Evenly spaced timesteps that stop one short of the lowest noise, as in Stability's code"),
        (Self::Simple, "simple", "Simple", "Whole timesteps counted down from the highest, as in ComfyUI"),
        (Self::DdimUniform, "ddim-uniform", "DDIM uniform", "Whole timesteps counted up from the lowest, as in DDIM (Song et al., 2020)"),
        (Self::Beta, "beta", "Beta", "Spends more steps at the highest and the lowest noise (Lee et al., 2024)"),
    ];

    /// The default rho, as in k-diffusion, or `None` if this schedule has no rho.
    pub fn default_rho(self) -> Option<f32> {
        match self {
            Self::Karras => Some(7.0),
            Self::Polyexponential => Some(1.0),
            _ => None,
        }
    }

    /// The noise levels that `steps` steps visit: `steps + 1` of them, falling, the last one 0.
    ///
    /// A single step starts at the highest noise, as in k-diffusion, except for [`Schedule::Linspace`] and
    /// [`Schedule::DdimUniform`], which start it at the lowest, as in diffusers.
    ///
    /// ```
    /// use engine::diffusion::{NoiseSchedule, Schedule};
    ///
    /// let stable_diffusion = NoiseSchedule::scaled_linear(0.00085, 0.012, 1000);
    /// let sigmas = Schedule::Karras.sigmas(10, &stable_diffusion);
    /// assert_eq!((sigmas.len(), sigmas[10]), (11, 0.0));
    /// assert!((sigmas[0] - 14.6146).abs() < 1e-4);
    /// ```
    pub fn sigmas(self, steps: usize, noise: &NoiseSchedule) -> Vec<f32> {
        self.sigmas_with_rho(None, steps, noise)
    }

    /// [`Schedule::sigmas`] with another rho than the [default](Schedule::default_rho); schedules without a rho
    /// ignore it. An extreme rho may put several steps at one noise level.
    pub fn sigmas_with_rho(self, rho: Option<f32>, steps: usize, noise: &NoiseSchedule) -> Vec<f32> {
        let rho = f64::from(rho.or(self.default_rho()).unwrap_or(1.0));
        let [min, max] = [noise.sigma_min(), noise.sigma_max()].map(f64::from);
        match self {
            Self::Linspace => linspace(steps, noise),
            Self::Normal => normal(steps, noise),
            Self::Karras => karras(steps, min, max, rho),
            Self::Exponential => polyexponential(steps, min, max, 1.0),
            Self::Polyexponential => polyexponential(steps, min, max, rho),
            Self::SgmUniform => sgm_uniform(steps, noise),
            Self::Simple => simple(steps, noise),
            Self::DdimUniform => ddim_uniform(steps, noise),
            Self::Beta => beta(steps, noise),
        }
    }

    /// The training timestep of a noise level, fractional, 0 to `train_steps - 1`: the UNet's input. Levels
    /// outside the trained range get the nearest timestep.
    ///
    /// [`Schedule::Linspace`] interpolates sigmas linearly between two timesteps, so this is the exact inverse
    /// of [`Schedule::sigmas`]; the others interpolate their logarithms, as k-diffusion's `sigma_to_t` does.
    pub fn timestep(self, sigma: f32, noise: &NoiseSchedule) -> f32 {
        match self {
            Self::Linspace => noise.timestep_of(sigma, f64::from),
            _ => noise.timestep_of(sigma, |sigma| f64::from(sigma).ln()),
        }
    }

    /// The timestep of each step, falling: [`Schedule::sigmas`] as timesteps, without the final 0.
    pub fn timesteps(self, steps: usize, noise: &NoiseSchedule) -> Vec<f32> {
        let sigmas = self.sigmas(steps, noise);
        sigmas[..steps].iter().map(|&sigma| self.timestep(sigma, noise)).collect()
    }
}

/// Both parameters of the beta distribution, from Lee et al. (2024), "Beta Sampling is All You Need".
const BETA_SHAPE: f64 = 0.6;

/// The sigmas of evenly spaced timesteps, the last training step first and step 0 last.
fn linspace(steps: usize, noise: &NoiseSchedule) -> Vec<f32> {
    // diffusers rounds a timestep to f32 before it interpolates.
    let timestep = |i| (noise.highest_timestep() * ramp(i, steps)) as f32;
    ending_in_zero((0..steps).rev().map(|i| noise.sigma_at(f64::from(timestep(i)))))
}

/// The same timesteps in logarithms: k-diffusion's `DiscreteSchedule.get_sigmas`.
fn normal(steps: usize, noise: &NoiseSchedule) -> Vec<f32> {
    let timestep = |i| noise.highest_timestep() * (1.0 - ramp(i, steps));
    ending_in_zero((0..steps).map(|i| noise.log_sigma_at(timestep(i))))
}

/// [`normal`] with one more step, without its lowest noise level: the last step to 0 is then as long as the
/// others.
fn sgm_uniform(steps: usize, noise: &NoiseSchedule) -> Vec<f32> {
    let timestep = |i| noise.highest_timestep() * (1.0 - ramp(i, steps + 1));
    ending_in_zero((0..steps).map(|i| noise.log_sigma_at(timestep(i))))
}

/// Equation 5 of Karras et al. (2022): evenly spaced in sigma^(1/rho).
fn karras(steps: usize, sigma_min: f64, sigma_max: f64, rho: f64) -> Vec<f32> {
    let [min, max] = [sigma_min, sigma_max].map(|sigma| sigma.powf(1.0 / rho));
    ending_in_zero((0..steps).map(|i| (max + ramp(i, steps) * (min - max)).powf(rho) as f32))
}

/// Evenly spaced in ln(sigma) at a `rho` of 1; a larger rho spends more steps at low noise.
fn polyexponential(steps: usize, sigma_min: f64, sigma_max: f64, rho: f64) -> Vec<f32> {
    let [min, max] = [sigma_min, sigma_max].map(f64::ln);
    ending_in_zero((0..steps).map(|i| (min + (1.0 - ramp(i, steps)).powf(rho) * (max - min)).exp() as f32))
}

/// ComfyUI's `simple`: every (train steps / steps)th training sigma, from the highest down.
fn simple(steps: usize, noise: &NoiseSchedule) -> Vec<f32> {
    let trained = &noise.training_sigmas;
    if steps > trained.len() {
        return normal(steps, noise); // there are not enough for each step to have its own
    }
    // Rounded as in ComfyUI: integer division would give another sigma in one place of 38 steps.
    let every = trained.len() as f64 / steps as f64;
    ending_in_zero((0..steps).map(|i| trained[trained.len() - 1 - (i as f64 * every) as usize]))
}

/// The timesteps 1, 1 + k, 1 + 2k.. with k = train steps / steps, rounded down: diffusers' `leading`
/// with an offset of 1, which is how Stable Diffusion was published.
fn ddim_uniform(steps: usize, noise: &NoiseSchedule) -> Vec<f32> {
    let trained = &noise.training_sigmas;
    let Some(last) = steps.checked_sub(1) else { return vec![0.0] };
    if steps > trained.len() {
        return normal(steps, noise); // as for `simple`
    }
    let every = trained.len() / steps;
    let offset = 1.min(trained.len() - 1 - last * every);
    ending_in_zero((0..steps).rev().map(|i| trained[offset + i * every]))
}

/// ComfyUI's `beta`: the quantiles of a beta distribution, as whole timesteps. If there are so many steps that
/// two would share a timestep, the timesteps keep their fractions.
fn beta(steps: usize, noise: &NoiseSchedule) -> Vec<f32> {
    let quantile = |i| beta_quantile(BETA_SHAPE, 1.0 - i as f64 / steps as f64);
    let timesteps: Vec<f64> = (0..steps).map(|i| noise.highest_timestep() * quantile(i)).collect();
    let whole: Vec<f64> = timesteps.iter().map(|t| t.round_ties_even()).collect();
    let timesteps = if whole.is_sorted_by(|a, b| a > b) { whole } else { timesteps };
    ending_in_zero(timesteps.into_iter().map(|t| noise.log_sigma_at(t)))
}

fn ending_in_zero(sigmas: impl Iterator<Item = f32>) -> Vec<f32> {
    sigmas.chain([0.0]).collect()
}

/// Entry `i` of `linspace(0, 1, len)`; a single entry is 0.
fn ramp(i: usize, len: usize) -> f64 {
    if i == 0 { 0.0 } else { i as f64 / (len - 1) as f64 }
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
    fn fifteen_linspace_steps_are_those_of_the_lesson() {
        let (noise, linspace) = (stable_diffusion(), Schedule::Linspace);
        let sigmas = [
            14.6146, 9.6826, 6.6780, 4.7746, 3.5221, 2.6666, 2.0606, 1.6156, 1.2768, 1.0097, 0.7913, 0.6056,
            0.4397, 0.2780, 0.0292, 0.0,
        ];
        assert_close(&linspace.sigmas(15, &noise), &sigmas, 6e-5);
        let timesteps = linspace.timesteps(15, &noise);
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
    fn ten_normal_steps_are_k_diffusions() {
        let sigmas = [
            14.614_647, 7.839_885, 4.609_176, 2.918_308, 1.950_162, 1.344_928, 0.932_358, 0.624_977,
            0.368_659, 0.029_168, 0.0,
        ];
        assert_close(&Schedule::Normal.sigmas(10, &stable_diffusion()), &sigmas, 5e-6);
    }

    #[test]
    fn a_model_of_few_training_steps_can_be_sampled_in_more() {
        let noise = NoiseSchedule::linear(1e-4, 0.02, 10);
        for schedule in Schedule::ALL {
            for steps in [7, 10, 11, 100] {
                let sigmas = schedule.sigmas(steps, &noise);
                assert_eq!(sigmas.len(), steps + 1);
                assert!(sigmas.is_sorted_by(|a, b| a > b), "{schedule:?} in {steps} steps");
            }
        }
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
    fn earlier_versions_called_linspace_lesson() {
        let read = |name: &str| serde_json::from_value::<Schedule>(name.into()).ok();
        assert_eq!(
            [read("lesson"), read("linspace"), read("best")],
            [Some(Schedule::Linspace), Some(Schedule::Linspace), None]
        );
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
}
