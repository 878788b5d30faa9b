//! The folder of a model that is on its way: `NAME.part`, with a note of what it is to become.
//!
//! It holds the plan, so that a download goes on after the program or the computer was restarted, and
//! a lock, so that two windows do not write the same file. It gets its name when everything is there.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use engine::files::replace_file;

use super::partial_file::{bytes_downloaded, forget, with_ending};
use super::{FetchError, Plan};

/// The note, which stays in the finished folder: where it is from, and under which licence.
const NOTE: &str = "download.json";
const LOCK: &str = "download.lock";
/// Larger than any note; a file beyond it is something else.
const MAX_NOTE: u64 = 1 << 20;

/// A download that was left in the middle.
#[derive(Clone, Debug, PartialEq)]
pub struct Unfinished {
    pub plan: Plan,
    /// What the folder will be called.
    pub folder: PathBuf,
    /// Bytes that have come.
    pub done: u64,
}

/// A folder that is being filled, held against others.
pub(crate) struct DownloadFolder {
    target: PathBuf,
    pub folder: PathBuf,
    lock: File,
}

impl DownloadFolder {
    /// Makes the folder, or goes on with the one that is there: of files that are another version by
    /// now nothing is kept.
    pub fn claim(target: &Path, plan: &Plan) -> Result<Self, FetchError> {
        let folder = part_of(target);
        let disk = |cause| FetchError::Disk { cause, path: folder.clone() };
        if !is_free(target) {
            return Err(FetchError::Exists { path: target.to_owned() });
        }
        let is_ours = folder.join(NOTE).exists() || folder.join(LOCK).exists() || is_free(&folder);
        if !is_ours {
            return Err(FetchError::Exists { path: folder });
        }
        fs::create_dir_all(&folder).map_err(disk)?;
        let lock = locked(&folder)?;
        if let Some(before) = note_in(&folder) {
            for file in before.files.iter().filter(|file| !plan.files.contains(file)) {
                forget(&folder.join(&file.path)).map_err(disk)?;
            }
        }
        let note = serde_json::to_vec_pretty(plan).expect("a plan is plain data");
        replace_file(&folder.join(NOTE), &note).map_err(disk)?;
        Ok(Self { target: target.to_owned(), folder, lock })
    }

    /// Gives the folder its name.
    pub fn finish(self) -> Result<PathBuf, FetchError> {
        let Self { target, folder, lock } = self;
        // Windows renames no folder with an open file in it.
        drop(lock);
        let named = fs::remove_file(folder.join(LOCK)).and_then(|()| fs::rename(&folder, &target));
        match named {
            Ok(()) => Ok(target),
            Err(_) if !is_free(&target) => Err(FetchError::Exists { path: target }),
            Err(cause) => Err(FetchError::Disk { cause, path: folder }),
        }
    }
}

/// True if the folder has been fetched before, to the last byte of the plan.
pub(crate) fn is_complete(target: &Path, plan: &Plan) -> bool {
    let is_there = |(path, bytes): (PathBuf, u64)| fs::metadata(path).is_ok_and(|about| about.len() == bytes);
    note_in(target).is_some_and(|note| note.files == plan.files)
        && plan.files.iter().map(|file| (target.join(&file.path), file.bytes)).all(is_there)
}

/// How much of a plan has come.
pub(crate) fn done(target: &Path, plan: &Plan) -> u64 {
    let folder = part_of(target);
    plan.files.iter().map(|file| bytes_downloaded(&folder.join(&file.path)).min(file.bytes)).sum()
}

/// The downloads that were left in the middle in a folder of models.
pub fn unfinished(models: &Path) -> Vec<Unfinished> {
    let entries = fs::read_dir(models).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let folder = models.join(name.strip_suffix(".part")?);
            let plan = note_in(&entry.path())?;
            let done = done(&folder, &plan);
            Some(Unfinished { plan, folder, done })
        })
        .collect();
    found.sort_by(|a, b| a.folder.cmp(&b.folder));
    found
}

/// Throws away what has come of a model that will not be `target` after all. A finished one is left
/// alone.
pub fn discard(target: &Path) -> Result<(), FetchError> {
    let folder = part_of(target);
    let is_ours = folder.join(NOTE).is_file() || folder.join(LOCK).is_file();
    if !is_ours {
        return Ok(());
    }
    let lock = locked(&folder)?;
    drop(lock);
    fs::remove_dir_all(&folder).map_err(|cause| FetchError::Disk { cause, path: folder })
}

/// The plan that a folder was begun with, if it has one that can be meant.
fn note_in(folder: &Path) -> Option<Plan> {
    let note = folder.join(NOTE);
    let is_note = fs::metadata(&note).is_ok_and(|about| about.is_file() && about.len() <= MAX_NOTE);
    let plan: Plan = serde_json::from_slice(&is_note.then(|| fs::read(&note).ok()).flatten()?).ok()?;
    plan.is_sound().then_some(plan)
}

fn locked(folder: &Path) -> Result<File, FetchError> {
    let open = File::options().write(true).create(true).truncate(false).open(folder.join(LOCK));
    let lock = open.map_err(|cause| FetchError::Disk { cause, path: folder.to_owned() })?;
    match lock.try_lock() {
        Err(TryLockError::WouldBlock) => Err(FetchError::InUse { path: folder.to_owned() }),
        // Some network folders know no locks; there two windows are on their own.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(lock),
    }
}

/// Nothing is there, or an empty folder.
fn is_free(path: &Path) -> bool {
    match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn part_of(target: &Path) -> PathBuf {
    with_ending(target, ".part")
}
