//! A small picture that a loss compares with. The recipe holds it.

use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use burn::tensor::{Device, Tensor, TensorData};
use image::{DynamicImage, ExtendedColorType, imageops};
use serde::{Deserialize, Serialize};

use super::picture_file::{self, PictureFileError};

/// 8-bit RGB. In files it is a PNG in base64. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SmallPicture {
    width: u32,
    height: u32,
    rgb: Arc<[u8]>,
}

impl SmallPicture {
    /// # Panics
    /// If a side is 0 or `rgb` does not have `width * height * 3` bytes.
    pub fn new(width: u32, height: u32, rgb: impl Into<Arc<[u8]>>) -> Self {
        let rgb = rgb.into();
        assert!(width > 0 && height > 0, "a picture of {width} x {height}");
        assert_eq!(rgb.len(), width as usize * height as usize * 3, "{width} x {height} RGB");
        Self { width, height, rgb }
    }

    /// Reads a picture and scales it down so that its longer side has `side` pixels at most.
    ///
    /// # Errors
    /// If it is not a picture or too large.
    pub fn load(path: &Path, side: u32) -> Result<Self, PictureFileError> {
        let picture = picture_file::read(path)?;
        let (width, height) = (picture.width(), picture.height());
        let longer = width.max(height);
        let scaled = |length: u32| match longer > side {
            true => (f64::from(length) * f64::from(side) / f64::from(longer)).round().max(1.0) as u32,
            false => length,
        };
        let rgb = picture.to_rgb8();
        let small = imageops::resize(&rgb, scaled(width), scaled(height), imageops::FilterType::Triangle);
        Ok(Self::of_picture(&small.into()))
    }

    fn of_picture(picture: &DynamicImage) -> Self {
        Self::new(picture.width(), picture.height(), picture.to_rgb8().into_raw())
    }

    /// Its width and height.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// # Errors
    /// If a side is longer than `max`, as a clause.
    pub(super) fn expect_side(&self, max: u32) -> Result<(), String> {
        match self.width.max(self.height) <= max {
            true => Ok(()),
            false => Err(format!(
                "a picture of {} x {} is too large: {max} x {max} at most",
                self.width, self.height
            )),
        }
    }

    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// `[1, 3, height, width]` in 0..1.
    pub(super) fn to_tensor(&self, device: &Device) -> Tensor<4> {
        let (width, height) = (self.width as usize, self.height as usize);
        let values: Vec<f32> = self.rgb.iter().map(|value| f32::from(*value) / 255.0).collect();
        let rows = Tensor::<4>::from_data(TensorData::new(values, [1, height, width, 3]), device);
        rows.permute([0, 3, 1, 2])
    }

    fn to_png(&self) -> Vec<u8> {
        picture_file::to_png(&self.rgb, self.width, self.height, ExtendedColorType::Rgb8)
    }
}

impl From<SmallPicture> for String {
    fn from(picture: SmallPicture) -> Self {
        BASE64.encode(picture.to_png())
    }
}

impl TryFrom<String> for SmallPicture {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let png = BASE64.decode(text).map_err(|error| format!("the picture is not base64: {error}"))?;
        let picture = picture_file::from_bytes(&png).map_err(|error| error.to_string())?;
        Ok(Self::of_picture(&picture))
    }
}

impl std::fmt::Debug for SmallPicture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SmallPicture({} x {})", self.width, self.height)
    }
}
