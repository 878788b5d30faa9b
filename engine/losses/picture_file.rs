//! Pictures that a guide needs, read from files.

use std::io::{BufReader, Cursor};
use std::path::{Path, PathBuf};

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageReader, Limits};

use crate::files::open;

/// The largest picture that is read.
const MAX_PIXELS: u64 = 16_000_000;
const MAX_DECODED_BYTES: u64 = 8 * MAX_PIXELS;

/// Why a picture for a guide cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PictureFileError {
    /// The sentence of the file.
    #[error("{0}")]
    Open(String),
    #[error("This is not a picture that Tidepool can read ({reason}): save it as PNG and choose that: {}", path.display())]
    NotAPicture { reason: String, path: PathBuf },
    #[error("The picture is too large: scale it down to at most 16 million pixels: {}", path.display())]
    TooLarge { path: PathBuf },
    #[error("This mask is black everywhere, so it guides nothing: paint white what the guide should reach{}", file(path.as_deref()))]
    BlackMask { path: Option<PathBuf> },
}

/// The path at the end of a sentence.
fn file(path: Option<&Path>) -> String {
    path.map(|path| format!(": {}", path.display())).unwrap_or_default()
}

/// Reads a picture of any kind that is known by its first bytes.
pub(crate) fn read(path: &Path) -> Result<DynamicImage, PictureFileError> {
    let (file, _) = open(path).map_err(|error| PictureFileError::Open(error.to_string()))?;
    decode(ImageReader::new(BufReader::new(file)), path)
}

/// The same of bytes in memory.
pub(crate) fn from_bytes(bytes: &[u8]) -> Result<DynamicImage, PictureFileError> {
    decode(ImageReader::new(Cursor::new(bytes)), Path::new("(in a recipe)"))
}

fn decode(
    reader: ImageReader<impl std::io::BufRead + std::io::Seek>,
    path: &Path,
) -> Result<DynamicImage, PictureFileError> {
    let refused = |error: image::ImageError| match error {
        image::ImageError::Limits(_) => PictureFileError::TooLarge { path: path.to_owned() },
        other => PictureFileError::NotAPicture { reason: other.to_string(), path: path.to_owned() },
    };
    let mut reader = reader.with_guessed_format().map_err(|error| refused(error.into()))?;
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(refused)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(PictureFileError::TooLarge { path: path.to_owned() });
    }
    DynamicImage::from_decoder(decoder).map_err(refused)
}

/// As small a PNG as there is without loss: recipes hold it.
///
/// # Panics
/// If the pixels are not `width * height` of this kind.
pub(crate) fn to_png(pixels: &[u8], width: u32, height: u32, kind: ExtendedColorType) -> Vec<u8> {
    let mut png = Vec::new();
    PngEncoder::new_with_quality(Cursor::new(&mut png), CompressionType::Best, FilterType::Adaptive)
        .write_image(pixels, width, height, kind)
        .expect("a vector takes every byte");
    png
}
