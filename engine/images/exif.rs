//! The texts in Exif data (CIPA DC-008): a TIFF file without pixels.

/// The texts that programs use for settings.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ExifTexts {
    pub make: Option<String>,
    pub model: Option<String>,
    pub software: Option<String>,
    pub user_comment: Option<String>,
}

const MAKE: u16 = 0x010f;
const MODEL: u16 = 0x0110;
const SOFTWARE: u16 = 0x0131;
/// Where the directory with the user comment is.
const EXIF_DIRECTORY: u16 = 0x8769;
const USER_COMMENT: u16 = 0x9286;

/// The texts of Exif data; what is damaged is not found.
pub(super) fn texts(exif: &[u8]) -> ExifTexts {
    // Some programs keep the name that Exif has in a JPEG.
    let bytes = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    let is_little_endian = match bytes.get(..4) {
        Some(b"II*\0") => true,
        Some(b"MM\0*") => false,
        _ => return ExifTexts::default(),
    };
    let tiff = Tiff { bytes, is_little_endian };
    let main = tiff.number(4, 4);
    let text = |tag| Some(plain(tiff.field(main?, tag)?));
    let comments = main.and_then(|main| tiff.number(tiff.entry(main, EXIF_DIRECTORY)? + 8, 4));
    ExifTexts {
        make: text(MAKE),
        model: text(MODEL),
        software: text(SOFTWARE),
        user_comment: comments.and_then(|at| tiff.field(at, USER_COMMENT)).map(comment),
    }
}

struct Tiff<'a> {
    bytes: &'a [u8],
    is_little_endian: bool,
}

impl<'a> Tiff<'a> {
    /// The number in 2 or 4 bytes.
    fn number(&self, at: usize, len: usize) -> Option<usize> {
        let bytes = self.bytes.get(at..at.checked_add(len)?)?.iter();
        let append = |number, &byte| number << 8 | usize::from(byte);
        Some(if self.is_little_endian { bytes.rev().fold(0, append) } else { bytes.fold(0, append) })
    }

    /// Where the entry of a field is in a directory. It has a tag, a type, a count, and the value or its place.
    fn entry(&self, directory: usize, tag: u16) -> Option<usize> {
        let count = self.number(directory, 2)?;
        let mut entries = (0..count).map(|index| directory + 2 + 12 * index);
        entries.find(|&entry| self.number(entry, 2) == Some(tag.into()))
    }

    /// The bytes of a field whose type has one byte per element: ASCII, undefined.
    fn field(&self, directory: usize, tag: u16) -> Option<&'a [u8]> {
        let entry = self.entry(directory, tag)?;
        let len = self.number(entry + 4, 4)?;
        let at = if len <= 4 { entry + 8 } else { self.number(entry + 8, 4)? };
        self.bytes.get(at..at.checked_add(len)?)
    }
}

/// A user comment, which begins with the name of its encoding in eight bytes.
fn comment(bytes: &[u8]) -> String {
    match bytes.split_at_checked(8) {
        Some((b"UNICODE\0", text)) => unicode(text),
        Some((b"ASCII\0\0\0" | b"\0\0\0\0\0\0\0\0", text)) => plain(text),
        _ => plain(bytes),
    }
}

/// UTF-16 in either byte order, which the standard leaves open and which need not be that of the numbers, or UTF-8.
fn unicode(bytes: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(bytes)
        && !text.contains('\0')
    {
        return text.to_owned();
    }
    let [big_endian, little_endian] = [u16::from_be_bytes, u16::from_le_bytes].map(|unit| {
        let units: Vec<u16> = bytes.as_chunks().0.iter().map(|pair| unit(*pair)).collect();
        String::from_utf16_lossy(&units)
    });
    // In the wrong order, a letter of ASCII is none.
    let ascii_count = |text: &str| text.chars().filter(char::is_ascii).count();
    let is_little_endian = ascii_count(&little_endian) > ascii_count(&big_endian);
    let text = if is_little_endian { little_endian } else { big_endian };
    text.trim_matches(['\0', '\u{feff}']).to_owned()
}

fn plain(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}
