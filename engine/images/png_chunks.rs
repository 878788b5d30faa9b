//! PNG pictures with their recipe in text chunks.
//!
//! There are two: `tidepool` has our JSON, `parameters` has the text that A1111 and many others read.

use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::Pixels;
use super::metadata::Provenance;
use super::parameters::to_parameters;
use super::recipe_search::{A1111_KEYWORD, OUR_KEYWORD, RecipeSearch};
use crate::files::{IfExists, SaveError, write_atomically};

/// Bytes of one text, compressed or not. The longest prompts take a hundredth of it.
const MAX_TEXT_BYTES: usize = 4 << 20;
/// Bytes of all texts of a file that are read.
const MAX_ALL_TEXT_BYTES: usize = 16 << 20;
/// Chunks of a file that are searched; a gigabyte of pixels in the usual 8 kB chunks has as many.
const MAX_CHUNKS: usize = 1 << 17;

/// Saves a picture with its recipe. An existing file is an error.
pub fn write_png(path: &Path, pixels: &Pixels, provenance: &Provenance) -> Result<(), SaveError> {
    let texts = Texts::new(provenance, path)?;
    write_atomically(path, IfExists::Refuse, |out| encode(out, pixels, &texts))
}

/// Saves a picture with its recipe and replaces an existing file: for a user who has confirmed that.
pub fn replace_png(path: &Path, pixels: &Pixels, provenance: &Provenance) -> Result<(), SaveError> {
    let texts = Texts::new(provenance, path)?;
    write_atomically(path, IfExists::Replace, |out| encode(out, pixels, &texts))
}

/// The contents of the text chunks.
pub(super) struct Texts {
    ours: String,
    parameters: String,
}

impl Texts {
    pub fn new(provenance: &Provenance, path: &Path) -> Result<Self, SaveError> {
        let texts = Self { ours: provenance.to_json(), parameters: to_parameters(provenance) };
        // Longer texts could not be read back.
        if texts.ours.len().max(texts.parameters.len()) > MAX_TEXT_BYTES - 1024 {
            return Err(SaveError::LongText { path: path.to_owned() });
        }
        Ok(texts)
    }
}

pub(super) fn encode(out: impl Write, pixels: &Pixels, texts: &Texts) -> io::Result<()> {
    let mut writer = encoder(out, (pixels.width, pixels.height), texts)?.write_header().map_err(plain)?;
    writer.write_image_data(&pixels.rgb).map_err(plain)?;
    writer.finish().map_err(plain)
}

/// An encoder for pictures of `size` (width, height) that writes the texts.
pub(super) fn encoder<W: Write>(
    out: W,
    size: (u32, u32),
    texts: &Texts,
) -> io::Result<png::Encoder<'static, W>> {
    let mut encoder = png::Encoder::new(out, size.0, size.1);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_source_srgb(png::SrgbRenderingIntent::Perceptual);
    encoder.add_itxt_chunk(OUR_KEYWORD.to_owned(), texts.ours.clone()).map_err(plain)?;
    let (keyword, text) = (A1111_KEYWORD.to_owned(), texts.parameters.clone());
    // As PIL, and so A1111, does: a plain text chunk if all letters are Latin-1.
    if text.chars().all(|letter| u8::try_from(letter).is_ok()) {
        encoder.add_text_chunk(keyword, text).map_err(plain)?;
    } else {
        encoder.add_itxt_chunk(keyword, text).map_err(plain)?;
    }
    Ok(encoder)
}

pub(super) fn plain(error: png::EncodingError) -> io::Error {
    match error {
        png::EncodingError::IoError(error) => error,
        other => io::Error::other(other),
    }
}

/// Searches the chunks of a PNG for a recipe, reading texts and skipping pixels. `false` if the file ends early or is
/// damaged.
pub(super) fn search(file: &mut (impl Read + Seek), found: &mut RecipeSearch) -> io::Result<bool> {
    file.seek(SeekFrom::Start(SIGNATURE.len() as u64))?;
    let mut bytes_left = MAX_ALL_TEXT_BYTES;
    for _ in 0..MAX_CHUNKS {
        let mut head = [0; 8];
        match file.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            other => other?,
        }
        let [l0, l1, l2, l3, kind @ ..] = head;
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        let length_with_crc = i64::from(length) + 4;
        if i32::try_from(length).is_err() {
            return Ok(false);
        }
        let is_text = matches!(&kind, b"tEXt" | b"zTXt" | b"iTXt" | b"eXIf");
        if &kind == b"IEND" {
            break;
        } else if is_text && length as usize <= MAX_TEXT_BYTES.min(bytes_left) {
            bytes_left -= length as usize;
            let mut chunk = head.to_vec();
            file.by_ref().take(length_with_crc as u64).read_to_end(&mut chunk)?;
            if &kind == b"eXIf" {
                found.take_exif(&chunk[head.len()..]);
            } else if let Some((keyword, text)) = parse(&chunk) {
                found.take(&keyword, &text);
            }
            if found.is_complete() {
                break;
            }
        } else {
            file.seek_relative(length_with_crc)?;
        }
    }
    Ok(true)
}

const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";
/// One grey pixel.
const HEADER: &[u8] = b"\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0\x3a\x7e\x9b\x55";
const PICTURE: &[u8] = b"\0\0\0\0IDAT\x35\xaf\x06\x1e";

/// Keyword and text of a text chunk, given from its length to its checksum; `None` if it is damaged.
///
/// The chunk is put into a tiny PNG for the `png` crate, which knows the three kinds with their encodings,
/// checksums and compression, so that neither the real pixels nor other chunks matter.
fn parse(chunk: &[u8]) -> Option<(String, String)> {
    let alone = [&SIGNATURE, HEADER, chunk, PICTURE].concat();
    let limits = png::Limits { bytes: 2 * MAX_TEXT_BYTES };
    let reader = png::Decoder::new_with_limits(Cursor::new(alone), limits).read_info().ok()?;
    let info = reader.info();
    if let Some(text) = info.uncompressed_latin1_text.first() {
        return Some((text.keyword.clone(), text.text.clone()));
    }
    if let Some(text) = info.compressed_latin1_text.first() {
        let mut text = text.clone();
        text.decompress_text_with_limit(MAX_TEXT_BYTES).ok()?;
        return Some((text.keyword.clone(), text.get_text().ok()?));
    }
    let mut text = info.utf8_text.first()?.clone();
    text.decompress_text_with_limit(MAX_TEXT_BYTES).ok()?;
    Some((text.keyword.clone(), text.get_text().ok()?))
}
