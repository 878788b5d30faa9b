//! 8-bit RGB pictures, as the window shows them and files store them.

use crate::diffusion::{LatentRgb, Latents};

/// An 8-bit RGB picture, rows from the top, no padding.
#[derive(Clone, PartialEq, Eq)]
pub struct Pixels {
    pub width: u32,
    pub height: u32,
    /// `width * height * 3` bytes.
    pub rgb: Vec<u8>,
}

impl Pixels {
    /// # Panics
    /// If `rgb` does not have `width * height * 3` bytes.
    pub fn new(width: u32, height: u32, rgb: Vec<u8>) -> Self {
        assert_eq!(rgb.len(), width as usize * height as usize * 3, "{width} x {height} RGB");
        Self { width, height, rgb }
    }

    /// A picture of one colour.
    pub fn filled(width: u32, height: u32, colour: [u8; 3]) -> Self {
        Self::new(width, height, colour.repeat(width as usize * height as usize))
    }

    /// From 8-bit RGBA, blended onto white.
    pub fn from_rgba(width: u32, height: u32, rgba: &[u8]) -> Self {
        let over_white = |pixel: &[u8; 4]| {
            let [red, green, blue, alpha] = pixel.map(u32::from);
            [red, green, blue].map(|value| ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8)
        };
        Self::new(width, height, rgba.as_chunks().0.iter().flat_map(over_white).collect())
    }

    /// From `[3, height, width]` in 0..1, clamped and rounded.
    pub fn from_unit_range(width: u32, height: u32, planes: &[f32]) -> Self {
        let area = width as usize * height as usize;
        assert_eq!(planes.len(), 3 * area, "{width} x {height} in three planes");
        let mut rgb = Vec::with_capacity(3 * area);
        for at in 0..area {
            for plane in 0..3 {
                rgb.push((planes[plane * area + at].clamp(0.0, 1.0) * 255.0).round() as u8);
            }
        }
        Self { width, height, rgb }
    }

    /// A quick preview of one picture of a batch, at the size of its latents. `latents` are scaled as for the
    /// UNet.
    pub fn preview(colours: &LatentRgb, latents: &Latents, index: usize) -> Self {
        let [_, _, height, width] = latents.shape;
        Self::from_unit_range(width as u32, height as u32, &colours.planes(latents, index))
    }
}

impl std::fmt::Debug for Pixels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pixels({} x {})", self.width, self.height)
    }
}
