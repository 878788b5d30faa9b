//! What a file is: [`classify`] goes by its name and size, [`FileSignature`] by its first bytes.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// Extensions of weight files.
pub const MODEL_EXTENSIONS: [&str; 4] = ["safetensors", "ckpt", "pt", "bin"];
/// Extensions of weight files that are pickles.
pub const PICKLE_EXTENSIONS: [&str; 4] = ["ckpt", "pt", "pth", "bin"];
/// Extensions of concept files (textual inversion).
pub const CONCEPT_EXTENSIONS: [&str; 3] = ["safetensors", "pt", "bin"];
/// Extensions of the pictures that can be start images.
pub const PICTURE_EXTENSIONS: [&str; 8] = ["png", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff"];

/// Concepts are smaller than this, models larger by far.
const MAX_CONCEPT_BYTES: u64 = 16 << 20;

/// What a path looks like before it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    Folder,
    /// A weight file that is small enough for a concept.
    Concept,
    /// A weight file.
    Model,
    /// A picture that may have a recipe inside.
    Png,
    /// A picture of another format, or anything else.
    Other,
}

/// Tells what a path is by its extension and its size; nothing is read.
pub fn classify(path: &Path) -> FileKind {
    if path.is_dir() {
        FileKind::Folder
    } else if is_concept_file(path) && fs::metadata(path).is_ok_and(|file| file.len() <= MAX_CONCEPT_BYTES) {
        FileKind::Concept
    } else if has_extension(path, &MODEL_EXTENSIONS) {
        FileKind::Model
    } else if has_extension(path, &["png"]) {
        FileKind::Png
    } else {
        FileKind::Other
    }
}

/// True if the name ends in one of the extensions, in upper or lower case.
pub fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension().is_some_and(|found| extensions.iter().any(|known| found.eq_ignore_ascii_case(known)))
}

/// True for the names that concept files have.
pub fn is_concept_file(path: &Path) -> bool {
    has_extension(path, &CONCEPT_EXTENSIONS) && !path.file_name().is_none_or(is_hidden)
}

pub(crate) fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// What the first bytes of a file show it to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSignature {
    Empty,
    /// The text file that Git keeps in place of a large file.
    LfsPointer,
    /// A web page or XML: what is saved when a download asks for a login.
    WebPage,
    Torch,
    Tar,
    Gguf,
    Picture,
    /// A plausible header length and the start of a JSON object.
    Safetensors,
    Unknown,
}

impl FileSignature {
    /// Reads the signature of the regular file at `path`.
    pub fn read(path: &Path) -> io::Result<Self> {
        // Opening a pipe would wait for its writer.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let mut bytes = Vec::new();
        File::open(path)?.take(512).read_to_end(&mut bytes)?;
        Ok(Self::from_bytes(&bytes))
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).trim_start().to_lowercase();
        match bytes {
            [] => Self::Empty,
            _ if bytes.starts_with(b"version https://git-lfs") => Self::LfsPointer,
            _ if ["<!doctype", "<html", "<?xml"].iter().any(|tag| text.starts_with(tag)) => Self::WebPage,
            [b'P', b'K', 3, 4, ..] => Self::Torch,
            // Read as the length of a safetensors header, these bytes would be far beyond its limit.
            [0x80, 2..=5, third, fourth, fifth, ..] if (*third, *fourth, *fifth) != (0, 0, 0) => Self::Torch,
            _ if bytes.get(257..262) == Some(b"ustar") => Self::Tar,
            _ if bytes.starts_with(b"GGUF") => Self::Gguf,
            [_, _, _, _, 0, 0, 0, 0, b'{', ..] => Self::Safetensors,
            _ if image::guess_format(bytes).is_ok() => Self::Picture,
            _ => Self::Unknown,
        }
    }

    /// Why it is not a weight file, as a clause; `None` if it may be one.
    pub fn unreadable_reason(self) -> Option<&'static str> {
        match self {
            Self::Empty => Some("it is empty"),
            Self::LfsPointer => Some("it is a Git LFS pointer, not the file itself"),
            Self::WebPage => Some("it is a web page, saved when the download asked for a login"),
            Self::Tar => Some("it is a tar archive, which PyTorch last wrote in 2017"),
            Self::Gguf => Some("it is a GGUF file, which other programs read"),
            Self::Picture => Some("it is a picture"),
            Self::Torch | Self::Safetensors | Self::Unknown => None,
        }
    }
}
