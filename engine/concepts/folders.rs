//! Finds the concept files of a folder, as A1111 and ComfyUI do: in its subfolders too.

use std::fs;
use std::path::{Path, PathBuf};

use crate::files::{is_concept_file, is_hidden};

/// Deeper than people sort their files.
const MAX_DEPTH: usize = 4;
/// More entries than anyone's folder of concepts has; the scan of a whole disk, given by mistake, ends here.
const MAX_ENTRIES: usize = 20_000;

/// The files of a folder and its subfolders that may be concepts, sorted by path. Entries that cannot be
/// read are skipped.
pub fn concept_files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut entries = 0;
    let mut folders = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            entries += 1;
            if entries > MAX_ENTRIES {
                break;
            }
            let path = entry.path();
            // Links are followed: people use them to share files between programs.
            let Ok(metadata) = fs::metadata(&path) else { continue };
            if metadata.is_dir() && depth < MAX_DEPTH && !is_hidden(&entry.file_name()) {
                folders.push((path, depth + 1));
            } else if metadata.is_file() && is_concept_file(&path) {
                files.push(path);
            }
        }
    }
    files.sort_unstable();
    files
}
