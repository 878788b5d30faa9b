//! A partly downloaded file: `NAME.part`, renamed when its length and checksum are right.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use engine::format::hex;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::retry::{Transfer, TransferError};
use super::{Checksum, FetchError, PlannedFile};

/// The first `done` bytes of a file.
pub(crate) struct PartialFile {
    path: PathBuf,
    file: File,
    hasher: Hasher,
    pub done: u64,
    /// The server's entity tag for the version that these bytes belong to.
    pub tag: Option<String>,
}

#[derive(Clone)]
enum Hasher {
    Sha256(Sha256),
    GitBlob(Sha1),
    None,
}

impl PartialFile {
    /// Continues the file that is already there, which is read once to hash it.
    pub fn open(
        target: &Path,
        planned: &PlannedFile,
        transfer: &mut Transfer<'_>,
    ) -> Result<Self, TransferError> {
        let path = with_suffix(target, ".part");
        let disk = |cause| FetchError::Disk { cause, path: path.clone() };
        let open = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = open.map_err(disk)?;
        let tag =
            fs::read_to_string(tag_file(&path)).ok().filter(|tag| tag.starts_with('"') && tag.len() < 1000);
        let mut part = Self { path: path.clone(), file, hasher: Hasher::of(planned), done: 0, tag };
        if part.file.metadata().map_err(disk)?.len() > planned.bytes {
            part.restart(planned)?;
        }
        let mut chunk = vec![0; 1 << 20];
        loop {
            let count = part.file.read(&mut chunk).map_err(disk)?;
            if count == 0 {
                return Ok(part);
            }
            part.hasher.update(&chunk[..count]);
            part.done += count as u64;
            transfer.progress.done += count as u64;
            transfer.tick()?;
        }
    }

    /// Starts the file from the beginning.
    pub fn restart(&mut self, planned: &PlannedFile) -> Result<(), FetchError> {
        self.file.set_len(0).map_err(|cause| self.disk(cause))?;
        self.file.seek(SeekFrom::Start(0)).map_err(|cause| self.disk(cause))?;
        self.hasher = Hasher::of(planned);
        self.done = 0;
        self.set_tag(None)
    }

    /// Stores the version's entity tag, also on the disk, so that a restarted program can resume.
    pub fn set_tag(&mut self, tag: Option<String>) -> Result<(), FetchError> {
        let file = tag_file(&self.path);
        let stored = match &tag {
            Some(tag) => fs::write(&file, tag),
            None => fs::remove_file(&file).or_else(ignore_missing),
        };
        stored.map_err(|cause| FetchError::Disk { cause, path: file })?;
        self.tag = tag;
        Ok(())
    }

    pub fn append(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        self.file.write_all(bytes).map_err(|cause| self.disk(cause))?;
        self.hasher.update(bytes);
        self.done += bytes.len() as u64;
        Ok(())
    }

    /// True if the file is complete and its checksum is right.
    pub fn is_valid(&self, planned: &PlannedFile) -> bool {
        self.done == planned.bytes && self.hasher.clone().matches(&planned.checksum)
    }

    /// Flushes the file to the disk and gives it its final name.
    pub fn finish(self, target: &Path) -> Result<(), FetchError> {
        self.file.sync_all().map_err(|cause| self.disk(cause))?;
        let Self { path, file, .. } = self;
        // Windows cannot rename an open file.
        drop(file);
        fs::rename(&path, target)
            .and_then(|()| fs::remove_file(tag_file(&path)).or_else(ignore_missing))
            .map_err(|cause| FetchError::Disk { cause, path: target.to_owned() })
    }

    fn disk(&self, cause: io::Error) -> FetchError {
        FetchError::Disk { cause, path: self.path.clone() }
    }
}

impl Hasher {
    fn of(planned: &PlannedFile) -> Self {
        match &planned.checksum {
            Checksum::Sha256(_) => Self::Sha256(Sha256::new()),
            Checksum::GitBlob(_) => Self::GitBlob(Sha1::new_with_prefix(format!("blob {}\0", planned.bytes))),
            Checksum::Unknown => Self::None,
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::GitBlob(hasher) => hasher.update(bytes),
            Self::None => {}
        }
    }

    fn matches(self, checksum: &Checksum) -> bool {
        match (self, checksum) {
            (Self::Sha256(hasher), Checksum::Sha256(digits)) => hex(&hasher.finalize()) == *digits,
            (Self::GitBlob(hasher), Checksum::GitBlob(digits)) => hex(&hasher.finalize()) == *digits,
            (Self::None, Checksum::Unknown) => true,
            _ => false,
        }
    }
}

/// Bytes of a file that are on the disk, finished or partial.
pub(crate) fn bytes_downloaded(target: &Path) -> u64 {
    let bytes = |path: &Path| fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|file| file.len());
    bytes(target).or_else(|| bytes(&with_suffix(target, ".part"))).unwrap_or(0)
}

/// Removes a file, finished or partial.
pub(crate) fn remove(target: &Path) -> io::Result<()> {
    let part = with_suffix(target, ".part");
    for file in [&tag_file(&part), &part, target] {
        fs::remove_file(file).or_else(ignore_missing)?;
    }
    Ok(())
}

pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn tag_file(part: &Path) -> PathBuf {
    with_suffix(part, ".etag")
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
