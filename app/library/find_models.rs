//! Finds weight files and model folders below a folder, without getting lost in it.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use engine::files::{MODEL_EXTENSIONS, has_extension};
use walkdir::WalkDir;

use super::hub_cache;

/// Folders within folders; programs sort models three or four deep.
const MAX_DEPTH: usize = 12;
/// Files and folders looked at. A disk of models has a few thousand; a home folder has more.
const MAX: usize = 200_000;

/// What lies below a folder.
#[derive(Debug, Default)]
pub struct FoundFiles {
    /// Weight files.
    pub files: Vec<PathBuf>,
    /// Models in diffusers layout.
    pub models: Vec<PathBuf>,
    /// Repositories as the Hugging Face cache keeps them.
    pub repositories: Vec<(String, PathBuf)>,
    /// A sentence about what was not looked at.
    pub problem: Option<String>,
}

/// Walks through `root`, following links but never in a circle. Hidden folders, pipes and devices are
/// passed by. `go_on` is asked at every file.
pub fn walk(root: &Path, go_on: &mut dyn FnMut() -> bool) -> FoundFiles {
    let mut walked = FoundFiles::default();
    let mut seen = HashSet::new();
    let mut walk = WalkDir::new(root).follow_links(true).max_depth(MAX_DEPTH).sort_by_file_name().into_iter();
    let mut count = 0;
    while let Some(entry) = walk.next() {
        if !go_on() {
            break;
        }
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                walked.problem = walked.problem.or_else(|| unreadable_reason(&error, root));
                continue;
            }
        };
        count += 1;
        if count > MAX {
            walked.problem = Some(format!(
                "Only the first {MAX} files were looked at. Add a folder nearer to the models: {}",
                root.display()
            ));
            break;
        }
        let path = entry.path();
        let is_hidden = entry.depth() > 0 && entry.file_name().as_encoded_bytes().starts_with(b".");
        if !entry.file_type().is_dir() {
            if entry.file_type().is_file() && !is_hidden && is_whole(path) {
                walked.files.push(path.to_owned());
            }
            continue;
        }
        // Two links to one folder: once is enough, and a web of them would never end.
        let is_new = path.canonicalize().is_ok_and(|real| seen.insert(real));
        if is_hidden || !is_new {
            walk.skip_current_dir();
        } else if let Some(name) = hub_cache::name_of(path) {
            walked.repositories.push((name, path.to_owned()));
            walk.skip_current_dir();
        } else if path.join("model_index.json").is_file() {
            walked.files.extend(files_in(path));
            walked.models.push(path.to_owned());
            walk.skip_current_dir();
        }
    }
    walked
}

/// One-file checkpoints that lie in a model's folder beside its parts.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> = entries.filter(|path| is_whole(path) && path.is_file()).collect();
    files.sort();
    files
}

/// A weight file by its name, and not one of several: `model-00001-of-00002.safetensors`.
fn is_whole(path: &Path) -> bool {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let is_number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_shard = stem.rsplit_once("-of-").is_some_and(|(before, count)| {
        is_number(count) && before.rsplit_once('-').is_some_and(|(_, number)| is_number(number))
    });
    has_extension(path, &MODEL_EXTENSIONS) && !is_shard
}

/// What of an error the user should know: not of a circle, nor of a link to nowhere.
fn unreadable_reason(error: &walkdir::Error, root: &Path) -> Option<String> {
    let cause = error.io_error()?;
    let path = error.path().unwrap_or(root);
    match cause.kind() {
        _ if error.depth() > 0 && path.is_symlink() => None,
        // Gone since its folder was read.
        io::ErrorKind::NotFound if error.depth() > 0 => None,
        io::ErrorKind::NotFound => Some(format!(
            "This folder is gone. Plug in its disk, or remove it from the list: {}",
            path.display()
        )),
        _ => Some(format!("This cannot be looked into ({cause}). Check its permissions: {}", path.display())),
    }
}
