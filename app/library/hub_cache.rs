//! The Hugging Face cache of this machine, and the repositories in it.
//!
//! Its environment variables are documented by `huggingface_hub` ("Manage huggingface_hub cache-system").

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use engine::checkpoint::{HubSnapshot, repository_name};

/// The folder of this machine's cache. `variable` reads an environment variable.
pub fn hub_cache(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || directories::UserDirs::new().map(|user| user.home_dir().join(".cache"));
    set("HF_HUB_CACHE")
        .or_else(|| set("HUGGINGFACE_HUB_CACHE"))
        .or_else(|| Some(set("HF_HOME")?.join("hub")))
        .or_else(|| Some(set("XDG_CACHE_HOME").or_else(home)?.join("huggingface/hub")))
}

/// The current snapshots of the repositories in a cache, by name.
pub fn snapshots(cache: &Path) -> Vec<HubSnapshot> {
    let folders = fs::read_dir(cache).into_iter().flatten().flatten().map(|entry| entry.path());
    let repositories = folders.filter(|folder| repository_name(folder).is_some());
    let mut found: Vec<_> = repositories.filter_map(|folder| HubSnapshot::at(&folder)).collect();
    found.sort_by(|a, b| a.repository.cmp(&b.repository));
    found
}
