//! Atomic writes of several files: a folder appears under its name with all its files or not at all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::SaveError;
use super::atomic_file::{folder_of, sync_folder};

/// Makes a folder of the files that `fill` writes into a temporary one. An existing folder of that name is
/// replaced if it is empty and refused otherwise.
pub(crate) fn write_folder_atomically(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<(), SaveError>,
) -> Result<(), SaveError> {
    // `frames/` and `frames` are the same folder.
    let path = &path.components().collect::<PathBuf>();
    let failed = |source| SaveError::from_io(source, path);
    match fs::read_dir(path).map(|mut inside| inside.next().is_some()) {
        Ok(true) => return Err(SaveError::FolderInUse { path: path.clone() }),
        Ok(false) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(_) if path.is_file() => return Err(SaveError::Exists { path: path.clone() }),
        Err(error) => return Err(failed(error)),
    }
    let part = PartFolder::beside(path).map_err(failed)?;
    fill(&part.path)?;
    part.rename(path).map_err(failed)
}

/// A folder that does not have its name yet. It is removed with its contents when dropped.
struct PartFolder {
    path: PathBuf,
    moved: bool,
}

impl PartFolder {
    fn beside(target: &Path) -> io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!(".tidepool-{}-{number}.parts", std::process::id());
            let path = folder_of(target).join(name);
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path, moved: false }),
                // Left by a killed process of the same id.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn rename(mut self, target: &Path) -> io::Result<()> {
        // Windows cannot rename a folder over an existing one; this removes it only if it is empty.
        match fs::remove_dir(target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::rename(&self.path, target)?;
        self.moved = true;
        sync_folder(target);
        Ok(())
    }
}

impl Drop for PartFolder {
    fn drop(&mut self) {
        if !self.moved {
            // A folder that is left behind does no harm.
            fs::remove_dir_all(&self.path).ok();
        }
    }
}
