//! The models on this machine: where they are, what each is, and how to find one by name.
//!
//! `layout` knows the folders in which programs keep models, `find_models` finds the files in them,
//! `file_metadata` reads their headers, [`scan()`] makes an [`Entry`] of each, and the [`LibraryScanner`]
//! does all this on a thread of its own and then hashes the files. Model files are only read; the
//! [`MetadataCache`] is the one file written, so that each header is read and each file hashed once.

pub(crate) mod file_metadata;
pub(crate) mod find_by_name;
pub(crate) mod find_models;
pub(crate) mod hub_cache;
pub(crate) mod layout;
pub(crate) mod metadata_cache;
pub(crate) mod scanner;

mod comfy_paths;
mod entry;
mod scan;

use std::path::PathBuf;

pub use entry::{Entry, Format};
pub use file_metadata::{FileMetadata, FolderMetadata};
pub use find_by_name::{NameMatch, find};
pub use hub_cache::hub_cache;
pub use layout::{Layout, concept_folders, layout_of};
pub use metadata_cache::MetadataCache;
pub use scan::scan;
pub use scanner::{LibraryScanner, ScanCommand};

/// The folders to scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LibraryRoots {
    /// Added by the user.
    pub folders: Vec<PathBuf>,
    /// The Hugging Face cache, unless it is hidden.
    pub hub: Option<PathBuf>,
}

/// The result of a scan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Library {
    /// Models that Tidepool can open, then VAEs, then the rest; each group by name.
    pub entries: Vec<Entry>,
    pub folders: Vec<Folder>,
    /// The folders that contain concepts.
    pub concept_folders: Vec<PathBuf>,
    pub status: ScanStatus,
}

/// A scanned folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Folder {
    pub path: PathBuf,
    pub layout: Layout,
    /// Number of entries in it.
    pub count: usize,
    /// A sentence: it is missing, cannot be read, or is too large.
    pub problem: Option<String>,
}

/// What the scanner is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScanStatus {
    #[default]
    Done,
    Scanning,
    /// `left` files are not hashed yet.
    Hashing {
        left: usize,
    },
}
