//! Pictures of other makers, brought into the shape that image to image begins from.
//!
//! Any PNG, JPEG, WebP, GIF, BMP or TIFF becomes 8-bit RGB, upright, cropped and scaled to the
//! recipe's size. What is not opaque is laid on white, as A1111 does by default. Colour profiles
//! are not applied.

use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use image::codecs::{gif::GifDecoder, png::PngDecoder, webp::WebPDecoder};
use image::metadata::Orientation;
use image::{
    AnimationDecoder, DynamicImage, ImageBuffer, ImageDecoder, ImageFormat, ImageReader, Limits, Rgb,
    imageops,
};

use super::Pixels;
use crate::files::{FileError, open};

const MAX_SIDE: u32 = 8192;
const MAX_DECODED_BYTES: u64 = 128 << 20;
/// Some decoders take in the whole file first.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// A picture that was read, and what to tell the user about it.
#[derive(Clone, Debug, PartialEq)]
pub struct StartImage {
    pub pixels: Pixels,
    /// Sentences.
    pub notes: Vec<String>,
}

/// Why a file is no start image.
#[derive(Debug, thiserror::Error)]
pub enum StartImageError {
    #[error(transparent)]
    Open(#[from] FileError),
    #[error(
        "This is no picture that can be read here: save it as PNG or JPEG and choose that: {}",
        path.display()
    )]
    NotAPicture { path: PathBuf },
    #[error(
        "The picture is too large: scale it down to at most {MAX_SIDE} pixels a side and 40 \
         million in all: {}",
        path.display()
    )]
    TooLarge { path: PathBuf },
    #[error(
        "The picture is damaged or incomplete ({reason}): copy it again, or open it in another \
         program and save it anew: {}",
        path.display()
    )]
    Damaged { reason: String, path: PathBuf },
    #[error(
        "This kind of picture cannot be read here ({reason}): save it as PNG or JPEG and choose \
         that: {}",
        path.display()
    )]
    Unsupported { reason: String, path: PathBuf },
    #[error(
        "The file cannot be read ({source}): check the disk it is on: {}",
        path.display()
    )]
    Unreadable { source: io::Error, path: PathBuf },
}

/// Reads a picture, whatever its name ends in: the contents say what it is.
pub fn load(path: &Path) -> Result<StartImage, StartImageError> {
    let refused = |error| StartImageError::of(error, path);
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
        notes.push("It is an animation: its first picture is used".to_owned());
    }
    let (pixels, had_alpha) = on_white(picture);
    if had_alpha {
        notes.push("Its transparent parts were laid on white".to_owned());
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

/// The largest part in the middle of `source` that has the shape of `target`; both are
/// (width, height), at least 1 each.
pub fn crop_to_fill(source: (u32, u32), target: (u32, u32)) -> CropRect {
    let (source_width, source_height) = source;
    // Rounded; the quotient never exceeds the side it is taken of.
    let part = |side: u32, of: u32, per: u32| {
        let (side, of, per) = (u64::from(side), u64::from(of), u64::from(per));
        ((2 * side * of + per) / (2 * per)).max(1) as u32
    };
    let wide = u64::from(source_width) * u64::from(target.1) > u64::from(source_height) * u64::from(target.0);
    let (width, height) = if wide {
        (part(source_height, target.0, target.1).min(source_width), source_height)
    } else {
        (source_width, part(source_width, target.1, target.0).min(source_height))
    };
    CropRect { x: (source_width - width) / 2, y: (source_height - height) / 2, width, height }
}

/// The middle of the picture at exactly `width` x `height`. One that has this size already passes
/// through untouched.
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

/// `[3, height, width]` in -1..1, as the encoder of the VAE takes it.
pub fn to_signed_planes(pixels: &Pixels) -> Vec<f32> {
    let signed = |value: &u8| f32::from(*value) / 127.5 - 1.0;
    (0..3).flat_map(|plane| pixels.rgb.iter().skip(plane).step_by(3).map(signed)).collect()
}

/// The picture as the `image` crate sees it, without a copy.
pub(super) fn view(pixels: &Pixels) -> ImageBuffer<Rgb<u8>, &[u8]> {
    ImageBuffer::from_raw(pixels.width, pixels.height, pixels.rgb.as_slice())
        .expect("Pixels are as many as their sides say")
}

fn limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    limits
}

/// Whether there are more pictures behind the first. What cannot be told is not animated.
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

/// The picture without its alpha, and whether that made a difference.
fn on_white(picture: DynamicImage) -> (Pixels, bool) {
    let (width, height) = (picture.width(), picture.height());
    if !picture.color().has_alpha() {
        return (Pixels::new(width, height, picture.into_rgb8().into_raw()), false);
    }
    let rgba = picture.into_rgba8();
    let had_alpha = rgba.pixels().any(|pixel| pixel.0[3] < 255);
    (Pixels::from_rgba(width, height, &rgba), had_alpha)
}

impl StartImageError {
    fn of(error: image::ImageError, path: &Path) -> Self {
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
