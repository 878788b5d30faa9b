//! One file on its way: `NAME.part`, which gets its name when its length and checksum are right.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use engine::format::hex;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::Checksum;
use super::retry::{TransferError, TransferWatch};
use super::{FetchError, PlannedFile};

/// A file of which so much has come.
pub(crate) struct PartialFile {
    path: PathBuf,
    file: File,
    hash: Hash,
    pub done: u64,
    /// What the server called the version that this is the beginning of.
    pub tag: Option<String>,
}

#[derive(Clone)]
enum Hash {
    Sha256(Sha256),
    GitBlob(Sha1),
    None,
}

impl PartialFile {
    /// Goes on from what came before, which is read once more for its checksum.
    pub fn open(
        target: &Path,
        wanted: &PlannedFile,
        watch: &mut TransferWatch<'_>,
    ) -> Result<Self, TransferError> {
        let path = with_ending(target, ".part");
        let disk = |cause| FetchError::Disk { cause, path: path.clone() };
        let open = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = open.map_err(disk)?;
        let tag =
            fs::read_to_string(tag_file(&path)).ok().filter(|tag| tag.starts_with('"') && tag.len() < 1000);
        let mut part = Self { path: path.clone(), file, hash: Hash::of(wanted), done: 0, tag };
        let bytes_downloaded = part.file.metadata().map_err(disk)?.len();
        if bytes_downloaded > wanted.bytes {
            part.restart(wanted)?;
        }
        let mut chunk = vec![0; 1 << 20];
        loop {
            let count = part.file.read(&mut chunk).map_err(disk)?;
            if count == 0 {
                return Ok(part);
            }
            part.hash.update(&chunk[..count]);
            part.done += count as u64;
            watch.progress.done += count as u64;
            watch.tick()?;
        }
    }

    /// Throws away what came.
    pub fn restart(&mut self, wanted: &PlannedFile) -> Result<(), FetchError> {
        self.file.set_len(0).map_err(|cause| self.disk(cause))?;
        self.file.seek(SeekFrom::Start(0)).map_err(|cause| self.disk(cause))?;
        self.hash = Hash::of(wanted);
        self.done = 0;
        self.remember(None)
    }

    /// Notes the version that begins here, for after a restart of the program.
    pub fn remember(&mut self, tag: Option<String>) -> Result<(), FetchError> {
        let file = tag_file(&self.path);
        let noted = match &tag {
            Some(tag) => fs::write(&file, tag),
            None => fs::remove_file(&file).or_else(absent_is_fine),
        };
        noted.map_err(|cause| FetchError::Disk { cause, path: file })?;
        self.tag = tag;
        Ok(())
    }

    pub fn push(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        self.file.write_all(bytes).map_err(|cause| self.disk(cause))?;
        self.hash.update(bytes);
        self.done += bytes.len() as u64;
        Ok(())
    }

    /// True if the contents come down to what was promised.
    pub fn is_right(&self, wanted: &PlannedFile) -> bool {
        self.done == wanted.bytes && self.hash.clone().is(&wanted.digest)
    }

    /// Pushes the file to the disk and gives it its name.
    pub fn finish(self, target: &Path) -> Result<(), FetchError> {
        self.file.sync_all().map_err(|cause| self.disk(cause))?;
        let Self { path, file, .. } = self;
        // Windows renames no file that is open.
        drop(file);
        fs::rename(&path, target)
            .and_then(|()| fs::remove_file(tag_file(&path)).or_else(absent_is_fine))
            .map_err(|cause| FetchError::Disk { cause, path: target.to_owned() })
    }

    fn disk(&self, cause: io::Error) -> FetchError {
        FetchError::Disk { cause, path: self.path.clone() }
    }
}

impl Hash {
    fn of(wanted: &PlannedFile) -> Self {
        match &wanted.digest {
            Checksum::Sha256(_) => Self::Sha256(Sha256::new()),
            Checksum::GitBlob(_) => Self::GitBlob(Sha1::new_with_prefix(format!("blob {}\0", wanted.bytes))),
            Checksum::Unknown => Self::None,
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::GitBlob(hash) => hash.update(bytes),
            Self::None => {}
        }
    }

    fn is(self, digest: &Checksum) -> bool {
        match (self, digest) {
            (Self::Sha256(hash), Checksum::Sha256(digits)) => hex(&hash.finalize()) == *digits,
            (Self::GitBlob(hash), Checksum::GitBlob(digits)) => hex(&hash.finalize()) == *digits,
            (Self::None, Checksum::Unknown) => true,
            _ => false,
        }
    }
}

/// How much of a file has come, whole or in part.
pub(crate) fn bytes_downloaded(target: &Path) -> u64 {
    let bytes = |path: &Path| fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|about| about.len());
    bytes(target).or_else(|| bytes(&with_ending(target, ".part"))).unwrap_or(0)
}

/// Removes a file and all that came of it.
pub(crate) fn forget(target: &Path) -> io::Result<()> {
    let part = with_ending(target, ".part");
    for file in [&tag_file(&part), &part, target] {
        fs::remove_file(file).or_else(absent_is_fine)?;
    }
    Ok(())
}

pub(crate) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn tag_file(part: &Path) -> PathBuf {
    with_ending(part, ".etag")
}

fn absent_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
