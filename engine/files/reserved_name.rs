//! Names that a run takes before it computes, so that no other run can take them in the meantime.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// The name of a file that will be written. A hidden, empty file beside it holds the name until this is
/// dropped. It is locked, so that a run that is killed does not hold its name for ever.
pub struct ReservedName {
    path: PathBuf,
    holder: PathBuf,
    _lock: File,
}

impl ReservedName {
    /// Takes the first free name among `name_of(1)`, `name_of(2)` and so on.
    pub fn first_free(folder: &Path, name_of: impl Fn(u64) -> String) -> io::Result<Self> {
        let mut names = (1..).map(name_of);
        names.find_map(|name| Self::take(folder, &name).transpose()).expect("there are more names than files")
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `None` if the name is taken.
    fn take(folder: &Path, name: &str) -> io::Result<Option<Self>> {
        let (path, holder) = (folder.join(name), folder.join(format!(".{name}.part")));
        let is_taken = |path: &Path| fs::symlink_metadata(path).is_ok();
        if is_taken(&path) {
            return Ok(None);
        }
        let Some(lock) = locked(&holder)? else { return Ok(None) };
        let reserved = Self { path, holder, _lock: lock };
        // Another run may have written the file and let go of the name before it was locked here.
        Ok((!is_taken(&reserved.path)).then_some(reserved))
    }
}

impl Drop for ReservedName {
    fn drop(&mut self) {
        // A holder that is left behind does no harm.
        fs::remove_file(&self.holder).ok();
    }
}

/// Locks a file, which is created if it is missing; `None` if another run has it.
fn locked(path: &Path) -> io::Result<Option<File>> {
    loop {
        let (file, is_new) = match File::create_new(path) {
            Ok(file) => (file, true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                match File::options().write(true).open(path) {
                    Ok(file) => (file, false),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                }
            }
            Err(error) => return Err(error),
        };
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Ok(None),
            // Some network file systems do not support locks. There the file itself is the lock.
            Err(TryLockError::Error(_)) => return Ok(is_new.then_some(file)),
            Ok(()) => {}
        }
        // The run that had it may have removed the file just before: then the lock is on no file of this name.
        if is_at(&file, path)? {
            return Ok(Some(file));
        }
    }
}

/// Whether a locked file is the one of this name.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match fs::metadata(path) {
        Ok(named) => Ok(id(named) == id(file.metadata()?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether the file of this name is locked. That another run has since made and locked a new one is very
/// unlikely, and writing the picture would notice it.
#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> io::Result<bool> {
    let again = File::open(path).map(|again| again.try_lock());
    Ok(matches!(again, Ok(Err(TryLockError::WouldBlock))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_by_a_file_or_a_run_and_free_again_when_the_run_ends() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        fs::write(folder.path().join("2.png"), "mine").expect("writes");
        let take = || {
            let name = ReservedName::first_free(folder.path(), |number| format!("{number}.png"));
            name.expect("a folder that can be written")
        };
        let taken = [take(), take(), take()];
        let names = taken.each_ref().map(|name| name.path().strip_prefix(folder.path()).expect("inside"));
        assert_eq!(names, ["1.png", "3.png", "4.png"].map(Path::new));
        drop(taken);
        fs::write(folder.path().join(".1.png.part"), "").expect("what a killed run leaves");
        assert_eq!(take().path(), folder.path().join("1.png"));
        assert_eq!(fs::read_dir(folder.path()).expect("reads").count(), 1, "only the file is left");
    }

    #[test]
    fn of_many_that_take_a_name_at_once_each_gets_its_own() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let run = || {
            let name = ReservedName::first_free(folder.path(), |number| format!("{number}.png"));
            let name = name.expect("a folder that can be written");
            assert!(File::create_new(name.path()).is_ok(), "nobody else writes it");
        };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..40).for_each(|_| run()));
            }
        });
        assert_eq!(fs::read_dir(folder.path()).expect("reads").count(), 320);
    }
}
