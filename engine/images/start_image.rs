//! Start images for image to image, read from files of other programs.
//!
//! Any PNG, JPEG, WebP, GIF, BMP or TIFF becomes 8-bit RGB, upright, cropped and scaled to the recipe's size.
//! Transparent parts are blended onto white, as A1111 does by default. Colour profiles are not applied.

use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use image::codecs::{gif::GifDecoder, png::PngDecoder, webp::WebPDecoder};
use image::metadata::Orientation;
use image::{
    AnimationDecoder, DynamicImage, ImageBuffer, ImageDecoder, ImageFormat, ImageReader, Limits, Rgb,
    imageops,
};

use super::{Pixels, jpeg};
use crate::files::{FileError, open};

const MAX_SIDE: u32 = 8192;
const MAX_DECODED_BYTES: u64 = 128 << 20;
/// Some decoders read the whole file first.
pub(super) const MAX_FILE_BYTES: u64 = 256 << 20;

/// A picture that was read, with notes for the user.
#[derive(Clone, Debug, PartialEq)]
pub struct StartImage {
    pub pixels: Pixels,
    /// Sentences.
    pub notes: Vec<String>,
}

/// Why a file cannot be a start image.
#[derive(Debug, thiserror::Error)]
pub enum StartImageError {
    #[error(transparent)]
    Open(#[from] FileError),
    #[error(
        "This is not a picture that Tidepool can read: save it as PNG or JPEG and choose that: {}",
        path.display()
    )]
    NotAPicture { path: PathBuf },
    #[error(
        "The picture is too large: scale it down to at most {MAX_SIDE} pixels per side and 40 million pixels \
         in total: {}",
        path.display()
    )]
    TooLarge { path: PathBuf },
    #[error(
        "The picture is damaged or incomplete ({reason}): copy it again, or open it in another \
         program and save it again: {}",
        path.display()
    )]
    Damaged { reason: String, path: PathBuf },
    #[error(
        "Tidepool cannot read this kind of picture ({reason}): save it as PNG or JPEG and choose that: {}",
        path.display()
    )]
    Unsupported { reason: String, path: PathBuf },
    #[error(
        "The file cannot be read ({source}): check the disk it is on: {}",
        path.display()
    )]
    Unreadable { source: io::Error, path: PathBuf },
}

/// Reads a picture. Its format is detected from its contents, not its name.
pub fn load(path: &Path) -> Result<StartImage, StartImageError> {
    let refused = |error| StartImageError::from_image(error, path);
    let (file, bytes) = open(path)?;
    if bytes > MAX_FILE_BYTES {
        return Err(StartImageError::TooLarge { path: path.to_owned() });
    }
    let mut reader = ImageReader::new(BufReader::new(file))
        .with_guessed_format()
        .map_err(|source| StartImageError::Unreadable { source, path: path.to_owned() })?;
    let Some(format) = reader.format() else {
        return Err(StartImageError::NotAPicture { path: path.to_owned() });
    };
    if format == ImageFormat::Jpeg && !is_whole_jpeg(path)? {
        return Err(StartImageError::Damaged { reason: "it ends early".into(), path: path.to_owned() });
    }
    reader.limits(limits());
    let mut decoder = reader.into_decoder().map_err(refused)?;
    limits().reserve(decoder.total_bytes()).map_err(refused)?;
    // A picture with a bad Exif block is still a picture.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(refused)?;
    picture.apply_orientation(orientation);
    if picture.width() == 0 || picture.height() == 0 {
        return Err(StartImageError::Damaged { reason: "it has no pixels".into(), path: path.to_owned() });
    }

    let mut notes = Vec::new();
    if is_animated(path, format) {
        notes.push("This is an animation: its first frame is used".to_owned());
    }
    let (pixels, was_transparent) = blend_onto_white(picture);
    if was_transparent {
        notes.push("Its transparent parts were blended onto white".to_owned());
    }
    Ok(StartImage { pixels, notes })
}

/// A part of a picture, in pixels from its top left corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CropRect {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

/// The largest centred part of `source` with the aspect ratio of `target`; both are (width, height), at least
/// 1 each.
pub fn crop_to_fill(source: (u32, u32), target: (u32, u32)) -> CropRect {
    let (source_width, source_height) = source;
    // side * numerator / denominator, rounded.
    let scaled = |side: u32, numerator: u32, denominator: u32| {
        let (side, numerator, denominator) = (u64::from(side), u64::from(numerator), u64::from(denominator));
        ((2 * side * numerator + denominator) / (2 * denominator)).max(1) as u32
    };
    let wide = u64::from(source_width) * u64::from(target.1) > u64::from(source_height) * u64::from(target.0);
    let (width, height) = if wide {
        (scaled(source_height, target.0, target.1).min(source_width), source_height)
    } else {
        (source_width, scaled(source_width, target.1, target.0).min(source_height))
    };
    CropRect { x: (source_width - width) / 2, y: (source_height - height) / 2, width, height }
}

/// Crops and scales a picture to exactly `width` x `height`. A picture of this size is returned unchanged.
pub fn crop_and_resize(pixels: &Pixels, width: u32, height: u32) -> Pixels {
    let cropped = crop(pixels, crop_to_fill((pixels.width, pixels.height), (width, height)));
    if (cropped.width, cropped.height) == (width, height) {
        return cropped;
    }
    let resized = imageops::resize(&view(&cropped), width, height, imageops::FilterType::Lanczos3);
    Pixels::new(width, height, resized.into_raw())
}

fn crop(pixels: &Pixels, part: CropRect) -> Pixels {
    let row_bytes = pixels.width as usize * 3;
    let (left, row_part) = (part.x as usize * 3, part.width as usize * 3);
    let rows = pixels.rgb.chunks_exact(row_bytes).skip(part.y as usize).take(part.height as usize);
    let rgb = rows.flat_map(|row| &row[left..left + row_part]).copied().collect();
    Pixels::new(part.width, part.height, rgb)
}

/// Converts a picture to `[3, height, width]` in -1..1, the input of the VAE encoder.
pub fn to_signed_planes(pixels: &Pixels) -> Vec<f32> {
    let signed = |value: &u8| f32::from(*value) / 127.5 - 1.0;
    (0..3).flat_map(|plane| pixels.rgb.iter().skip(plane).step_by(3).map(signed)).collect()
}

/// The picture as an `image` crate buffer, without a copy.
pub(super) fn view(pixels: &Pixels) -> ImageBuffer<Rgb<u8>, &[u8]> {
    ImageBuffer::from_raw(pixels.width, pixels.height, pixels.rgb.as_slice())
        .expect("Pixels have as many bytes as their sides say")
}

fn limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    limits
}

/// The decoder itself does not tell; those of the other formats do.
fn is_whole_jpeg(path: &Path) -> Result<bool, StartImageError> {
    let mut bytes = Vec::new();
    let (file, _) = open(path)?;
    file.take(MAX_FILE_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|source| StartImageError::Unreadable { source, path: path.to_owned() })?;
    Ok(jpeg::is_whole(&bytes))
}

/// Whether there are more frames after the first. If that cannot be detected, the answer is no.
fn is_animated(path: &Path, format: ImageFormat) -> bool {
    let Ok((file, _)) = open(path) else { return false };
    let file = BufReader::new(file);
    match format {
        ImageFormat::Gif => GifDecoder::new(file).is_ok_and(|mut decoder| {
            decoder.set_limits(limits()).is_ok() && decoder.into_frames().take(2).flatten().count() == 2
        }),
        ImageFormat::Png => {
            PngDecoder::with_limits(file, limits()).is_ok_and(|decoder| decoder.is_apng().unwrap_or(false))
        }
        ImageFormat::WebP => WebPDecoder::new(file).is_ok_and(|decoder| decoder.has_animation()),
        _ => false,
    }
}

/// The picture blended onto white, and whether any of it was transparent.
fn blend_onto_white(picture: DynamicImage) -> (Pixels, bool) {
    let (width, height) = (picture.width(), picture.height());
    if !picture.color().has_alpha() {
        return (Pixels::new(width, height, picture.into_rgb8().into_raw()), false);
    }
    let rgba = picture.into_rgba8();
    let was_transparent = rgba.pixels().any(|pixel| pixel.0[3] < 255);
    (Pixels::from_rgba(width, height, &rgba), was_transparent)
}

impl StartImageError {
    fn from_image(error: image::ImageError, path: &Path) -> Self {
        let path = path.to_owned();
        match error {
            image::ImageError::Limits(_) => Self::TooLarge { path },
            image::ImageError::Unsupported(error) => Self::Unsupported { reason: error.to_string(), path },
            image::ImageError::IoError(source) => match source.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
                    Self::Damaged { reason: source.to_string(), path }
                }
                _ => Self::Unreadable { source, path },
            },
            other => Self::Damaged { reason: other.to_string(), path },
        }
    }
}
