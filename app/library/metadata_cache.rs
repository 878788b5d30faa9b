//! Remembers headers and hashes of files, so that each header is read and each file hashed only once.
//!
//! It is a JSON file beside the settings. An entry is valid while its file keeps its size and modification
//! time. An unreadable cache is discarded, since everything in it can be computed again.

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
/// Enough for `MAX_FILES` entries with long paths.
const MAX_BYTES: u64 = 32 << 20;
const MAX_FILES: usize = 20_000;
const SAVE_INTERVAL: Duration = Duration::from_secs(5);
/// Bytes hashed at a time, in a few milliseconds.
const CHUNK_BYTES: usize = 1 << 20;

/// Metadata and hashes of files, by path.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct MetadataCache {
    /// The version that read the metadata; another version reads it anew.
    program: String,
    files: BTreeMap<String, CachedFile>,
    #[serde(skip)]
    path: PathBuf,
    #[serde(skip)]
    is_changed: bool,
    #[serde(skip)]
    last_saved: Option<Instant>,
}

#[derive(Debug, Serialize, Deserialize)]
struct CachedFile {
    #[serde(flatten)]
    version: FileVersion,
    /// [`FileMetadata`], which a different Tidepool may have written with other fields.
    #[serde(alias = "facts")]
    metadata: Option<Value>,
    sha256: Option<String>,
}

/// Changes when the file does; for several files, their total size and latest time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FileVersion {
    bytes: u64,
    /// Nanoseconds since 1970.
    modified_nanos: u64,
}

impl MetadataCache {
    /// Opens the cache in `folder`, or an empty one.
    pub fn open(folder: &Path) -> Self {
        let path = folder.join(FILE_NAME);
        let read = || -> io::Result<Self> {
            let mut json = Vec::new();
            File::open(&path)?.take(MAX_BYTES).read_to_end(&mut json)?;
            Ok(serde_json::from_slice(&json)?)
        };
        let mut cache = read().unwrap_or_default();
        let program = env!("TIDEPOOL_VERSION");
        if cache.program != program {
            cache.files.values_mut().for_each(|cached| cached.metadata = None);
            cache.program = program.into();
        }
        cache.path = path;
        cache
    }

    /// Saves at intervals, so that hashes are not lost and the disk is not kept busy.
    pub fn save_if_due(&mut self) {
        if self.last_saved.is_none_or(|saved| saved.elapsed() >= SAVE_INTERVAL) {
            self.save();
        }
    }

    /// Saves if anything changed. A failure is only logged, since the contents can be computed again.
    pub fn save(&mut self) {
        if !std::mem::take(&mut self.is_changed) {
            return;
        }
        self.last_saved = Some(Instant::now());
        let written = (|| {
            fs::create_dir_all(self.path.parent().unwrap_or(Path::new("")))?;
            replace_file(&self.path, &serde_json::to_vec(self)?)
        })();
        if let Err(error) = written {
            tracing::warn!("the library's cache could not be saved: {error}");
        }
    }

    /// The metadata of a file, read from its header if it is not cached.
    pub fn metadata_of(&mut self, file: &Path) -> Result<FileMetadata, OpenError> {
        let files = [file.to_owned()];
        let version = version_of(&files);
        let cached = self.cached(&files, version).and_then(|cached| cached.metadata.clone());
        if let Some(metadata) = cached.and_then(|metadata| serde_json::from_value(metadata).ok()) {
            return Ok(metadata);
        }
        let metadata = FileMetadata::read(file)?;
        if let Some(cached) = self.cached_mut(&files, version) {
            cached.metadata = serde_json::to_value(&metadata).ok();
        }
        Ok(metadata)
    }

    /// The hash of these files, concatenated, if it is cached.
    pub fn sha256(&self, files: &[PathBuf]) -> Option<String> {
        self.cached(files, version_of(files))?.sha256.clone()
    }

    /// The hash of these files, concatenated, computed if it is not cached. `should_continue` is called for
    /// every chunk. `None` if it returns false, or if a file cannot be read or changes during hashing.
    pub fn hash(&mut self, files: &[PathBuf], should_continue: &mut dyn FnMut() -> bool) -> Option<String> {
        let version = version_of(files)?;
        if let Some(sha256) = self.cached(files, Some(version)).and_then(|cached| cached.sha256.clone()) {
            return Some(sha256);
        }
        let sha256 = sha256_of(files, should_continue).ok()??;
        if version_of(files) != Some(version) {
            return None;
        }
        if let Some(cached) = self.cached_mut(files, Some(version)) {
            cached.sha256 = Some(sha256.clone());
        }
        Some(sha256)
    }

    fn cached(&self, files: &[PathBuf], version: Option<FileVersion>) -> Option<&CachedFile> {
        self.files.get(files.first()?.to_str()?).filter(|cached| Some(cached.version) == version)
    }

    /// `None` for a path that is not UTF-8, which JSON cannot represent.
    fn cached_mut(&mut self, files: &[PathBuf], version: Option<FileVersion>) -> Option<&mut CachedFile> {
        let (key, version) = (files.first()?.to_str()?, version?);
        self.is_changed = true;
        if self.files.len() >= MAX_FILES && !self.files.contains_key(key) {
            self.files.retain(|path, _| Path::new(path).exists());
        }
        let empty = || CachedFile { version, metadata: None, sha256: None };
        let cached = self.files.entry(key.into()).or_insert_with(empty);
        if cached.version != version {
            *cached = empty();
        }
        Some(cached)
    }
}

/// The hash in hex; `None` if hashing was interrupted.
fn sha256_of(files: &[PathBuf], should_continue: &mut dyn FnMut() -> bool) -> io::Result<Option<String>> {
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    for file in files {
        let mut file = File::open(file)?;
        loop {
            if !should_continue() {
                return Ok(None);
            }
            match file.read(&mut chunk)? {
                0 => break,
                count => hasher.update(&chunk[..count]),
            }
        }
    }
    Ok(Some(hex(&hasher.finalize())))
}

fn version_of(files: &[PathBuf]) -> Option<FileVersion> {
    let mut version = FileVersion { bytes: 0, modified_nanos: 0 };
    for file in files {
        let metadata = fs::metadata(file).ok()?;
        let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        version.bytes += metadata.len();
        version.modified_nanos = version.modified_nanos.max(modified.as_nanos() as u64);
    }
    Some(version)
}
