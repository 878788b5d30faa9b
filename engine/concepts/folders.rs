//! The concept files of a folder, as A1111 and ComfyUI look for them: in folders of it as well.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::CONCEPT_FILES;

/// Deeper than people sort their files.
const MAX_DEPTH: usize = 4;
/// More than anybody has; a whole disk given by mistake ends here.
const MAX_LOOKED_AT: usize = 20_000;

/// True for names that concept files have; what is inside is found out by reading.
pub fn is_concept_file(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default();
    let is_hidden = path.file_name().is_none_or(is_hidden);
    !is_hidden && CONCEPT_FILES.iter().any(|known| ending.eq_ignore_ascii_case(known))
}

/// Files in the folder and the folders in it that may be concepts, in order of their paths. What
/// cannot be looked into is passed over.
pub fn concept_files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut looked_at = 0;
    let mut open = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            looked_at += 1;
            if looked_at > MAX_LOOKED_AT {
                break;
            }
            let path = entry.path();
            // Links are followed, as people share files between programs by them.
            let Ok(about) = fs::metadata(&path) else { continue };
            if about.is_dir() && depth < MAX_DEPTH && !is_hidden(&entry.file_name()) {
                open.push((path, depth + 1));
            } else if about.is_file() && is_concept_file(&path) {
                files.push(path);
            }
        }
    }
    files.sort_unstable();
    files
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}
