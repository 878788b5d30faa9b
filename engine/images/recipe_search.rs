//! Finds the recipe inside a picture, and names the program whose settings cannot be read.
//!
//! PNG has text chunks for it. JPEG and WebP have Exif, in whose user comment A1111 writes the text that it writes to
//! the chunk `parameters` of a PNG.

use std::io::{self, BufRead, BufReader, Seek};
use std::path::{Path, PathBuf};

use image::{ImageDecoder, ImageFormat, ImageReader};

use super::metadata::{FoundRecipe, Provenance};
use super::parameters::{from_parameters, has_settings};
use super::start_image::MAX_FILE_BYTES;
use super::{exif, png_chunks};
use crate::files::{FileError, open};

pub(super) const OUR_KEYWORD: &str = "tidepool";
pub(super) const A1111_KEYWORD: &str = "parameters";
/// Of the chunk that has XMP in a PNG.
const XMP_KEYWORD: &str = "XML:com.adobe.xmp";

/// Why a file cannot be searched for a recipe, or why its recipe cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecipeReadError {
    #[error(transparent)]
    Open(#[from] FileError),
    #[error(
        "Recipes are read from PNG, JPEG and WebP only, and this is another kind of file: choose the original \
         picture: {}",
        path.display()
    )]
    OtherFormat { path: PathBuf },
    #[error(
        "The picture ends early or is damaged, and no recipe was found before that: copy it again: \
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

/// Reads the recipe in a picture: our JSON if it is there, else A1111's text. `Ok(None)` if there is neither.
pub fn read_recipe(path: &Path) -> Result<Option<FoundRecipe>, RecipeReadError> {
    let unreadable = |source| RecipeReadError::Unreadable { source, path: path.to_owned() };
    let (file, bytes) = open(path)?;
    let mut file = BufReader::new(file);
    let format = image::guess_format(file.fill_buf().map_err(unreadable)?);
    let mut search = RecipeSearch::default();
    let is_whole = match format {
        Ok(ImageFormat::Png) => png_chunks::search(&mut file, &mut search).map_err(unreadable)?,
        // The decoders read the whole file.
        Ok(ImageFormat::Jpeg | ImageFormat::WebP) if bytes > MAX_FILE_BYTES => true,
        Ok(format @ (ImageFormat::Jpeg | ImageFormat::WebP)) => search.take_metadata(file, format).is_ok(),
        _ => return Err(RecipeReadError::OtherFormat { path: path.to_owned() }),
    };
    if let Some(found) = search.ours.or(search.parameters) {
        return Ok(Some(found));
    }
    if let Some(program) = search.foreign {
        return Err(RecipeReadError::Foreign { program, path: path.to_owned() });
    }
    if !is_whole {
        return Err(RecipeReadError::Damaged { path: path.to_owned() });
    }
    Ok(None)
}

/// What was found in a picture, the first of each kind.
#[derive(Default)]
pub(super) struct RecipeSearch {
    ours: Option<FoundRecipe>,
    parameters: Option<FoundRecipe>,
    /// Another program whose settings were found and cannot be read.
    foreign: Option<&'static str>,
}

impl RecipeSearch {
    /// Whether nothing better can be found.
    pub fn is_complete(&self) -> bool {
        self.ours.is_some()
    }

    /// A text with its keyword in PNG.
    pub fn take(&mut self, keyword: &str, text: &str) {
        match keyword {
            OUR_KEYWORD if self.ours.is_none() => self.ours = Provenance::from_json(text),
            A1111_KEYWORD if !is_json(text) && self.parameters.is_none() => {
                self.parameters = from_parameters(text);
            }
            _ => self.take_foreign(foreign_program(keyword, text)),
        }
    }

    /// Exif data, in which most comments are not about a recipe.
    pub fn take_exif(&mut self, exif: &[u8]) {
        let texts = exif::texts(exif);
        if let Some(comment) = &texts.user_comment {
            if has_settings(comment) && !is_json(comment) {
                self.take(A1111_KEYWORD, comment);
            } else if is_swarm(comment) {
                self.take_foreign(Some("SwarmUI"));
            }
        }
        // In a WebP, ComfyUI writes "workflow:{...}" for the make of the camera and "prompt:{...}" for its model.
        for text in [&texts.make, &texts.model].into_iter().flatten() {
            if let Some((keyword, text)) = text.split_once(':') {
                self.take_foreign(foreign_program(keyword, text));
            }
        }
        if let Some(software) = &texts.software {
            self.take_foreign(foreign_program("Software", software));
        }
    }

    fn take_metadata(&mut self, file: impl BufRead + Seek, format: ImageFormat) -> image::ImageResult<()> {
        let mut decoder = ImageReader::with_format(file, format).into_decoder()?;
        if let Some(exif) = decoder.exif_metadata()? {
            self.take_exif(&exif);
        }
        if let Some(xmp) = decoder.xmp_metadata()? {
            self.take_foreign(foreign_program(XMP_KEYWORD, &String::from_utf8_lossy(&xmp)));
        }
        Ok(())
    }

    fn take_foreign(&mut self, program: Option<&'static str>) {
        self.foreign = self.foreign.or(program);
    }
}

/// The program that writes such a text, if it is known by it.
fn foreign_program(keyword: &str, text: &str) -> Option<&'static str> {
    let program = match keyword {
        A1111_KEYWORD if is_swarm(text) => "SwarmUI",
        A1111_KEYWORD if is_json(text) => "JSON, perhaps from Fooocus",
        "prompt" | "workflow" if is_json(text) => "ComfyUI",
        "invokeai_metadata" | "invokeai_graph" | "invokeai_workflow" | "sd-metadata" | "Dream" => "InvokeAI",
        "num_inference_steps" => "Easy Diffusion",
        "Software" if text.trim() == "NovelAI" => "NovelAI",
        XMP_KEYWORD if text.contains("Draw Things") || is_draw_things(text) => "Draw Things",
        _ => return None,
    };
    Some(program)
}

fn is_swarm(text: &str) -> bool {
    text.contains("sui_image_params")
}

/// Its settings are JSON in the user comment; "uc" is the negative prompt.
fn is_draw_things(xmp: &str) -> bool {
    xmp.contains("exif:UserComment") && ["\"uc\":", "&quot;uc&quot;:"].iter().any(|key| xmp.contains(key))
}

/// Whether a text is a JSON object; a prompt may begin with a brace as well.
fn is_json(text: &str) -> bool {
    let inside = text.trim_start().strip_prefix('{');
    inside.is_some_and(|inside| inside.trim_start().starts_with(['"', '}']))
}
