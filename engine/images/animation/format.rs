//! The file formats of animations.

use std::path::Path;

use crate::files::SaveError;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AnimationFormat {
    #[default]
    Gif,
    Apng,
    Mp4,
    Sequence,
    ContactSheet,
}

impl AnimationFormat {
    pub const ALL: [Self; 5] = [Self::Gif, Self::Apng, Self::Mp4, Self::Sequence, Self::ContactSheet];

    /// Each format with its label, its hint and the extension of its files; a sequence is a folder.
    const TABLE: [(Self, &str, &str, Option<&str>); 5] = [
        (Self::Gif, "GIF", "Plays everywhere, with 256 colours per frame.", Some("gif")),
        (Self::Apng, "APNG", "Lossless, with the recipe inside. Plays in browsers.", Some("png")),
        (Self::Mp4, "MP4", "H.264: small, for video players and social media.", Some("mp4")),
        (Self::Sequence, "PNG sequence", "A folder of numbered pictures, for video editors.", None),
        (Self::ContactSheet, "Contact sheet", "One picture with all steps.", Some("png")),
    ];

    fn row(self) -> &'static (Self, &'static str, &'static str, Option<&'static str>) {
        Self::TABLE.iter().find(|(format, ..)| *format == self).expect("every format has its row")
    }

    pub fn label(self) -> &'static str {
        self.row().1
    }

    pub fn hint(self) -> &'static str {
        self.row().2
    }

    /// The extension of its files; `None` for a folder.
    pub fn extension(self) -> Option<&'static str> {
        self.row().3
    }

    /// The format that a path asks for by its extension. A `.png` is an APNG, and a path that ends in a
    /// separator is a sequence.
    pub fn from_path(path: &Path) -> Option<Self> {
        let name = path.as_os_str().as_encoded_bytes();
        if name.last().is_some_and(|&last| std::path::is_separator(last.into())) {
            return Some(Self::Sequence);
        }
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "gif" => Some(Self::Gif),
            "png" | "apng" => Some(Self::Apng),
            "mp4" => Some(Self::Mp4),
            _ => None,
        }
    }

    /// Refuses frames whose size (width, height) the format does not support.
    pub fn check(self, (width, height): (u32, u32), path: &Path) -> Result<(), SaveError> {
        let (short, long) = (width.min(height), width.max(height));
        let remedy = match self {
            Self::Gif if long > u32::from(u16::MAX) => {
                "GIF supports at most 65535 pixels per side: choose PNG"
            }
            // The limit of OpenH264, slightly below that of H.264 level 5.2.
            Self::Mp4 if long > 3840 || short > 2160 => {
                "MP4 supports at most 3840 x 2160, in portrait or landscape: show one picture per step, or choose PNG"
            }
            Self::Mp4 if short < 16 => "MP4 needs at least 16 pixels per side: choose GIF or PNG",
            _ => return Ok(()),
        };
        Err(SaveError::FrameSize { width, height, remedy, path: path.to_owned() })
    }
}
