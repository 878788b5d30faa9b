//! Names that a run takes before it computes, so that no other run can take them in the meantime.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::atomic_file::PartFile;

/// The name of a file that will be written. A hidden, empty file beside it holds the name until this is
/// dropped.
pub struct ReservedName {
    path: PathBuf,
    _holder: PartFile,
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
        let path = folder.join(name);
        let is_free = || fs::symlink_metadata(&path).is_err();
        if !is_free() {
            return Ok(None);
        }
        let holder = match PartFile::create(folder.join(format!(".{name}.part"))) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            holder => holder?,
        };
        // Another run may have written the file and let go of the name between the two checks.
        Ok(is_free().then_some(Self { path, _holder: holder }))
    }
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
        assert_eq!(take().path(), folder.path().join("1.png"));
        assert_eq!(fs::read_dir(folder.path()).expect("reads").count(), 1, "only the file is left");
    }

    #[test]
    fn of_many_that_take_a_name_at_once_each_gets_its_own() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let run = || {
            let name = ReservedName::first_free(folder.path(), |number| format!("{number}.png"));
            let name = name.expect("a folder that can be written");
            assert!(fs::File::create_new(name.path()).is_ok(), "nobody else writes it");
        };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..40).for_each(|_| run()));
            }
        });
        assert_eq!(fs::read_dir(folder.path()).expect("reads").count(), 320);
    }
}
