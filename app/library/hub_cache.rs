//! The Hugging Face cache: `models--owner--name/snapshots/REVISION` with links into `blobs`.
//!
//! Its layout and environment variables are documented by `huggingface_hub` ("Manage huggingface_hub
//! cache-system").

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// A commit id has 40 characters.
const MAX_REVISION: u64 = 1024;

/// The folder of this machine's cache. `variable` reads an environment variable.
pub fn hub_cache(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || directories::UserDirs::new().map(|user| user.home_dir().join(".cache"));
    set("HF_HUB_CACHE")
        .or_else(|| set("HUGGINGFACE_HUB_CACHE"))
        .or_else(|| Some(set("HF_HOME")?.join("hub")))
        .or_else(|| Some(set("XDG_CACHE_HOME").or_else(home)?.join("huggingface/hub")))
}

/// `owner/name` if this is the folder of a model repository.
pub fn name_of(folder: &Path) -> Option<String> {
    let name = folder.file_name()?.to_str()?.strip_prefix("models--")?.replace("--", "/");
    folder.join("snapshots").is_dir().then_some(name)
}

/// The snapshot of a repository's main branch, or else the newest one.
pub fn snapshot_of(repository: &Path) -> Option<PathBuf> {
    let snapshots = repository.join("snapshots");
    let main = repository.join("refs/main");
    let is_short = fs::metadata(&main).is_ok_and(|file| file.is_file() && file.len() < MAX_REVISION);
    let main = is_short.then(|| fs::read_to_string(main).ok()).flatten();
    let main = main.map(|main| snapshots.join(main.trim()));
    // The file's contents must not lead out of the cache.
    let main = main.filter(|main| main.parent() == Some(&snapshots) && main.is_dir());
    let newest = || {
        let all = fs::read_dir(&snapshots).ok()?.flatten().filter(|entry| entry.path().is_dir());
        let newest = all.max_by_key(|entry| entry.metadata().and_then(|folder| folder.modified()).ok());
        newest.map(|entry| entry.path())
    };
    main.or_else(newest)
}

/// The repositories in a cache, by name.
pub fn repositories(cache: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(cache).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<_> = entries.filter_map(|folder| Some((name_of(&folder)?, folder))).collect();
    found.sort();
    found
}
