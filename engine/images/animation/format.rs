//! The kinds of file that a film can be.

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

    pub const fn label(self) -> &'static str {
        match self {
            Self::Gif => "GIF",
            Self::Apng => "APNG",
            Self::Mp4 => "MP4",
            Self::Sequence => "PNG sequence",
            Self::ContactSheet => "Contact sheet",
        }
    }

    pub const fn hint(self) -> &'static str {
        match self {
            Self::Gif => "Plays everywhere, in 256 colours a frame.",
            Self::Apng => "Every colour, and the recipe inside. Plays in browsers.",
            Self::Mp4 => "H.264: small, for video players and social media.",
            Self::Sequence => "A folder of numbered pictures, for video editors.",
            Self::ContactSheet => "One picture with all steps.",
        }
    }

    /// How names end; none for a folder.
    pub const fn extension(self) -> Option<&'static str> {
        match self {
            Self::Gif => Some("gif"),
            Self::Apng | Self::ContactSheet => Some("png"),
            Self::Mp4 => Some("mp4"),
            Self::Sequence => None,
        }
    }

    /// The film that a name asks for. A `.png` is a film that plays, and a name that ends as a folder's
    /// does is a sequence.
    pub fn of_path(path: &Path) -> Option<Self> {
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

    /// Refuses frames of a size (width, height) that the format cannot hold.
    pub fn check(self, (width, height): (u32, u32), path: &Path) -> Result<(), SaveError> {
        let (short, long) = (width.min(height), width.max(height));
        let remedy = match self {
            Self::Gif if long > u32::from(u16::MAX) => "GIF holds 65535 a side: choose PNG",
            // What OpenH264 encodes, which is a little less than level 5.2 of H.264 allows.
            Self::Mp4 if long > 3840 || short > 2160 => {
                "MP4 holds 3840 x 2160, upright or across: show one picture a step, or choose PNG"
            }
            Self::Mp4 if short < 16 => "MP4 begins at 16 a side: choose GIF or PNG",
            _ => return Ok(()),
        };
        Err(SaveError::FrameSize { width, height, remedy, path: path.to_owned() })
    }
}
