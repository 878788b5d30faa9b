//! Atomic writes: a file appears under its name complete or not at all.
//!
//! The bytes go to a part file in the same folder, are synced to the disk, and the part file is then
//! renamed. A crash, a full disk or a power cut leaves at worst a part file, never half a picture.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::MAX_NAME_BYTES;

/// What to do if a file of the name exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IfExists {
    Refuse,
    Replace,
}

/// Why nothing was saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    #[error(
        "A file of this name exists already and was left unchanged: choose another name: {}",
        path.display()
    )]
    Exists { path: PathBuf },
    #[error(
        "This name belongs to a folder or a device and cannot be overwritten: choose another name: {}",
        path.display()
    )]
    NotAFile { path: PathBuf },
    #[error(
        "The folder cannot be used ({source}): choose another one: {}",
        path.display()
    )]
    Folder { source: io::Error, path: PathBuf },
    #[error(
        "The file could not be written ({source}): make room on the disk or choose another \
         folder: {}",
        path.display()
    )]
    Write { source: io::Error, path: PathBuf },
    #[error(
        "The system does not allow this name. A name has at most {MAX_NAME_BYTES} bytes, a path about 4,000, \
         and on Windows neither has one of : * ? \" < > |. Choose another name: {}",
        path.display()
    )]
    InvalidName { path: PathBuf },
    #[error(
        "The prompts are too long to be stored in a picture: keep them below a million characters: {}",
        path.display()
    )]
    LongText { path: PathBuf },
    #[error(
        "There are no frames to animate: record at least one step: {}",
        path.display()
    )]
    NoFrames { path: PathBuf },
    #[error(
        "The frames would be {width} x {height}, and {remedy}: {}",
        path.display()
    )]
    FrameSize { width: u32, height: u32, remedy: &'static str, path: PathBuf },
    #[error(
        "The folder is not empty and was left unchanged: choose another name: {}",
        path.display()
    )]
    FolderInUse { path: PathBuf },
    #[error("Stopped. Nothing was written: {}", path.display())]
    Stopped { path: PathBuf },
}

impl SaveError {
    /// The error of writing `path`. `Interrupted` never comes from the system, because writing retries it:
    /// here it means that the caller stopped the work.
    pub(crate) fn from_io(source: io::Error, path: &Path) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::Interrupted => Self::Stopped { path },
            io::ErrorKind::InvalidFilename => Self::InvalidName { path },
            _ => Self::Write { source, path },
        }
    }
}

/// Finds out before the work whether a file of this name can exist.
///
/// # Errors
/// [`SaveError::InvalidName`]
pub fn check_name(path: &Path) -> Result<(), SaveError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::InvalidFilename => {
            Err(SaveError::InvalidName { path: path.to_owned() })
        }
        _ => Ok(()),
    }
}

/// Replaces a file, or makes it, with these bytes.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = PartFile::beside(path)?;
    part.fill(|out| out.write_all(bytes))?;
    part.replace(path)
}

/// Writes a file by way of a part file beside it.
pub(crate) fn write_atomically(
    path: &Path,
    if_exists: IfExists,
    write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> Result<(), SaveError> {
    let failed = |source| SaveError::from_io(source, path);
    if let Ok(there) = fs::metadata(path) {
        if !there.is_file() {
            return Err(SaveError::NotAFile { path: path.to_owned() });
        }
        if if_exists == IfExists::Refuse {
            return Err(SaveError::Exists { path: path.to_owned() });
        }
    }
    let part = PartFile::beside(path).map_err(failed)?;
    part.fill(write).map_err(failed)?;
    match if_exists {
        IfExists::Replace => part.replace(path).map_err(failed),
        IfExists::Refuse => part.claim(path).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => SaveError::Exists { path: path.to_owned() },
            _ => failed(source),
        }),
    }
}

/// A file that does not have its name yet. It is removed when dropped.
pub(crate) struct PartFile {
    path: PathBuf,
    file: File,
    moved: bool,
}

impl PartFile {
    /// A part file with an unused name, in the folder of `target`.
    fn beside(target: &Path) -> io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let folder = folder_of(target);
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!(".tidepool-{}-{number}.part", std::process::id());
            match Self::create(folder.join(name)) {
                // Left by a killed process of the same id.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                result => return result,
            }
        }
    }

    /// # Errors
    /// `AlreadyExists` if the name is taken.
    pub fn create(path: PathBuf) -> io::Result<Self> {
        let file = File::create_new(&path)?;
        Ok(Self { path, file, moved: false })
    }

    pub fn fill(&self, write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>) -> io::Result<()> {
        let mut writer = BufWriter::with_capacity(1 << 16, &self.file);
        write(&mut writer)?;
        writer.flush()?;
        self.file.sync_all()
    }

    /// Renames the file to `target`, replacing what is there.
    fn replace(mut self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        self.moved = true;
        sync_folder(target);
        Ok(())
    }

    /// Renames the file to `target` if that name is free, also when several processes try at once.
    ///
    /// # Errors
    /// `AlreadyExists` if the name is taken.
    pub fn claim(mut self, target: &Path) -> io::Result<()> {
        match fs::hard_link(&self.path, target) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
            // FAT and some network file systems lack hard links. There an empty file reserves the name
            // first, and is all that is left if the process is killed at this moment.
            Err(_) => {
                File::create_new(target)?;
                if let Err(error) = fs::rename(&self.path, target) {
                    // Best effort: the returned error matters more.
                    fs::remove_file(target).ok();
                    return Err(error);
                }
                self.moved = true;
            }
        }
        sync_folder(target);
        Ok(())
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if !self.moved {
            // A part file that is left behind does no harm.
            fs::remove_file(&self.path).ok();
        }
    }
}

pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Syncs the folder, so that the new name is on the disk too. Windows does not need it.
pub(crate) fn sync_folder(path: &Path) {
    if let Ok(folder) = File::open(folder_of(path)) {
        folder.sync_all().ok();
    }
}
