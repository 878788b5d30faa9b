//! DPM-Solver (Lu et al., 2022a) as k-diffusion has it: single steps of orders 1 to 3 in
//! `t = -ln sigma`, on noise levels of its own.
//!
//! It cannot step to 0, where t is infinite, so that k-diffusion's ends at the last sigma above it. Here one
//! more prediction then takes the noise that is left, as in every other sampler.

use super::{Sampled, add_noise, ancestral_step, derivative, difference, predict};
use crate::diffusion::{Denoiser, Latents, Noise, Observer};
use crate::error::EngineError;

/// DPM-Solver-fast: even steps of t, of order 3 as long as the calls suffice; together they ask the model as
/// often as the schedule has steps.
pub(super) fn dpm_fast(
    model: &mut dyn Denoiser,
    mut x: Latents,
    sigmas: &[f32],
    eta: f32,
    noise: &mut dyn Noise,
    observe: &mut Observer<'_>,
) -> Sampled {
    let (orders, visited, least) = (fast_orders(sigmas), dpm_fast_sigmas(sigmas), ends(sigmas).1);
    for (index, &order) in orders.iter().enumerate() {
        let (sigma, next) = (visited[index], visited[index + 1]);
        let denoised = predict(model, &x, index, sigma, observe)?;
        let (down, up) = ancestral_step_to(sigma, next, least, eta);
        let step = SolverStep::new(&x, &denoised, sigma, down);
        let stepped = match order {
            1 => step.first_order(step.next),
            2 => step.dpm_solver_2(model, 0.5)?,
            _ => step.of_orders_2_and_3(model)?.1,
        };
        x = add_noise(stepped, up, noise);
    }
    last_prediction(model, x, orders.len(), sigmas, observe)
}

/// The sigmas that [`dpm_fast`] visits, given those of a schedule: from its first to its last above 0 by even
/// steps of t, and 0 if it ends there.
pub(super) fn dpm_fast_sigmas(sigmas: &[f32]) -> Vec<f32> {
    let steps = fast_orders(sigmas).len();
    let (max, min) = ends(sigmas);
    let ratio = f64::from(min) / f64::from(max);
    let at = |i: usize| (f64::from(max) * ratio.powf(i as f64 / steps as f64)) as f32;
    let between = (1..steps).map(at);
    let last = (steps > 0).then_some(min);
    let zero = sigmas.last().copied().filter(|&sigma| sigma == 0.0);
    [max].into_iter().chain(between).chain(last).chain(zero).collect()
}

/// Section 3.4 of Lu et al. (2022a): as many steps of order 3 as there are calls for, and the rest.
fn fast_orders(sigmas: &[f32]) -> Vec<usize> {
    let (max, min) = ends(sigmas);
    if max == min {
        return Vec::new();
    }
    let calls = sigmas.len() - 1;
    match calls % 3 {
        0 => [vec![3; calls / 3 - 1], vec![2, 1]].concat(),
        rest => [vec![3; calls / 3], vec![rest]].concat(),
    }
}

/// DPM-Solver-23 with k-diffusion's control of the step size: a step of order 3 counts if it differs little
/// from that of order 2, and how much it differs says how long the next one may be.
pub(super) fn dpm_adaptive(
    model: &mut dyn Denoiser,
    mut x: Latents,
    sigmas: &[f32],
    eta: f32,
    noise: &mut dyn Noise,
    observe: &mut Observer<'_>,
) -> Sampled {
    let (sigma_max, least) = ends(sigmas);
    let [mut t, t_end] = [sigma_max, least].map(|sigma| -f64::from(sigma).ln());
    let mut control = StepControl { h: 0.05, order: if eta > 0.0 { 1.5 } else { 3.0 } };
    let mut low_last = x.clone();
    let (mut index, mut tries) = (0, 0);
    while t < t_end - 1e-5 {
        let sigma = (-t).exp() as f32;
        let denoised = predict(model, &x, index, sigma, observe)?;
        loop {
            tries += 1;
            if tries > MAX_TRIES {
                let text = "DPM adaptive found no step that is short enough. Choose another sampler";
                return Err(EngineError::Failed(text.into()));
            }
            let t_next = t_end.min(t + control.h);
            let (down, up) = ancestral_step_to(sigma, (-t_next).exp() as f32, least, eta);
            let step = SolverStep::new(&x, &denoised, sigma, down);
            let (low, high) = step.of_orders_2_and_3(model)?;
            if control.accepts(error(&low, &high, &low_last)) {
                (t, x, low_last) = (t_next, add_noise(high, up, noise), low);
                break;
            }
        }
        index += 1;
    }
    last_prediction(model, x, index, sigmas, observe)
}

/// A hundred times what a picture takes.
const MAX_TRIES: usize = 2000;

/// Root mean square of the difference, in units of what is tolerated.
fn error(low: &Latents, high: &Latents, low_last: &Latents) -> f64 {
    const ABSOLUTE: f32 = 0.0078;
    const RELATIVE: f32 = 0.05;
    let tolerated = low.zip_with(low_last, |low, last| ABSOLUTE.max(RELATIVE * low.abs().max(last.abs())));
    let off = difference(low, high).zip_with(&tolerated, |off, tolerated| off / tolerated);
    off.root_mean_square()
}

/// k-diffusion's `PIDStepSizeController` with its weights 0, 1 and 0, which leave the middle letter.
struct StepControl {
    /// Length of the next step in t.
    h: f64,
    order: f64,
}

impl StepControl {
    /// Whether a step of this error counts; sets the length of the next.
    fn accepts(&mut self, error: f64) -> bool {
        let wished = (error + 1e-8).powf(-1.0 / self.order);
        let factor = 1.0 + (wished - 1.0).atan();
        self.h *= factor;
        factor >= 0.81
    }
}

/// A step from a noise level to the next, and the noise predicted at its beginning.
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

    /// The noise level at a part of the step.
    fn at(&self, part: f64) -> f64 {
        self.sigma * (self.next / self.sigma).powf(part)
    }

    /// Equation 3.7: as if the noise predicted did not change.
    fn first_order(&self, to: f64) -> Latents {
        self.x.clone().add_scaled((to - self.sigma) as f32, &self.eps)
    }

    /// As if it changed evenly in t, by `change` up to a part of the way.
    fn third_order_correction(&self, to: f64, change: &Latents, part: f64) -> Latents {
        let h = (self.sigma / to).ln();
        self.first_order(to).add_scaled((-to * (h.exp_m1() / h - 1.0) / part) as f32, change)
    }

    /// How the noise predicted has changed at `x`, a part of the step further on.
    fn change(&self, model: &mut dyn Denoiser, x: &Latents, sigma: f64) -> Sampled {
        let sigma = sigma as f32;
        let denoised = model.denoise(x, sigma)?;
        Ok(derivative(x, &denoised, sigma).add_scaled(-1.0, &self.eps))
    }

    /// Algorithm 4 of Lu et al. (2022a), by a prediction at a part of the step.
    fn dpm_solver_2(&self, model: &mut dyn Denoiser, part: f64) -> Sampled {
        let sigma = self.at(part);
        let change = self.change(model, &self.first_order(sigma), sigma)?;
        Ok(self.second_order_correction(&change, part))
    }

    fn second_order_correction(&self, change: &Latents, part: f64) -> Latents {
        self.first_order(self.next).add_scaled(((self.next - self.sigma) / (2.0 * part)) as f32, change)
    }

    /// Algorithm 5, by predictions at the thirds; the first of them makes a step of order 2 as well.
    fn of_orders_2_and_3(&self, model: &mut dyn Denoiser) -> Result<(Latents, Latents), EngineError> {
        let [third, two_thirds] = [1.0 / 3.0, 2.0 / 3.0].map(|part| self.at(part));
        let change = self.change(model, &self.first_order(third), third)?;
        let low = self.second_order_correction(&change, 1.0 / 3.0);
        let change =
            self.change(model, &self.third_order_correction(two_thirds, &change, 0.5), two_thirds)?;
        Ok((low, self.third_order_correction(self.next, &change, 2.0 / 3.0)))
    }
}

/// The first sigma and the last above 0.
fn ends(sigmas: &[f32]) -> (f32, f32) {
    let above = sigmas.iter().copied().take_while(|&sigma| sigma > 0.0);
    (sigmas[0], above.last().expect("a schedule begins above 0"))
}

/// [`ancestral_step`] that goes below `next`, but no lower than `least`.
fn ancestral_step_to(sigma: f32, next: f32, least: f32, eta: f32) -> (f32, f32) {
    if eta == 0.0 {
        return (next, 0.0);
    }
    let down = f64::from(ancestral_step(sigma, next, eta).0.max(least));
    (down as f32, (f64::from(next).powi(2) - down * down).max(0.0).sqrt() as f32)
}

/// From the last sigma above 0 to 0, where the schedule ends there.
fn last_prediction(
    model: &mut dyn Denoiser,
    x: Latents,
    index: usize,
    sigmas: &[f32],
    observe: &mut Observer<'_>,
) -> Sampled {
    match sigmas {
        [.., sigma, 0.0] => predict(model, &x, index, *sigma, observe),
        _ => Ok(x),
    }
}
