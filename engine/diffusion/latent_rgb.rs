//! Previews of latents without the decoder: the colour of each latent pixel is a linear map of its channels.
//!
//! An autoencoder's colours are nearly linear in its channels, so a matrix gives a small picture of true colours in
//! microseconds. Every autoencoder needs its own matrix; [`LatentRgb::fit`] finds it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::Latents;

/// From latents to red, green and blue in 0..1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatentRgb {
    /// The red, green and blue that a unit of each channel adds.
    pub matrix: Cow<'static, [[f32; 3]]>,
    /// The colour of latents of 0.
    pub bias: [f32; 3],
}

/// For Stable Diffusion 1 and its fine-tunes: ComfyUI's numbers for SD 1.5, which map to -1..1 there.
pub const SD1_LATENT_RGB: LatentRgb = LatentRgb {
    matrix: Cow::Borrowed(&[
        [0.3512 / 2.0, 0.2297 / 2.0, 0.3227 / 2.0],
        [0.3250 / 2.0, 0.4974 / 2.0, 0.2350 / 2.0],
        [-0.2829 / 2.0, 0.1762 / 2.0, 0.2721 / 2.0],
        [-0.2120 / 2.0, -0.2616 / 2.0, -0.7177 / 2.0],
    ]),
    bias: [0.5; 3],
};

impl LatentRgb {
    /// The colours of one picture of a batch, about 0..1, from latents scaled as the UNet sees them.
    ///
    /// # Shapes
    /// - output: `[3, height, width]` of the latents
    ///
    /// # Panics
    /// If the latents have another number of channels than the matrix has rows.
    pub fn planes(&self, latents: &Latents, index: usize) -> Vec<f32> {
        let [_, channels, height, width] = latents.shape;
        assert_eq!(channels, self.matrix.len(), "a matrix row for each latent channel");
        let area = height * width;
        let mut planes: Vec<f32> = self.bias.iter().flat_map(|&b| vec![b; area]).collect();
        for (channel, row) in latents.picture(index).chunks_exact(area).zip(self.matrix.iter()) {
            for (plane, weight) in planes.chunks_exact_mut(area).zip(row) {
                plane.iter_mut().zip(channel).for_each(|(out, value)| *out += weight * value);
            }
        }
        planes
    }

    /// The gradient of a function of [`planes`](Self::planes) with respect to the latents: the transposed matrix.
    ///
    /// # Shapes
    /// - gradient: `[3, height, width]`, of the planes
    /// - output: `[channels, height, width]`
    pub fn latent_gradient(&self, gradient: &[f32]) -> Vec<f32> {
        let area = gradient.len() / 3;
        let channel = |row: &[f32; 3]| {
            let at =
                move |index: usize| (0..3).map(|color| row[color] * gradient[color * area + index]).sum();
            (0..area).map(at).collect::<Vec<f32>>()
        };
        self.matrix.iter().flat_map(channel).collect()
    }

    /// The least-squares fit to the decoded picture of `latents`.
    ///
    /// # Shapes
    /// - `latents`: `[batch, channels, height, width]`, scaled as the UNet sees them
    /// - `decoded`: `[batch, 3, height, width]` in 0..1, downsampled to the size of the latents
    ///
    /// # Panics
    /// If `decoded` has another length.
    pub fn fit(latents: &Latents, decoded: &[f32]) -> Self {
        let [batch, channels, height, width] = latents.shape;
        let area = height * width;
        assert_eq!(decoded.len(), batch * 3 * area, "a colour for each of the latent pixels");

        // A last "channel" of ones is the bias. Normal equations: (A'A + ridge) w = A'b.
        let mut rows = vec![vec![0f64; channels + 1 + 3]; channels + 1];
        for picture in 0..batch {
            let rgb = &decoded[picture * 3 * area..][..3 * area];
            for at in 0..area {
                let inputs = latents.picture(picture).iter().skip(at).step_by(area.max(1));
                let inputs = inputs.copied().chain([1.0]);
                let known: Vec<f64> =
                    inputs.chain([rgb[at], rgb[area + at], rgb[2 * area + at]]).map(f64::from).collect();
                for (row, input) in rows.iter_mut().zip(&known) {
                    row.iter_mut().zip(&known).for_each(|(sum, value)| *sum += input * value);
                }
            }
        }
        // Avoids a division by 0 for a constant channel.
        let ridge = 1e-6 * (batch * area).max(1) as f64;
        for (i, row) in rows.iter_mut().enumerate() {
            row[i] += ridge;
        }

        let mut matrix = solve(rows);
        let bias = matrix.pop().expect("the bias is the last row");
        Self { matrix: matrix.into(), bias }
    }
}

/// `A^-1 B` by Gauss-Jordan elimination of `[A | B]` with three columns of B. A is positive definite, which needs no
/// pivoting.
fn solve(mut rows: Vec<Vec<f64>>) -> Vec<[f32; 3]> {
    let n = rows.len();
    for i in 0..n {
        let pivot = rows[i][i];
        rows[i].iter_mut().for_each(|value| *value /= pivot);
        let pivot_row = rows[i].clone();
        for (j, row) in rows.iter_mut().enumerate() {
            if j != i {
                let factor = row[i];
                row.iter_mut().zip(&pivot_row).for_each(|(value, p)| *value -= factor * p);
            }
        }
    }
    rows.iter().map(|row| [row[n], row[n + 1], row[n + 2]].map(|value| value as f32)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::TorchGenerator;

    #[test]
    fn a_fit_finds_the_map_that_made_the_colours() {
        let map = LatentRgb {
            matrix: vec![[0.1, 0.2, -0.3], [0.0, -0.1, 0.05], [0.3, 0.1, 0.2]].into(),
            bias: [0.4, 0.5, 0.6],
        };
        let shape = [2, 3, 4, 5];
        let latents = Latents::new(shape, TorchGenerator::new(3).randn(120));
        let mut decoded = Vec::new();
        for picture in 0..2 {
            for colour in 0..3 {
                for at in 0..20 {
                    let input = |channel: usize| latents.picture(picture)[channel * 20 + at];
                    let sum: f32 = (0..3).map(|c| input(c) * map.matrix[c][colour]).sum();
                    decoded.push(map.bias[colour] + sum);
                }
            }
        }
        let fit = LatentRgb::fit(&latents, &decoded);
        let numbers = |map: &LatentRgb| [map.matrix.concat(), map.bias.to_vec()].concat();
        for (ours, theirs) in numbers(&fit).iter().zip(numbers(&map)) {
            assert!((ours - theirs).abs() < 1e-5, "{fit:?}");
        }
    }

    #[test]
    fn a_constant_channel_has_no_effect() {
        let fit = LatentRgb::fit(&Latents::zeros([1, 2, 2, 2]), &[0.25; 12]);
        assert_eq!(fit.matrix.concat(), [0.0; 6]);
        assert!((fit.bias[0] - 0.25).abs() < 1e-5);
    }

    #[test]
    fn stable_diffusions_zero_is_middle_grey_and_each_picture_is_its_own() {
        let mut latents = Latents::zeros([2, 4, 1, 2]);
        latents.data[8] = 1.0; // first channel of the second picture's first pixel
        assert_eq!(SD1_LATENT_RGB.planes(&latents, 0), [0.5; 6]);
        let second: Vec<u8> =
            SD1_LATENT_RGB.planes(&latents, 1).iter().map(|value| (value * 255.0).round() as u8).collect();
        assert_eq!(second, [172, 128, 157, 128, 169, 128]);
    }
}
