//! Opens a file that the user named, if it is a regular file and not empty.
//!
//! Opening a pipe would block for ever, and a folder gives obscure errors, so both are checked first.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Why a path could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error(
        "The file does not exist: it may have been moved or renamed, so choose it again: {}",
        path.display()
    )]
    Missing { path: PathBuf },
    #[error(
        "This is a folder: choose a picture inside it: {}",
        path.display()
    )]
    Folder { path: PathBuf },
    #[error(
        "This is a pipe or a device, not a file: save the picture as a file first: {}",
        path.display()
    )]
    Special { path: PathBuf },
    #[error(
        "The file is empty, perhaps from an interrupted copy or download: copy it again: {}",
        path.display()
    )]
    Empty { path: PathBuf },
    #[error(
        "The file cannot be read ({source}): check its permissions and its disk: {}",
        path.display()
    )]
    Unreadable { source: io::Error, path: PathBuf },
}

/// Opens a file and tells its length in bytes.
pub(crate) fn open(path: &Path) -> Result<(File, u64), FileError> {
    let owned = || path.to_owned();
    let refused = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => FileError::Missing { path: owned() },
        _ => FileError::Unreadable { source, path: owned() },
    };
    let about = fs::metadata(path).map_err(refused)?;
    if about.is_dir() {
        return Err(FileError::Folder { path: owned() });
    }
    if !about.is_file() {
        return Err(FileError::Special { path: owned() });
    }
    if about.len() == 0 {
        return Err(FileError::Empty { path: owned() });
    }
    Ok((File::open(path).map_err(refused)?, about.len()))
}
