//! What the librarian remembers of files, so that a header is read and a file hashed only once.
//!
//! One JSON file of our own, beside the settings. A note counts as long as its file has the size and
//! the time it had; a file of notes that makes no sense is forgotten, since all of it can be found out
//! again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

use engine::checkpoint::OpenError;
use engine::files::replace_file;
use engine::format::hex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::FileMetadata;

const FILE_NAME: &str = "library.json";
/// 20,000 notes of a long path each.
const MAX_BYTES: u64 = 32 << 20;
const MAX_FILES: usize = 20_000;
const SAVED_EVERY: Duration = Duration::from_secs(5);
/// Bytes hashed at a time: some milliseconds.
const PIECE: usize = 1 << 20;

/// MetadataCache on files, by their paths.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct MetadataCache {
    /// The program that told the facts; another one may know better.
    program: String,
    files: BTreeMap<String, CachedFile>,
    #[serde(skip)]
    path: PathBuf,
    #[serde(skip)]
    is_changed: bool,
    #[serde(skip)]
    saved: Option<Instant>,
}

#[derive(Debug, Serialize, Deserialize)]
struct CachedFile {
    #[serde(flatten)]
    stamp: FileFingerprint,
    /// [`FileMetadata`]; those of a newer Tidepool may be beyond this one.
    facts: Option<Value>,
    sha256: Option<String>,
}

/// What changes when a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FileFingerprint {
    bytes: u64,
    /// Since 1970.
    modified_nanos: u64,
}

impl MetadataCache {
    /// Reads the notes kept in `folder`, or begins afresh.
    pub fn open(folder: &Path) -> Self {
        let path = folder.join(FILE_NAME);
        let read = || -> io::Result<Self> {
            let mut json = Vec::new();
            File::open(&path)?.take(MAX_BYTES).read_to_end(&mut json)?;
            Ok(serde_json::from_slice(&json)?)
        };
        let mut notes = read().unwrap_or_default();
        let program = env!("TIDEPOOL_VERSION");
        if notes.program != program {
            notes.files.values_mut().for_each(|note| note.facts = None);
            notes.program = program.into();
        }
        notes.path = path;
        notes
    }

    /// Saves if that was a while ago: what a hash costs should not be lost, nor the disk kept busy.
    pub fn save_at_times(&mut self) {
        if self.saved.is_none_or(|saved| saved.elapsed() >= SAVED_EVERY) {
            self.save();
        }
    }

    /// Writes beside the file and renames. What cannot be kept is found out again next time.
    pub fn save(&mut self) {
        if !std::mem::take(&mut self.is_changed) {
            return;
        }
        self.saved = Some(Instant::now());
        let written = (|| {
            fs::create_dir_all(self.path.parent().unwrap_or(Path::new("")))?;
            replace_file(&self.path, &serde_json::to_vec(self)?)
        })();
        if let Err(error) = written {
            tracing::warn!("the library's notes could not be kept: {error}");
        }
    }

    /// What a file's header tells, read if it is not noted yet.
    pub fn facts_of(&mut self, file: &Path) -> Result<FileMetadata, OpenError> {
        let files = [file.to_owned()];
        let stamp = stamp_of(&files);
        let noted = self.note(&files, stamp).and_then(|note| note.facts.clone());
        if let Some(facts) = noted.and_then(|facts| serde_json::from_value(facts).ok()) {
            return Ok(facts);
        }
        let facts = FileMetadata::read(file)?;
        if let Some(note) = self.note_mut(&files, stamp) {
            note.facts = serde_json::to_value(&facts).ok();
        }
        Ok(facts)
    }

    /// The hash of these files one after the other, if it is noted.
    pub fn sha256(&self, files: &[PathBuf]) -> Option<String> {
        self.note(files, stamp_of(files))?.sha256.clone()
    }

    /// The same, made if need be. `go_on` is asked at every piece; `None` if it ends, or if a file cannot
    /// be read or changes meanwhile.
    pub fn hash(&mut self, files: &[PathBuf], go_on: &mut dyn FnMut() -> bool) -> Option<String> {
        let stamp = stamp_of(files)?;
        if let Some(noted) = self.note(files, Some(stamp)).and_then(|note| note.sha256.clone()) {
            return Some(noted);
        }
        let sha256 = sha256_of(files, go_on).ok()??;
        if stamp_of(files) != Some(stamp) {
            return None;
        }
        if let Some(note) = self.note_mut(files, Some(stamp)) {
            note.sha256 = Some(sha256.clone());
        }
        Some(sha256)
    }

    fn note(&self, files: &[PathBuf], stamp: Option<FileFingerprint>) -> Option<&CachedFile> {
        self.files.get(files.first()?.to_str()?).filter(|note| Some(note.stamp) == stamp)
    }

    /// None for a path that is no text, which JSON cannot hold.
    fn note_mut(&mut self, files: &[PathBuf], stamp: Option<FileFingerprint>) -> Option<&mut CachedFile> {
        let (key, stamp) = (files.first()?.to_str()?, stamp?);
        self.is_changed = true;
        if self.files.len() >= MAX_FILES && !self.files.contains_key(key) {
            self.files.retain(|path, _| Path::new(path).exists());
        }
        let fresh = || CachedFile { stamp, facts: None, sha256: None };
        let note = self.files.entry(key.into()).or_insert_with(fresh);
        if note.stamp != stamp {
            *note = fresh();
        }
        Some(note)
    }
}

/// In hex; `None` if it was ended.
fn sha256_of(files: &[PathBuf], go_on: &mut dyn FnMut() -> bool) -> io::Result<Option<String>> {
    let mut hasher = Sha256::new();
    let mut piece = vec![0; PIECE];
    for file in files {
        let mut file = File::open(file)?;
        loop {
            if !go_on() {
                return Ok(None);
            }
            match file.read(&mut piece)? {
                0 => break,
                count => hasher.update(&piece[..count]),
            }
        }
    }
    Ok(Some(hex(&hasher.finalize())))
}

/// Of several files: all their bytes, and the latest time.
fn stamp_of(files: &[PathBuf]) -> Option<FileFingerprint> {
    let mut stamp = FileFingerprint { bytes: 0, modified_nanos: 0 };
    for file in files {
        let about = fs::metadata(file).ok()?;
        let modified = about.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        stamp.bytes += about.len();
        stamp.modified_nanos = stamp.modified_nanos.max(modified.as_nanos() as u64);
    }
    Some(stamp)
}
