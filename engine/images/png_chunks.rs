//! PNG pictures with their recipe in text chunks.
//!
//! There are two: `tidepool` has our JSON, `parameters` has the text that A1111 and many others read. Recipes
//! are read from PNG files only, not from the Exif comments that some programs write to JPEG and WebP.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Write};
use std::path::{Path, PathBuf};

use super::Pixels;
use super::metadata::{FoundRecipe, Provenance};
use super::parameters::{from_parameters, to_parameters};
use crate::files::{FileError, open};
use crate::files::{IfExists, SaveError, write_atomically};

const OUR_KEYWORD: &str = "tidepool";
const A1111_KEYWORD: &str = "parameters";

/// Bytes of one text, compressed or not. The longest prompts take a hundredth of it.
const MAX_TEXT_BYTES: usize = 4 << 20;
/// Bytes of all texts of a file that are read.
const MAX_ALL_TEXT_BYTES: usize = 16 << 20;
/// Chunks of a file that are searched; a gigabyte of pixels in the usual 8 kB chunks has as many.
const MAX_CHUNKS: usize = 1 << 17;

/// Why a file cannot be searched for a recipe, or why its recipe cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecipeReadError {
    #[error(transparent)]
    Open(#[from] FileError),
    #[error(
        "This is not a PNG file, and recipes are read from PNG only: choose the original PNG: \
         {}",
        path.display()
    )]
    NotPng { path: PathBuf },
    #[error(
        "The PNG ends early or is damaged, and no recipe was found before that: copy it again: \
         {}",
        path.display()
    )]
    Damaged { path: PathBuf },
    #[error(
        "The file cannot be read ({source}): check the disk it is on: {}",
        path.display()
    )]
    Unreadable { source: io::Error, path: PathBuf },
    #[error(
        "The settings in this file are for another program ({program}): open it there and copy the prompt \
         and the seed by hand: {}",
        path.display()
    )]
    Foreign { program: &'static str, path: PathBuf },
}

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

/// Reads the recipe in a PNG: our JSON if it is there, else A1111's text. `Ok(None)` if there is neither.
pub fn read_recipe(path: &Path) -> Result<Option<FoundRecipe>, RecipeReadError> {
    let (file, _) = open(path)?;
    let search = search(BufReader::new(file)).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => RecipeReadError::NotPng { path: path.to_owned() },
        io::ErrorKind::UnexpectedEof => RecipeReadError::Damaged { path: path.to_owned() },
        _ => RecipeReadError::Unreadable { source: error, path: path.to_owned() },
    })?;
    if let Some(found) = search.ours.or(search.parameters) {
        return Ok(Some(found));
    }
    if let Some(program) = search.foreign {
        return Err(RecipeReadError::Foreign { program, path: path.to_owned() });
    }
    if search.damaged {
        return Err(RecipeReadError::Damaged { path: path.to_owned() });
    }
    Ok(None)
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

/// What was found in the chunks of a file, the first of each kind.
#[derive(Default)]
struct Search {
    ours: Option<FoundRecipe>,
    parameters: Option<FoundRecipe>,
    /// Another program whose settings were found and cannot be read.
    foreign: Option<&'static str>,
    damaged: bool,
}

/// Searches the chunks, reading texts and skipping pixels.
///
/// # Errors
/// `InvalidData` if it is not a PNG.
fn search(mut file: BufReader<File>) -> io::Result<Search> {
    let mut signature = [0; 8];
    file.read_exact(&mut signature)?;
    if signature != SIGNATURE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut search = Search { damaged: true, ..Search::default() };
    let mut bytes_left = MAX_ALL_TEXT_BYTES;
    for _ in 0..MAX_CHUNKS {
        let mut head = [0; 8];
        match file.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(search),
            other => other?,
        }
        let [l0, l1, l2, l3, kind @ ..] = head;
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        let length_with_crc = i64::from(length) + 4;
        if i32::try_from(length).is_err() {
            return Ok(search);
        }
        let is_text = matches!(&kind, b"tEXt" | b"zTXt" | b"iTXt");
        if &kind == b"IEND" {
            break;
        } else if is_text && length as usize <= MAX_TEXT_BYTES.min(bytes_left) {
            bytes_left -= length as usize;
            let mut chunk = head.to_vec();
            file.by_ref().take(length_with_crc as u64).read_to_end(&mut chunk)?;
            if let Some((keyword, text)) = parse(&chunk) {
                search.take(&keyword, &text);
            }
            if search.ours.is_some() {
                break;
            }
        } else {
            file.seek_relative(length_with_crc)?;
        }
    }
    search.damaged = false;
    Ok(search)
}

impl Search {
    fn take(&mut self, keyword: &str, text: &str) {
        let is_json = text.trim_start().starts_with('{');
        match keyword {
            OUR_KEYWORD if self.ours.is_none() => self.ours = Provenance::from_json(text),
            A1111_KEYWORD if is_json && text.contains("sui_image_params") => {
                self.foreign = Some("SwarmUI");
            }
            A1111_KEYWORD if is_json => self.foreign = Some("JSON, perhaps from Fooocus"),
            A1111_KEYWORD if self.parameters.is_none() => self.parameters = from_parameters(text),
            "prompt" | "workflow" if is_json => {
                self.foreign.get_or_insert("ComfyUI");
            }
            _ => {}
        }
    }
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
