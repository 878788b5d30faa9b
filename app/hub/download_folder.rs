//! The folder of a model that is being downloaded: `NAME.part`, renamed when it is complete.
//!
//! It contains the plan, so that a restarted program can resume the download, and a lock, so that two
//! processes do not write the same file.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use engine::files::replace_file;

use super::partial_file::{bytes_downloaded, remove, with_suffix};
use super::{FetchError, Plan, PlannedFile};

/// The plan, which stays in the finished folder: it records the source and the licence.
const PLAN_FILE: &str = "download.json";
const LOCK_FILE: &str = "download.lock";
/// Larger than any plan.
const MAX_PLAN: u64 = 1 << 20;

/// An unfinished download.
#[derive(Clone, Debug, PartialEq)]
pub struct Unfinished {
    pub plan: Plan,
    /// The folder's final name.
    pub folder: PathBuf,
    /// Bytes downloaded so far.
    pub done: u64,
}

/// A folder that is being filled and is locked against other processes.
pub(crate) struct DownloadFolder {
    target: PathBuf,
    pub folder: PathBuf,
    lock: File,
}

impl DownloadFolder {
    /// Creates the folder, or continues one that is there; files that have since changed are removed.
    pub fn claim(target: &Path, plan: &Plan) -> Result<Self, FetchError> {
        let folder = part_folder(target);
        let disk = |cause| FetchError::Disk { cause, path: folder.clone() };
        if !is_absent_or_empty(target) {
            return Err(FetchError::Exists { path: target.to_owned() });
        }
        let is_ours =
            folder.join(PLAN_FILE).exists() || folder.join(LOCK_FILE).exists() || is_absent_or_empty(&folder);
        if !is_ours {
            return Err(FetchError::Exists { path: folder });
        }
        fs::create_dir_all(&folder).map_err(disk)?;
        let lock = locked(&folder)?;
        if let Some(previous) = plan_in(&folder) {
            for file in previous.files.iter().filter(|file| !plan.files.contains(file)) {
                remove(&folder.join(&file.path)).map_err(disk)?;
            }
        }
        let json = serde_json::to_vec_pretty(plan).expect("a plan serializes to JSON");
        replace_file(&folder.join(PLAN_FILE), &json).map_err(disk)?;
        Ok(Self { target: target.to_owned(), folder, lock })
    }

    /// Gives the folder its final name.
    pub fn finish(self) -> Result<PathBuf, FetchError> {
        let Self { target, folder, lock } = self;
        // Windows cannot rename a folder with an open file in it.
        drop(lock);
        let renamed = fs::remove_file(folder.join(LOCK_FILE)).and_then(|()| fs::rename(&folder, &target));
        match renamed {
            Ok(()) => Ok(target),
            Err(_) if !is_absent_or_empty(&target) => Err(FetchError::Exists { path: target }),
            Err(cause) => Err(FetchError::Disk { cause, path: folder }),
        }
    }
}

/// True if the folder contains the complete download.
pub(crate) fn is_complete(target: &Path, plan: &Plan) -> bool {
    let is_complete = |file: &PlannedFile| {
        fs::metadata(target.join(&file.path)).is_ok_and(|found| found.len() == file.bytes)
    };
    plan_in(target).is_some_and(|found| found.files == plan.files) && plan.files.iter().all(is_complete)
}

/// Bytes of a plan that are on the disk.
pub(crate) fn bytes_done(target: &Path, plan: &Plan) -> u64 {
    let folder = part_folder(target);
    plan.files.iter().map(|file| bytes_downloaded(&folder.join(&file.path)).min(file.bytes)).sum()
}

/// The unfinished downloads in a folder of models.
pub fn unfinished(models: &Path) -> Vec<Unfinished> {
    let entries = fs::read_dir(models).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let folder = models.join(name.strip_suffix(".part")?);
            let plan = plan_in(&entry.path())?;
            let done = bytes_done(&folder, &plan);
            Some(Unfinished { plan, folder, done })
        })
        .collect();
    found.sort_by(|a, b| a.folder.cmp(&b.folder));
    found
}

/// Deletes the unfinished download of `target`. A finished one is kept.
pub fn discard(target: &Path) -> Result<(), FetchError> {
    let folder = part_folder(target);
    let is_ours = folder.join(PLAN_FILE).is_file() || folder.join(LOCK_FILE).is_file();
    if !is_ours {
        return Ok(());
    }
    let lock = locked(&folder)?;
    drop(lock);
    fs::remove_dir_all(&folder).map_err(|cause| FetchError::Disk { cause, path: folder })
}

/// The plan stored in a folder, if it is valid.
fn plan_in(folder: &Path) -> Option<Plan> {
    let path = folder.join(PLAN_FILE);
    let is_plan = fs::metadata(&path).is_ok_and(|file| file.is_file() && file.len() <= MAX_PLAN);
    let plan: Plan = serde_json::from_slice(&is_plan.then(|| fs::read(&path).ok()).flatten()?).ok()?;
    plan.is_valid().then_some(plan)
}

fn locked(folder: &Path) -> Result<File, FetchError> {
    let open = File::options().write(true).create(true).truncate(false).open(folder.join(LOCK_FILE));
    let lock = open.map_err(|cause| FetchError::Disk { cause, path: folder.to_owned() })?;
    match lock.try_lock() {
        Err(TryLockError::WouldBlock) => Err(FetchError::InUse { path: folder.to_owned() }),
        // Some network file systems do not support locks.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(lock),
    }
}

fn is_absent_or_empty(path: &Path) -> bool {
    match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn part_folder(target: &Path) -> PathBuf {
    with_suffix(target, ".part")
}
