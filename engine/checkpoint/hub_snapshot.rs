//! Repositories in the Hugging Face cache: `models--owner--name/snapshots/REVISION` with links into `blobs`.
//!
//! The layout is documented by `huggingface_hub` ("Manage huggingface_hub cache-system").

use std::fs;
use std::path::{Path, PathBuf};

use super::ModelSource;
use crate::files::{MODEL_EXTENSIONS, has_extension};

/// A commit id has 40 characters.
const MAX_REVISION: u64 = 1024;

/// One revision of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubSnapshot {
    /// `owner/name`.
    pub repository: String,
    pub folder: PathBuf,
}

impl HubSnapshot {
    /// The snapshot at a path: of a repository's folder, or of the `snapshots` in it, the one that is current.
    pub fn at(path: &Path) -> Option<Self> {
        // Links, `.` and `..` do not have the names that tell.
        Self::by_names(path).or_else(|| Self::by_names(&path.canonicalize().ok()?))
    }

    fn by_names(path: &Path) -> Option<Self> {
        if let Some(repository) = repository_name(path) {
            return Some(Self { repository, folder: current(&path.join("snapshots"))? });
        }
        if path.file_name()? == "snapshots" {
            return Some(Self { repository: repository_name(path.parent()?)?, folder: current(path)? });
        }
        Some(Self { repository: repository_of(path)?, folder: path.to_owned() })
    }

    /// The model in it: itself, unless it is not in diffusers layout and has a single weight file.
    pub(super) fn model(self) -> ModelSource {
        let files = fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut weights = files.filter(|path| has_extension(path, &MODEL_EXTENSIONS) && path.is_file());
        match (weights.next(), weights.next()) {
            (Some(file), None) if !self.folder.join("model_index.json").is_file() => ModelSource::File(file),
            _ => ModelSource::Folder(self.folder),
        }
    }
}

/// `owner/name` if this is the folder of a repository.
pub fn repository_name(folder: &Path) -> Option<String> {
    named(folder).filter(|_| folder.join("snapshots").is_dir())
}

/// The repository that the path of a snapshot names.
pub(super) fn repository_of(snapshot: &Path) -> Option<String> {
    let snapshots = snapshot.parent()?;
    (snapshots.file_name()? == "snapshots").then(|| named(snapshots.parent()?)).flatten()
}

fn named(folder: &Path) -> Option<String> {
    Some(folder.file_name()?.to_str()?.strip_prefix("models--")?.replace("--", "/"))
}

/// The snapshot of the main branch, or else the newest one.
fn current(snapshots: &Path) -> Option<PathBuf> {
    let main = snapshots.join("../refs/main");
    let is_short = fs::metadata(&main).is_ok_and(|file| file.is_file() && file.len() < MAX_REVISION);
    let main = is_short.then(|| fs::read_to_string(main).ok()).flatten();
    let main = main.map(|main| snapshots.join(main.trim()));
    // The file's contents must not lead out of the cache.
    let main = main.filter(|main| main.parent() == Some(snapshots) && main.is_dir());
    let newest = || {
        let all = fs::read_dir(snapshots).ok()?.flatten().filter(|entry| entry.path().is_dir());
        let newest = all.max_by_key(|entry| entry.metadata().and_then(|folder| folder.modified()).ok());
        newest.map(|entry| entry.path())
    };
    main.or_else(newest)
}
