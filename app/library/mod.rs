//! The models on this machine: where they lie, what each is, and how to find one by its name.
//!
//! [`shelves`] tells the folders that programs keep models in, `walk` finds the files in them, `facts`
//! reads what they are off their headers, [`scan`] makes an [`Entry`] of each, and the [`LibraryScanner`] does
//! all of it on a thread, then hashes at leisure. Nothing is copied, moved or written but the
//! librarian's own notes, so that each header is read and each file hashed once.

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

/// Where to look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LibraryRoots {
    /// Those that the user has added.
    pub folders: Vec<PathBuf>,
    /// Where the Hugging Face cache would be, if it is wanted.
    pub hub: Option<PathBuf>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Library {
    /// What Tidepool opens first, then VAEs, then the rest; each by name.
    pub entries: Vec<Entry>,
    pub folders: Vec<Folder>,
    /// Where concepts lie, for the list of concepts.
    pub concept_folders: Vec<PathBuf>,
    pub work: ScanStatus,
}

/// A folder that was looked through.
#[derive(Clone, Debug, PartialEq)]
pub struct Folder {
    pub path: PathBuf,
    pub layout: Layout,
    /// Entries from it.
    pub count: usize,
    /// A sentence: it is gone, or cannot be read, or is too large.
    pub problem: Option<String>,
}

/// What the librarian is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScanStatus {
    #[default]
    Done,
    Scanning,
    /// So many files are still to be hashed.
    Hashing {
        left: usize,
    },
}
