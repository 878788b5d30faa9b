//! Finds weight files and model folders below a folder, within limits.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use engine::checkpoint::{HubSnapshot, repository_name};
use engine::files::{MODEL_EXTENSIONS, has_extension, is_shard};
use walkdir::WalkDir;

/// Nested folders. Programs nest models three or four deep.
const MAX_DEPTH: usize = 12;
/// Files and folders visited. A folder of models has a few thousand; a home folder has more.
const MAX_VISITED: usize = 200_000;

/// What was found below a folder.
#[derive(Debug, Default)]
pub struct FoundFiles {
    /// Weight files.
    pub files: Vec<PathBuf>,
    /// Models in diffusers layout.
    pub models: Vec<PathBuf>,
    /// The current snapshots of the repositories of a Hugging Face cache.
    pub snapshots: Vec<HubSnapshot>,
    /// A sentence about what was not scanned.
    pub problem: Option<String>,
}

/// Searches `root`, following links without looping. Hidden folders, pipes and devices are skipped.
/// `should_continue` is called for every file.
pub fn find_models(root: &Path, should_continue: &mut dyn FnMut() -> bool) -> FoundFiles {
    let mut found = FoundFiles::default();
    let mut seen = HashSet::new();
    let mut walk = WalkDir::new(root).follow_links(true).max_depth(MAX_DEPTH).sort_by_file_name().into_iter();
    let mut count = 0;
    while let Some(entry) = walk.next() {
        if !should_continue() {
            break;
        }
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                found.problem = found.problem.or_else(|| unreadable_reason(&error, root));
                continue;
            }
        };
        count += 1;
        if count > MAX_VISITED {
            found.problem = Some(format!(
                "Only the first {MAX_VISITED} files were scanned. Add a folder closer to the models: {}",
                root.display()
            ));
            break;
        }
        let path = entry.path();
        let is_hidden = entry.depth() > 0 && entry.file_name().as_encoded_bytes().starts_with(b".");
        if !entry.file_type().is_dir() {
            if entry.file_type().is_file() && !is_hidden && is_single_file(path) {
                found.files.push(path.to_owned());
            }
            continue;
        }
        // Each real folder is visited once, however many links lead to it.
        let is_new = path.canonicalize().is_ok_and(|real| seen.insert(real));
        if is_hidden || !is_new {
            walk.skip_current_dir();
        } else if repository_name(path).is_some() {
            found.snapshots.extend(HubSnapshot::at(path));
            walk.skip_current_dir();
        } else if path.join("model_index.json").is_file() {
            found.files.extend(files_in(path));
            found.models.push(path.to_owned());
            walk.skip_current_dir();
        }
    }
    found
}

/// Single-file checkpoints beside the parts in a model's folder.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> = entries.filter(|path| is_single_file(path) && path.is_file()).collect();
    files.sort();
    files
}

/// True for the name of a weight file that is not a part of sharded weights.
fn is_single_file(path: &Path) -> bool {
    has_extension(path, &MODEL_EXTENSIONS) && !is_shard(path)
}

/// The sentence for an error; `None` for link loops and broken links, which are ignored.
fn unreadable_reason(error: &walkdir::Error, root: &Path) -> Option<String> {
    let cause = error.io_error()?;
    let path = error.path().unwrap_or(root);
    match cause.kind() {
        _ if error.depth() > 0 && path.is_symlink() => None,
        // Deleted since its folder was read.
        io::ErrorKind::NotFound if error.depth() > 0 => None,
        io::ErrorKind::NotFound => Some(format!(
            "This folder is missing. Connect its disk, or remove it from the list: {}",
            path.display()
        )),
        _ => Some(format!("This cannot be read ({cause}). Check its permissions: {}", path.display())),
    }
}
