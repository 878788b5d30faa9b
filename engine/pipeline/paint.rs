//! Painting on a step: the noisy latents that a painted branch continues from.
//!
//! The predicted picture is encoded with the paint and without it, and the difference is added to the noisy latents. That
//! moves predicted x0 and keeps the noise that the run has: `x = x0 + sigma * eps`. Only latents near the paint are moved,
//! so the others are bit for bit those of the run.
//!
//! A model takes most of what it does not expect for noise; so for some steps the paint replaces what it predicts there. What it
//! does not expect also disturbs its predictions elsewhere, the more the stronger the guidance; so far from the paint they are
//! replaced by the run's own. That is the blending of Avrahami et al. (2023), "Blended Latent Diffusion", of predicted x0
//! and with the run in place of a picture that noise is added to.

use std::cell::Cell;

use crate::diffusion::{Denoiser, Latents, NoiseStreams, RecordedStep, Trajectory};
use crate::error::EngineError;
use crate::memory::low_memory::MemoryGuard;
use crate::paint::{FreshNoise, Layer, Paint};
use crate::pipeline::progress::Reporter;
use crate::pipeline::{GenerateError, Pipeline, Progress, StopFlag};
use crate::recipe::{Branch, Recipe, RecordedRun};

/// How far from a latent that the paint touches others are moved, in latents. What an encoder sees reaches further, but
/// most of what it depends on is this near.
const MARGIN: usize = 1;
/// How far from paint the model fits a picture to it, as a part of the shorter side.
const SURROUNDINGS: f32 = 1.0 / 16.0;

/// A step that was painted on.
pub(crate) struct PaintedStep {
    /// Noisy latents.
    pub x: Latents,
    /// Predicted x0.
    pub x0: Latents,
}

impl Pipeline {
    /// A step with what is painted on it.
    pub(crate) fn paint(
        &self,
        paint: &Paint,
        step: &RecordedStep,
        recipe: &Recipe,
        memory: &MemoryGuard,
        stop: &StopFlag,
    ) -> Result<PaintedStep, GenerateError> {
        let (mut x, mut x0) = (step.x.clone(), step.denoised.clone());
        if let Some(layer) = paint.layer.as_ref().filter(|layer| !layer.is_transparent()) {
            let difference = self.encoded_difference(layer, &step.denoised, memory, stop)?;
            [x, x0] = [x, x0].map(|latents| latents.add_scaled(1.0, &difference));
        }
        if let Some(noise) = &paint.noise {
            draw_anew(noise, recipe, step, &mut x);
        }
        Ok(PaintedStep { x, x0 })
    }

    /// What a layer over the pictures of `x0` adds to them, encoded: 0 where the layer is not near.
    ///
    /// A prediction under strong guidance holds more than its picture shows, and the encoder does not give that back. Under the
    /// paint it is dropped, or it would show through.
    fn encoded_difference(
        &self,
        layer: &Layer,
        x0: &Latents,
        memory: &MemoryGuard,
        stop: &StopFlag,
    ) -> Result<Latents, EngineError> {
        let [batch, channels, height, width] = x0.shape;
        let factor = self.info.vae_factor as usize;
        let (picture_height, picture_width) = (height * factor, width * factor);
        let pictures = self.decode_with(x0, memory, stop)?;
        let mut differences = Vec::with_capacity(x0.data.len());
        for (index, picture) in pictures.data.chunks_exact(3 * picture_height * picture_width).enumerate() {
            let mut painted = picture.to_vec();
            let opacity = layer.paint_over(&mut painted, picture_width as u32, picture_height as u32);
            let [before, after] = [picture, &painted].map(|planes| {
                let planes = planes.iter().map(|&value| 2.0 * value - 1.0).collect();
                let planes = Latents::new([1, 3, picture_height, picture_width], planes);
                memory.retry_in_low_memory(|mode| {
                    let (mean, _) = self.encode_moments(mode, &planes, stop)?;
                    self.check_finite("encoder", &mean.data)?;
                    Ok(mean.scale(self.model.config.vae.scaling_factor))
                })
            });
            let (before, after) = (before?, after?);
            let coverage = coverage(&opacity, [height, width], factor);
            let is_near = near(&coverage, [height, width], MARGIN);
            differences.extend(x0.picture(index).iter().enumerate().map(|(at, x0)| {
                let (before, after) = (before.data[at], after.data[at]);
                let at = at % (height * width);
                if is_near[at] { after - before + coverage[at] * (before - x0) } else { 0.0 }
            }));
        }
        Ok(Latents::new([batch, channels, height, width], differences))
    }

    /// The whole run that a painted branch keeps to far from its paint; `None` if the branch is free there, since more than
    /// the paint tells them apart. `run` has the steps of the branch, or those of its parent.
    pub(super) fn unpainted_run(
        &self,
        run: &mut RecordedRun,
        recipe: &Recipe,
        memory: &MemoryGuard,
        stop: &StopFlag,
    ) -> Result<Option<Trajectory>, GenerateError> {
        let Some(branch) = recipe.branch.as_ref().filter(|_| recipe.differs_in_paint_alone()) else {
            return Ok(None);
        };
        let mut shared;
        let parent = if run.recipe == *recipe {
            shared = RecordedRun { recipe: (*branch.from).clone(), trajectory: run.trajectory.clone() };
            shared.trajectory.split_off(branch.step as usize);
            &mut shared
        } else {
            run
        };
        // What it lacks is sampled, but not shown as steps of the branch.
        let unseen = &mut |_: Progress<'_>| ();
        let reporter = &mut Reporter::new(&self.latent_rgb, unseen);
        self.sample(parent, &branch.from, None, memory, stop, reporter)?;
        Ok(Some(parent.trajectory.clone()))
    }
}

/// The part of each latent that is covered, given the opacity of each pixel. A latent is `factor` pixels wide.
fn coverage(opacity: &[f32], [height, width]: [usize; 2], factor: usize) -> Vec<f32> {
    let mut coverage = vec![0.0; height * width];
    for (at, opacity) in opacity.iter().enumerate() {
        let (row, column) = (at / (width * factor) / factor, at % (width * factor) / factor);
        coverage[row * width + column] += opacity / (factor * factor) as f32;
    }
    coverage
}

/// For each latent, whether one that is covered at all lies within `margin` of it.
fn near(coverage: &[f32], [height, width]: [usize; 2], margin: usize) -> Vec<bool> {
    let mut is_near = vec![false; height * width];
    for (at, _) in coverage.iter().enumerate().filter(|(_, coverage)| **coverage > 0.0) {
        let (row, column) = (at / width, at % width);
        for row in row.saturating_sub(margin)..=(row + margin).min(height - 1) {
            for column in column.saturating_sub(margin)..=(column + margin).min(width - 1) {
                is_near[row * width + column] = true;
            }
        }
    }
    is_near
}

/// Replaces the noise of a step by fresh noise where the mask is. Half inside, it is a mixture of the same variance.
fn draw_anew(FreshNoise { mask, seed }: &FreshNoise, recipe: &Recipe, step: &RecordedStep, x: &mut Latents) {
    let [batch, channels, height, width] = x.shape;
    let mask = mask.resized(width as u32, height as u32);
    let fresh = NoiseStreams::of(recipe.noise, *seed, batch).draw(x.shape);
    let guided_x = step.guided_x();
    let coverage = mask.coverage().iter().cycle().take(batch * channels * height * width);
    for (at, &coverage) in coverage.enumerate().filter(|(_, coverage)| **coverage > 0) {
        let part = f32::from(coverage) / 255.0;
        let eps = (guided_x.data[at] - step.denoised.data[at]) / step.sigma;
        let mixed = ((1.0 - part) * eps + part * fresh.data[at]) / (1.0 - part).hypot(part);
        x.data[at] += step.sigma * (mixed - eps);
    }
}

/// What replaces predicted x0 in a painted branch.
pub(crate) struct HeldPaint {
    /// That of the painted step.
    x0: Latents,
    /// The latents that are covered for the most part, by row and column.
    is_covered: Vec<bool>,
    /// The first step in which the model may paint over them.
    until: usize,
    /// The latents far from the paint.
    is_far: Vec<bool>,
    /// The run's own predictions, all that its sampler asked for; none if the branch is free far from the paint.
    unpainted: Vec<Latents>,
}

impl HeldPaint {
    /// `x0` is that of the painted step, `unpainted` the steps of the run itself from where its sampler started.
    pub fn new(
        branch: &Branch,
        x0: Latents,
        steps: usize,
        factor: usize,
        unpainted: Vec<RecordedStep>,
    ) -> Option<Self> {
        let Paint { layer, hold, noise } = branch.paint.as_ref()?;
        let [_, _, height, width] = x0.shape;
        let (picture_height, picture_width) = (height * factor, width * factor);
        let mut nothing = vec![0.0; 3 * picture_height * picture_width];
        let opacity = layer.as_ref()?.paint_over(&mut nothing, picture_width as u32, picture_height as u32);
        let mut coverage = coverage(&opacity, [height, width], factor);
        let is_covered = coverage.iter().map(|part| *part >= 0.5).collect();
        if let Some(FreshNoise { mask, .. }) = noise {
            let mask = mask.resized(width as u32, height as u32);
            coverage.iter_mut().zip(mask.coverage()).for_each(|(part, mask)| *part += f32::from(*mask));
        }
        let margin = (SURROUNDINGS * height.min(width) as f32).ceil() as usize;
        let is_far = near(&coverage, [height, width], margin).into_iter().map(|is_near| !is_near).collect();
        let unpainted =
            unpainted.into_iter().flat_map(|step| std::iter::once(step.denoised).chain(step.later));
        let first = branch.step as usize;
        let held = (hold.clamp(0.0, 1.0) * steps.saturating_sub(first) as f32).ceil() as usize;
        Some(Self { x0, is_covered, until: first + held, is_far, unpainted: unpainted.collect() })
    }
}

/// A denoiser whose predictions are replaced by paint where that is held, and by the run's own far from it.
pub(crate) struct Held<'a, M> {
    pub model: M,
    pub step: &'a Cell<usize>,
    /// How many predictions the sampler has had.
    pub predictions: &'a Cell<usize>,
    pub paint: Option<HeldPaint>,
}

impl<M> Held<'_, M> {
    fn hold(&self, mut denoised: Latents) -> Latents {
        let Some(paint) = &self.paint else { return denoised };
        let area = paint.is_covered.len();
        let mut replace = |is_replaced: &[bool], other: &Latents| {
            for (at, value) in denoised.data.iter_mut().enumerate().filter(|(at, _)| is_replaced[at % area]) {
                *value = other.data[at];
            }
        };
        if self.step.get() < paint.until {
            replace(&paint.is_covered, &paint.x0);
        }
        if let Some(unpainted) = paint.unpainted.get(self.predictions.get()) {
            replace(&paint.is_far, unpainted);
        }
        denoised
    }
}

impl<M: Denoiser> Denoiser for Held<'_, M> {
    fn denoise(&mut self, x: &Latents, sigma: f32) -> Result<Latents, EngineError> {
        self.model.denoise(x, sigma).map(|denoised| self.hold(denoised))
    }

    fn denoise_step(&mut self, x: &mut Latents, sigma: f32) -> Result<Latents, EngineError> {
        self.model.denoise_step(x, sigma).map(|denoised| self.hold(denoised))
    }
}

/// A denoiser whose latents are replaced by painted ones when sampling comes to a step. It counts the predictions, those that
/// are replayed among them.
pub(crate) struct Painted<'a, M> {
    pub model: M,
    /// The current step of the schedule.
    pub step: &'a Cell<usize>,
    /// How many predictions the sampler has had.
    pub predictions: &'a Cell<usize>,
    /// The step that was painted on, and its noisy latents.
    pub painted: Option<(usize, Latents)>,
}

impl<M: Denoiser> Denoiser for Painted<'_, M> {
    fn denoise(&mut self, x: &Latents, sigma: f32) -> Result<Latents, EngineError> {
        let denoised = self.model.denoise(x, sigma)?;
        self.predictions.update(|count| count + 1);
        Ok(denoised)
    }

    fn denoise_step(&mut self, x: &mut Latents, sigma: f32) -> Result<Latents, EngineError> {
        if let Some((_, painted)) = self.painted.take_if(|(step, _)| *step == self.step.get()) {
            *x = painted;
        }
        let denoised = self.model.denoise_step(x, sigma)?;
        self.predictions.update(|count| count + 1);
        Ok(denoised)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latents_are_covered_by_the_mean_opacity_of_their_pixels() {
        // Of 2 x 1 latents of 2 pixels each, the left one is half covered and the right one a quarter.
        let opacity = [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0];
        assert_eq!(coverage(&opacity, [1, 2], 2), [0.5, 0.25]);
    }

    #[test]
    fn latents_near_paint_are_those_it_touches_and_their_neighbours() {
        let mut opacity = vec![0.0; 5 * 8 * 6 * 8];
        opacity[0] = 0.01;
        opacity[(4 * 8) * 6 * 8 + 5 * 8] = 1.0; // the first pixel of row 4, column 5
        let near = near(&coverage(&opacity, [5, 6], 8), [5, 6], 1);
        let expected = [
            [true, true, false, false, false, false],
            [true, true, false, false, false, false],
            [false, false, false, false, false, false],
            [false, false, false, false, true, true],
            [false, false, false, false, true, true],
        ];
        assert_eq!(near, expected.concat());
    }
}
