//! What a file is by its first bytes, before anything of it is believed.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// What a file begins like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSignature {
    Empty,
    /// The note that Git keeps where the large file should be.
    LfsPointer,
    /// What a browser saves when a download asks for a login.
    WebPage,
    Torch,
    Tar,
    Gguf,
    Picture,
    /// As safetensors does: a plausible length, then an object.
    Safetensors,
    Unknown,
}

impl FileSignature {
    /// Of the file at `path`, which must be a regular one.
    pub fn of(path: &Path) -> io::Result<Self> {
        // A pipe would be waited for.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let mut bytes = Vec::new();
        File::open(path)?.take(512).read_to_end(&mut bytes)?;
        Ok(Self::of_bytes(&bytes))
    }

    fn of_bytes(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).trim_start().to_lowercase();
        match bytes {
            [] => Self::Empty,
            _ if bytes.starts_with(b"version https://git-lfs") => Self::LfsPointer,
            _ if text.starts_with("<!doctype") || text.starts_with("<html") => Self::WebPage,
            [b'P', b'K', 3, 4, ..] => Self::Torch,
            // The length of a safetensors header that began so would be beyond all bounds.
            [0x80, 2..=5, third, fourth, fifth, ..] if (*third, *fourth, *fifth) != (0, 0, 0) => Self::Torch,
            _ if bytes.get(257..262) == Some(b"ustar") => Self::Tar,
            _ if bytes.starts_with(b"GGUF") => Self::Gguf,
            _ if bytes.starts_with(b"\x89PNG") || bytes.starts_with(b"\xff\xd8\xff") => Self::Picture,
            [_, _, _, _, 0, 0, 0, 0, b'{', ..] => Self::Safetensors,
            _ => Self::Unknown,
        }
    }

    /// Why there are no weights to be read in it, as half a sentence.
    pub fn unreadable_reason(self) -> Option<&'static str> {
        match self {
            Self::Empty => Some("it is empty"),
            Self::LfsPointer => Some("it is a Git LFS pointer, not the file itself"),
            Self::WebPage => Some("it is a web page, as comes when a download asks for a login"),
            Self::Tar => Some("it is a tar archive, which PyTorch last wrote in 2017"),
            Self::Gguf => Some("it is a GGUF file, which other programs read"),
            Self::Picture => Some("it is a picture"),
            Self::Torch | Self::Safetensors | Self::Unknown => None,
        }
    }
}
