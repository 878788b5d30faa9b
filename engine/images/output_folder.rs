//! Saves finished pictures to the output folder, each under the next number.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Pixels;
use super::metadata::Provenance;
use super::png_chunks::{Texts, encode};
use crate::files::{PartFile, SaveError};

/// Saves a picture as `00001-{stem}.png`, with the number after the highest in the folder, and returns its
/// path. The folder is created if it is missing; nothing in it is ever overwritten, and two windows may save
/// at once. `stem` is usually the seed; letters that file names cannot have become `_`.
pub fn save_new(
    folder: &Path,
    stem: &str,
    pixels: &Pixels,
    provenance: &Provenance,
) -> Result<PathBuf, SaveError> {
    /// Each failed try is a success of another window, so this is never reached in practice.
    const MAX_TRIES: usize = 1000;

    let unusable = |source| SaveError::Folder { source, path: folder.to_owned() };
    fs::create_dir_all(folder).map_err(unusable)?;
    let texts = Texts::new(provenance, folder)?;
    let stem = file_stem(stem);
    let mut taken = folder.to_owned();
    for _ in 0..MAX_TRIES {
        let number = highest_number(folder, true).map_err(unusable)? + 1;
        // The name of the part file reserves the number. If it exists, another window was faster.
        let part = match PartFile::create(folder.join(format!(".{number:05}.part"))) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            other => other.map_err(unusable)?,
        };
        if highest_number(folder, false).map_err(unusable)? >= number {
            // Another window saved under it between the two checks.
            continue;
        }
        let path = folder.join(format!("{number:05}-{stem}.png"));
        let failed = |source| SaveError::Write { source, path: path.clone() };
        part.fill(|out| encode(out, pixels, &texts)).map_err(failed)?;
        match part.claim(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => taken = path,
            other => return other.map_err(failed).map(|()| path),
        }
    }
    Err(SaveError::Exists { path: taken })
}

/// The highest number of a saved picture or, on request, of one that is being saved.
fn highest_number(folder: &Path, with_parts: bool) -> io::Result<u64> {
    let mut highest = 0;
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        let digits = match name.strip_prefix('.').and_then(|part| part.strip_suffix(".part")) {
            Some(digits) if with_parts => Some(digits),
            Some(_) => None,
            None => name.strip_suffix(".png").and_then(|name| name.split_once('-')).map(|(n, _)| n),
        };
        // Eight digits are a date, not a number of ours.
        let number =
            digits.filter(|digits| (5..=7).contains(&digits.len())).and_then(|digits| digits.parse().ok());
        highest = highest.max(number.unwrap_or(0));
    }
    Ok(highest)
}

/// Replaces letters that some file systems do not allow in names.
fn file_stem(name: &str) -> String {
    const MAX_LETTERS: usize = 60;
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' };
    let stem: String = name.chars().take(MAX_LETTERS).map(allowed).collect();
    if stem.is_empty() { "picture".to_owned() } else { stem }
}
