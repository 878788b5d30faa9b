//! Where a guide acts: a grey picture, white where it acts in full.

use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use image::{DynamicImage, ExtendedColorType};
use serde::{Deserialize, Serialize};

use super::picture_file::{self, PictureFileError};

/// How much of each pixel a guide reaches. In files it is a PNG in base64. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mask {
    width: u32,
    height: u32,
    /// A byte per pixel, rows from the top: 0 is outside, 255 inside.
    coverage: Arc<[u8]>,
}

impl Mask {
    /// A recipe holds its masks, so a larger one is scaled down to this when it is read from a file.
    pub const MAX_SIDE: u32 = 1024;

    /// # Panics
    /// If a side is 0 or `coverage` does not have `width * height` bytes.
    pub fn new(width: u32, height: u32, coverage: impl Into<Arc<[u8]>>) -> Self {
        let coverage = coverage.into();
        assert!(width > 0 && height > 0, "a mask of {width} x {height}");
        assert_eq!(coverage.len(), width as usize * height as usize, "a mask of {width} x {height}");
        Self { width, height, coverage }
    }

    pub fn width(&self) -> u32 {
        self.width
    }

    pub fn height(&self) -> u32 {
        self.height
    }

    /// A byte per pixel, rows from the top: 0 is outside, 255 inside.
    pub fn coverage(&self) -> &[u8] {
        &self.coverage
    }

    /// Reads a picture of any kind: its brightness, times its opacity.
    ///
    /// # Errors
    /// If it is not a picture, too large, or black everywhere.
    pub fn load(path: &Path) -> Result<Self, PictureFileError> {
        let mask = Self::of_picture(&picture_file::read(path)?);
        if mask.is_black() {
            return Err(PictureFileError::BlackMask { path: Some(path.to_owned()) });
        }
        let Self { width, height, .. } = mask;
        let larger = width.max(height);
        if larger <= Self::MAX_SIDE {
            return Ok(mask);
        }
        let scaled =
            |side: u32| (u64::from(side) * u64::from(Self::MAX_SIDE)).div_ceil(u64::from(larger)) as u32;
        Ok(mask.resized(scaled(width), scaled(height)))
    }

    /// # Errors
    /// If it is not a picture or too large.
    pub fn from_png(png: &[u8]) -> Result<Self, PictureFileError> {
        picture_file::from_bytes(png).map(|picture| Self::of_picture(&picture))
    }

    fn of_picture(picture: &DynamicImage) -> Self {
        let grey = picture.to_luma_alpha8();
        let coverage: Vec<u8> = grey
            .pixels()
            .map(|pixel| {
                let [value, alpha] = pixel.0.map(u32::from);
                ((value * alpha + 127) / 255) as u8
            })
            .collect();
        Self::new(grey.width(), grey.height(), coverage)
    }

    /// An 8-bit grey PNG.
    pub fn to_png(&self) -> Vec<u8> {
        picture_file::to_png(&self.coverage, self.width, self.height, ExtendedColorType::L8)
    }

    /// Scaled by area: each pixel is the mean of what it covers of this mask, so that the mean of the whole stays.
    /// The same size is the same mask.
    pub fn resized(&self, width: u32, height: u32) -> Self {
        if (width, height) == (self.width, self.height) {
            return self.clone();
        }
        let (old_width, old_height) = (self.width as usize, self.height as usize);
        let (columns, rows) = (shares(self.width, width), shares(self.height, height));
        let mut narrowed = Vec::with_capacity(width as usize * old_height);
        for row in self.coverage.chunks_exact(old_width) {
            narrowed.extend(columns.iter().map(|(first, weights)| {
                weights
                    .iter()
                    .zip(&row[*first..])
                    .map(|(weight, value)| weight * f32::from(*value))
                    .sum::<f32>()
            }));
        }
        let (width_now, mut coverage) =
            (width as usize, Vec::with_capacity(width as usize * height as usize));
        for (first, weights) in &rows {
            for column in 0..width_now {
                let value =
                    |(row, weight): (usize, &f32)| weight * narrowed[(first + row) * width_now + column];
                coverage.push(weights.iter().enumerate().map(value).sum::<f32>().round() as u8);
            }
        }
        Self::new(width, height, coverage)
    }

    /// Inside and outside exchanged.
    pub fn inverted(&self) -> Self {
        let coverage: Vec<u8> = self.coverage.iter().map(|value| 255 - value).collect();
        Self::new(self.width, self.height, coverage)
    }

    /// Whether it reaches no pixel.
    pub fn is_black(&self) -> bool {
        self.coverage.iter().all(|value| *value == 0)
    }
}

/// For each of `new` pixels in a row: the first of the `old` pixels that it covers, and the share that each of them has
/// in it.
fn shares(old: u32, new: u32) -> Vec<(usize, Vec<f32>)> {
    let (old, new) = (f64::from(old), f64::from(new));
    let size = old / new;
    (0..new as usize)
        .map(|index| {
            let (start, end) = (index as f64 * size, ((index + 1) as f64 * size).min(old));
            let first = start.floor() as usize;
            let last = (end.ceil() as usize).max(first + 1).min(old as usize);
            let share = |pixel: usize| {
                let overlap = end.min((pixel + 1) as f64) - start.max(pixel as f64);
                (overlap.max(0.0) / size) as f32
            };
            (first, (first..last).map(share).collect())
        })
        .collect()
}

impl From<Mask> for String {
    fn from(mask: Mask) -> Self {
        BASE64.encode(mask.to_png())
    }
}

impl TryFrom<String> for Mask {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let png = BASE64.decode(text).map_err(|error| format!("the mask is not base64: {error}"))?;
        Self::from_png(&png).map_err(|error| error.to_string())
    }
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mask({} x {})", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask() -> Mask {
        Mask::new(4, 2, vec![0, 40, 80, 120, 100, 140, 180, 255])
    }

    #[test]
    fn a_mask_is_scaled_by_area() {
        let means = |width, height| mask().resized(width, height).coverage().to_vec();
        assert_eq!(means(4, 2), mask().coverage());
        assert_eq!(means(2, 1), [70, 159]); // (0 + 40 + 100 + 140) / 4, (80 + 120 + 180 + 255) / 4 = 158.75
        assert_eq!(means(1, 1), [114]); // 915 / 8 = 114.375
        assert_eq!(means(8, 2)[..4], [0, 0, 40, 40]);
        // A third is one pixel and a third of the next: (0 + 40 / 3) / (4 / 3) = 10.
        assert_eq!(means(3, 2)[0], 10);
    }

    #[test]
    fn a_mask_is_the_same_after_png_and_json() {
        assert_eq!(Mask::from_png(&mask().to_png()), Ok(mask()));
        let json = serde_json::to_string(&mask()).expect("JSON");
        assert_eq!(serde_json::from_str::<Mask>(&json).expect("a mask"), mask());
        assert!(serde_json::from_str::<Mask>("\"bm90aGluZw==\"").is_err(), "base64 of no picture");
    }

    #[test]
    fn an_inverted_mask_reaches_what_the_mask_does_not() {
        assert_eq!(mask().inverted().coverage()[..2], [255, 215]);
        assert_eq!(mask().inverted().inverted(), mask());
        assert!(Mask::new(2, 1, vec![255, 255]).inverted().is_black());
    }
}
