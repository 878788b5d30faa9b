//! DPM-Solver (Lu et al., 2022a) as in k-diffusion: single steps of orders 1 to 3 in `t = -ln sigma`, on its own
//! noise levels.
//!
//! It cannot step to 0, where t is infinite, so k-diffusion ends at the last sigma above 0. Here one more
//! prediction then removes the remaining noise, as in every other sampler.

use super::{SampleArgs, Sampled, add_noise, ancestral_step, derivative, difference};
use crate::diffusion::{Denoiser, Latents};
use crate::error::EngineError;

/// DPM-Solver-fast: even steps of t, of order 3 while enough calls are left; in total it makes as many model
/// calls as the schedule has steps.
pub(super) fn dpm_fast(mut args: SampleArgs<'_>, mut x: Latents) -> Sampled {
    let (orders, visited) = (fast_orders(args.sigmas), dpm_fast_sigmas(args.sigmas));
    let (_, sigma_min) = sigma_range(args.sigmas);
    for (index, &order) in orders.iter().enumerate() {
        let (sigma, next) = (visited[index], visited[index + 1]);
        let denoised = args.predict(&mut x, index, sigma)?;
        let (sigma_down, sigma_up) = ancestral_step_above(sigma_min, sigma, next, args.eta());
        let step = SolverStep::new(&x, &denoised, sigma, sigma_down);
        let stepped = match order {
            1 => step.first_order(step.next),
            2 => step.dpm_solver_2(args.model, 0.5)?,
            _ => step.dpm_solver_2_and_3(args.model)?.1,
        };
        x = add_noise(stepped, sigma_up, args.noise);
    }
    last_prediction(args, x, orders.len())
}

/// The sigmas that [`dpm_fast`] visits, given those of a schedule: even steps of t from the first to the last
/// one above 0, and 0 if the schedule ends there.
pub(super) fn dpm_fast_sigmas(sigmas: &[f32]) -> Vec<f32> {
    let steps = fast_orders(sigmas).len();
    let (max, min) = sigma_range(sigmas);
    let ratio = f64::from(min) / f64::from(max);
    let at = |i: usize| (f64::from(max) * ratio.powf(i as f64 / steps as f64)) as f32;
    let between = (1..steps).map(at);
    let last = (steps > 0).then_some(min);
    let zero = sigmas.last().copied().filter(|&sigma| sigma == 0.0);
    [max].into_iter().chain(between).chain(last).chain(zero).collect()
}

/// Section 3.4 of Lu et al. (2022a): as many steps of order 3 as the calls allow, then steps for the rest.
fn fast_orders(sigmas: &[f32]) -> Vec<usize> {
    let (max, min) = sigma_range(sigmas);
    if max == min {
        return Vec::new();
    }
    let calls = sigmas.len() - 1;
    match calls % 3 {
        0 => [vec![3; calls / 3 - 1], vec![2, 1]].concat(),
        rest => [vec![3; calls / 3], vec![rest]].concat(),
    }
}

/// DPM-Solver-23 with k-diffusion's control of the step size: a step of order 3 is accepted if it differs little
/// from the one of order 2, and the difference determines the length of the next step.
pub(super) fn dpm_adaptive(mut args: SampleArgs<'_>, mut x: Latents) -> Sampled {
    let (eta, (sigma_max, sigma_min)) = (args.eta(), sigma_range(args.sigmas));
    let [mut t, t_end] = [sigma_max, sigma_min].map(|sigma| -f64::from(sigma).ln());
    let mut step_size = StepSizeController { h: 0.05, order: if eta > 0.0 { 1.5 } else { 3.0 } };
    let mut x_low_last = x.clone();
    let (mut index, mut tries) = (0, 0);
    while t < t_end - 1e-5 {
        let sigma = (-t).exp() as f32;
        let denoised = args.predict(&mut x, index, sigma)?;
        loop {
            tries += 1;
            if tries > MAX_TRIES {
                let text = "DPM adaptive found no step that is short enough. Choose another sampler";
                return Err(EngineError::Failed(text.into()));
            }
            let t_next = t_end.min(t + step_size.h);
            let (down, up) = ancestral_step_above(sigma_min, sigma, (-t_next).exp() as f32, eta);
            let step = SolverStep::new(&x, &denoised, sigma, down);
            let (x_low, x_high) = step.dpm_solver_2_and_3(args.model)?;
            if step_size.accepts(error(&x_low, &x_high, &x_low_last)) {
                (t, x, x_low_last) = (t_next, add_noise(x_high, up, args.noise), x_low);
                break;
            }
        }
        index += 1;
    }
    last_prediction(args, x, index)
}

/// A hundred times as many as a picture usually takes.
const MAX_TRIES: usize = 2000;

/// Root mean square of the difference, in units of the tolerance.
fn error(x_low: &Latents, x_high: &Latents, x_low_last: &Latents) -> f64 {
    const ABSOLUTE: f32 = 0.0078;
    const RELATIVE: f32 = 0.05;
    let tolerance =
        x_low.zip_with(x_low_last, |low, last| ABSOLUTE.max(RELATIVE * low.abs().max(last.abs())));
    let error = difference(x_low, x_high).zip_with(&tolerance, |error, tolerance| error / tolerance);
    error.root_mean_square()
}

/// k-diffusion's `PIDStepSizeController` with its default weights 0, 1 and 0, which leave the integral term.
struct StepSizeController {
    /// The length of the next step in t.
    h: f64,
    order: f64,
}

impl StepSizeController {
    /// Whether a step with this error is accepted. Sets the length of the next one.
    fn accepts(&mut self, error: f64) -> bool {
        let inverse_error = (error + 1e-8).powf(-1.0 / self.order);
        let factor = 1.0 + (inverse_error - 1.0).atan();
        self.h *= factor;
        factor >= 0.81
    }
}

/// A step from a noise level to the next, and the noise predicted at its start.
struct SolverStep<'a> {
    x: &'a Latents,
    eps: Latents,
    sigma: f64,
    next: f64,
}

impl<'a> SolverStep<'a> {
    fn new(x: &'a Latents, denoised: &Latents, sigma: f32, next: f32) -> Self {
        Self { x, eps: derivative(x, denoised, sigma), sigma: sigma.into(), next: next.into() }
    }

    /// The noise level at a fraction `r` of the step in t.
    fn sigma_at(&self, r: f64) -> f64 {
        self.sigma * (self.next / self.sigma).powf(r)
    }

    /// Equation 3.7, DPM-Solver-1: the solution to a sigma for constant predicted noise.
    fn first_order(&self, to: f64) -> Latents {
        self.x.clone().add_scaled((to - self.sigma) as f32, &self.eps)
    }

    /// The solution to a sigma for predicted noise that changes linearly in t, by `eps_difference` over a
    /// fraction `r` of the way: the update of DPM-Solver-3.
    fn with_third_order_correction(&self, to: f64, eps_difference: &Latents, r: f64) -> Latents {
        let h = (self.sigma / to).ln();
        self.first_order(to).add_scaled((-to * (h.exp_m1() / h - 1.0) / r) as f32, eps_difference)
    }

    /// The noise predicted at `x` minus that predicted at the start of the step.
    fn eps_difference(&self, model: &mut dyn Denoiser, x: &Latents, sigma: f64) -> Sampled {
        let sigma = sigma as f32;
        let denoised = model.denoise(x, sigma)?;
        Ok(derivative(x, &denoised, sigma).add_scaled(-1.0, &self.eps))
    }

    /// Algorithm 4 of Lu et al. (2022a), with a second prediction at a fraction `r` of the step.
    fn dpm_solver_2(&self, model: &mut dyn Denoiser, r: f64) -> Sampled {
        let sigma = self.sigma_at(r);
        let eps_difference = self.eps_difference(model, &self.first_order(sigma), sigma)?;
        Ok(self.with_second_order_correction(&eps_difference, r))
    }

    /// The update of DPM-Solver-2.
    fn with_second_order_correction(&self, eps_difference: &Latents, r: f64) -> Latents {
        self.first_order(self.next).add_scaled(((self.next - self.sigma) / (2.0 * r)) as f32, eps_difference)
    }

    /// Algorithm 5 of Lu et al. (2022a), with predictions at both thirds of the step. The first of them gives
    /// the step of order 2 as well, with which [`dpm_adaptive`] compares.
    fn dpm_solver_2_and_3(&self, model: &mut dyn Denoiser) -> Result<(Latents, Latents), EngineError> {
        let (r_1, r_2) = (1.0 / 3.0, 2.0 / 3.0);
        let [sigma_1, sigma_2] = [r_1, r_2].map(|r| self.sigma_at(r));
        let difference_1 = self.eps_difference(model, &self.first_order(sigma_1), sigma_1)?;
        let x_low = self.with_second_order_correction(&difference_1, r_1);
        let x_2 = self.with_third_order_correction(sigma_2, &difference_1, r_1 / r_2);
        let difference_2 = self.eps_difference(model, &x_2, sigma_2)?;
        Ok((x_low, self.with_third_order_correction(self.next, &difference_2, r_2)))
    }
}

/// The first sigma and the last one above 0.
fn sigma_range(sigmas: &[f32]) -> (f32, f32) {
    let above = sigmas.iter().copied().take_while(|&sigma| sigma > 0.0);
    (sigmas[0], above.last().expect("a schedule begins above 0"))
}

/// [`ancestral_step`] that goes no lower than `sigma_min`.
fn ancestral_step_above(sigma_min: f32, sigma: f32, next: f32, eta: f32) -> (f32, f32) {
    if eta == 0.0 {
        return (next, 0.0);
    }
    let down = f64::from(ancestral_step(sigma, next, eta).0.max(sigma_min));
    (down as f32, (f64::from(next).powi(2) - down * down).max(0.0).sqrt() as f32)
}

/// The step from the last sigma above 0 to 0, if the schedule ends at 0.
fn last_prediction(mut args: SampleArgs<'_>, mut x: Latents, index: usize) -> Sampled {
    match args.sigmas {
        [.., sigma, 0.0] => args.predict(&mut x, index, *sigma),
        _ => Ok(x),
    }
}
