//! Painting on a step: the noisy latents that a painted branch continues from.
//!
//! The predicted picture is encoded with the paint and without it, and the difference is added to the noisy latents. That
//! moves predicted x0 and keeps the noise that the run has: `x = x0 + sigma * eps`. Only latents near the paint are moved,
//! so the others are bit for bit those of the run. While sigma is large, a model takes most of what it does not expect for noise;
//! so for some steps the paint replaces what it predicts there.

use std::cell::Cell;

use crate::diffusion::{Denoiser, Latents, NoiseStreams, RecordedStep};
use crate::error::EngineError;
use crate::memory::low_memory::MemoryGuard;
use crate::paint::{FreshNoise, Layer, Paint};
use crate::pipeline::{GenerateError, Pipeline, StopFlag};
use crate::recipe::{Branch, Recipe};

/// How far from a latent that the paint touches others are moved, in latents. What an encoder sees reaches further, but
/// most of what it depends on is this near.
const MARGIN: usize = 1;

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
        for picture in pictures.data.chunks_exact(3 * picture_height * picture_width) {
            let mut painted = picture.to_vec();
            let opacity = layer.paint_over(&mut painted, picture_width as u32, picture_height as u32);
            let [before, after] = [picture, &painted].map(|planes| {
                let planes = planes.iter().map(|&value| 2.0 * value - 1.0).collect();
                let planes = Latents::new([1, 3, picture_height, picture_width], planes);
                memory.retry_in_low_memory(|mode| {
                    let (mean, _) = self.encode_moments(mode, &planes, stop)?;
                    self.check_finite("encoder", &mean.data)?;
                    Ok(mean)
                })
            });
            let difference = after?.add_scaled(-1.0, &before?).scale(self.model.config.vae.scaling_factor);
            let is_near = near_paint(&opacity, [height, width], factor);
            let planes = difference.data.chunks_exact(height * width);
            differences.extend(planes.flat_map(|plane| {
                plane.iter().zip(&is_near).map(|(&value, &is_near)| if is_near { value } else { 0.0 })
            }));
        }
        Ok(Latents::new([batch, channels, height, width], differences))
    }
}

/// For each latent, whether paint of some opacity lies on it or within [`MARGIN`] of it. Each is `factor` pixels wide.
fn near_paint(opacity: &[f32], [height, width]: [usize; 2], factor: usize) -> Vec<bool> {
    let mut is_near = vec![false; height * width];
    for (at, _) in opacity.iter().enumerate().filter(|(_, opacity)| **opacity > 0.0) {
        let (row, column) = (at / (width * factor) / factor, at % (width * factor) / factor);
        for row in row.saturating_sub(MARGIN)..=(row + MARGIN).min(height - 1) {
            for column in column.saturating_sub(MARGIN)..=(column + MARGIN).min(width - 1) {
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

/// The latents that a layer covers for the most part, in each channel of each picture of the batch.
fn covered(layer: &Layer, [batch, channels, height, width]: [usize; 4], factor: usize) -> Vec<bool> {
    let (picture_height, picture_width) = (height * factor, width * factor);
    let mut nothing = vec![0.0; 3 * picture_height * picture_width];
    let opacity = layer.paint_over(&mut nothing, picture_width as u32, picture_height as u32);
    let mut sums = vec![0.0; height * width];
    for (at, opacity) in opacity.iter().enumerate() {
        sums[at / picture_width / factor * width + at % picture_width / factor] += opacity;
    }
    let is_covered: Vec<bool> = sums.iter().map(|sum| 2.0 * sum >= (factor * factor) as f32).collect();
    is_covered.repeat(batch * channels)
}

/// Predicted x0 that the model cannot paint over.
pub(crate) struct HeldPaint {
    is_held: Vec<bool>,
    x0: Latents,
    /// The first step in which the model is free.
    until: usize,
}

impl HeldPaint {
    /// `x0` is that of the painted step; `steps` are those of the whole schedule.
    pub fn new(branch: &Branch, x0: Latents, steps: usize, factor: usize) -> Option<Self> {
        let Paint { layer, hold, .. } = branch.paint.as_ref()?;
        let first = branch.step as usize;
        let held = (hold.clamp(0.0, 1.0) * steps.saturating_sub(first) as f32).ceil() as usize;
        Some(Self { is_held: covered(layer.as_ref()?, x0.shape, factor), x0, until: first + held })
    }
}

/// A denoiser whose predictions are replaced by paint where that is held.
pub(crate) struct Held<'a, M> {
    pub model: M,
    pub step: &'a Cell<usize>,
    pub paint: Option<HeldPaint>,
}

impl<M> Held<'_, M> {
    fn hold(&self, mut denoised: Latents) -> Latents {
        if let Some(HeldPaint { is_held, x0, .. }) =
            self.paint.as_ref().filter(|paint| self.step.get() < paint.until)
        {
            let held = is_held.iter().enumerate().filter(|(_, is_held)| **is_held);
            held.for_each(|(at, _)| denoised.data[at] = x0.data[at]);
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

/// A denoiser whose latents are replaced by painted ones when sampling comes to a step.
pub(crate) struct Painted<'a, M> {
    pub model: M,
    /// The current step of the schedule.
    pub step: &'a Cell<usize>,
    /// The step that was painted on, and its noisy latents.
    pub painted: Option<(usize, Latents)>,
}

impl<M: Denoiser> Denoiser for Painted<'_, M> {
    fn denoise(&mut self, x: &Latents, sigma: f32) -> Result<Latents, EngineError> {
        self.model.denoise(x, sigma)
    }

    fn denoise_step(&mut self, x: &mut Latents, sigma: f32) -> Result<Latents, EngineError> {
        if let Some((_, painted)) = self.painted.take_if(|(step, _)| *step == self.step.get()) {
            *x = painted;
        }
        self.model.denoise_step(x, sigma)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latents_are_covered_where_half_of_their_pixels_are() {
        // Of 2 x 1 latents of 2 pixels each, the left one is half covered and the right one a quarter.
        let opacity = [255, 0, 255, 0, 255, 0, 0, 0];
        let rgba = opacity.iter().flat_map(|&alpha| [9, 9, 9, alpha]).collect::<Vec<u8>>();
        let covered = covered(&Layer::new(4, 2, rgba), [1, 2, 1, 2], 2);
        assert_eq!(covered, [true, false, true, false]);
    }

    #[test]
    fn latents_near_paint_are_those_it_touches_and_their_neighbours() {
        let mut opacity = vec![0.0; 5 * 8 * 6 * 8];
        opacity[0] = 0.01;
        opacity[(4 * 8) * 6 * 8 + 5 * 8] = 1.0; // the first pixel of row 4, column 5
        let near = near_paint(&opacity, [5, 6], 8);
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
