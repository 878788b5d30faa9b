//! A picture with transparency that lies over another.

use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use image::{ExtendedColorType, ImageBuffer, Rgba, imageops};
use serde::{Deserialize, Serialize};

use crate::losses::{PictureFileError, picture_file};

/// RGBA pixels. In files they are a PNG in base64. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Layer {
    width: u32,
    height: u32,
    rgba: Arc<[u8]>,
    /// The same as a file.
    png: Arc<[u8]>,
}

impl Layer {
    /// A recipe holds its layers, so a larger one is scaled down to this when it is read from a file.
    pub const MAX_SIDE: u32 = 1024;

    /// Straight alpha, rows from the top.
    ///
    /// # Panics
    /// If a side is 0 or `rgba` does not have `width * height * 4` bytes.
    pub fn new(width: u32, height: u32, rgba: impl Into<Arc<[u8]>>) -> Self {
        let rgba = rgba.into();
        assert!(width > 0 && height > 0, "a layer of {width} x {height}");
        assert_eq!(rgba.len(), width as usize * height as usize * 4, "a layer of {width} x {height}");
        let png = picture_file::to_png(&rgba, width, height, ExtendedColorType::Rgba8);
        Self { width, height, rgba, png: png.into() }
    }

    /// Reads a picture of any kind. One without transparency covers everything.
    ///
    /// # Errors
    /// If it is not a picture, or too large.
    pub fn load(path: &Path) -> Result<Self, PictureFileError> {
        let picture = picture_file::read(path)?;
        let larger = picture.width().max(picture.height());
        let picture = match larger > Self::MAX_SIDE {
            true => picture.thumbnail(Self::MAX_SIDE, Self::MAX_SIDE),
            false => picture,
        };
        let rgba = picture.into_rgba8();
        Ok(Self::new(rgba.width(), rgba.height(), rgba.into_raw()))
    }

    pub fn width(&self) -> u32 {
        self.width
    }

    pub fn height(&self) -> u32 {
        self.height
    }

    /// Straight alpha, rows from the top.
    pub fn rgba(&self) -> &[u8] {
        &self.rgba
    }

    pub fn png(&self) -> &[u8] {
        &self.png
    }

    /// Whether it covers nothing.
    pub fn is_transparent(&self) -> bool {
        self.rgba.iter().skip(3).step_by(4).all(|alpha| *alpha == 0)
    }

    /// Paints it, resized, over a picture.
    ///
    /// # Shapes
    /// - planes: `[3, height, width]` in 0..1
    /// - output: the opacity of each pixel, `[height, width]` in 0..1
    pub fn paint_over(&self, planes: &mut [f32], width: u32, height: u32) -> Vec<f32> {
        let area = width as usize * height as usize;
        let mut opacity = Vec::with_capacity(area);
        for (at, Rgba([red, green, blue, alpha])) in self.premultiplied(width, height).pixels().enumerate() {
            if *alpha > 0.0 {
                for (plane, value) in [red, green, blue].into_iter().enumerate() {
                    let under = &mut planes[plane * area + at];
                    *under = *under * (1.0 - alpha) + value;
                }
            }
            opacity.push(*alpha);
        }
        opacity
    }

    /// Of another size, with colours that are multiplied by their opacity, so that what is transparent has none to lend.
    fn premultiplied(&self, width: u32, height: u32) -> ImageBuffer<Rgba<f32>, Vec<f32>> {
        let premultiply = |pixel: &[u8; 4]| {
            let [red, green, blue, alpha] = pixel.map(|value| f32::from(value) / 255.0);
            [red * alpha, green * alpha, blue * alpha, alpha]
        };
        let values = self.rgba.as_chunks().0.iter().flat_map(premultiply).collect();
        let whole = ImageBuffer::from_raw(self.width, self.height, values).expect("four values a pixel");
        if (width, height) == (self.width, self.height) {
            return whole;
        }
        imageops::resize(&whole, width, height, imageops::FilterType::Triangle)
    }
}

impl From<Layer> for String {
    fn from(layer: Layer) -> Self {
        BASE64.encode(layer.png)
    }
}

impl TryFrom<String> for Layer {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let png = BASE64.decode(text).map_err(|error| format!("the paint is not base64: {error}"))?;
        let rgba = picture_file::from_bytes(&png).map_err(|error| error.to_string())?.into_rgba8();
        Ok(Self::new(rgba.width(), rgba.height(), rgba.into_raw()))
    }
}

impl std::fmt::Debug for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Layer({} x {})", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red at half opacity beside nothing.
    fn layer() -> Layer {
        Layer::new(2, 1, vec![255, 0, 0, 51, 0, 255, 0, 0])
    }

    #[test]
    fn a_layer_covers_a_picture_by_its_opacity() {
        let mut planes = vec![0.5; 6];
        assert_eq!(layer().paint_over(&mut planes, 2, 1), [0.2, 0.0]);
        // 0.5 * 0.8 + 0.2 of red, 0.5 * 0.8 of the others; the pixel beside it is as it was.
        assert_eq!(planes, [0.6, 0.5, 0.4, 0.5, 0.4, 0.5]);
    }

    #[test]
    fn a_layer_of_another_size_is_resized_and_what_is_transparent_lends_no_colour() {
        let mut planes = vec![0.0; 3];
        let [opacity] = layer().paint_over(&mut planes, 1, 1)[..] else { panic!("one pixel") };
        assert!((opacity - 0.1).abs() < 1e-6 && (planes[0] - 0.1).abs() < 1e-6, "{opacity} {planes:?}");
        assert_eq!(planes[1..], [0.0, 0.0], "the transparent pixel is green");
    }

    #[test]
    fn a_layer_is_the_same_after_json() {
        let json = serde_json::to_string(&layer()).expect("JSON");
        assert_eq!(serde_json::from_str::<Layer>(&json).expect("a layer"), layer());
        assert!(serde_json::from_str::<Layer>("\"bm90aGluZw==\"").is_err(), "base64 of no picture");
        assert!(!layer().is_transparent() && Layer::new(1, 1, vec![9, 9, 9, 0]).is_transparent());
    }
}
