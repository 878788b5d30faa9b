//! Files on a disk: opened with care, told apart by name and first bytes, written atomically.

mod atomic_file;
mod atomic_folder;
mod classify;
mod file_name;
mod regular_file;
mod reserved_name;
mod yaml;

pub(crate) use atomic_file::{IfExists, PartFile, write_atomically};
pub use atomic_file::{SaveError, check_name, replace_file};
pub(crate) use atomic_folder::write_folder_atomically;
pub(crate) use classify::is_hidden;
pub use classify::{
    CONCEPT_EXTENSIONS, FileKind, FileSignature, MODEL_EXTENSIONS, PICKLE_EXTENSIONS, PICTURE_EXTENSIONS,
    classify, has_extension, is_concept_file,
};
pub use file_name::{MAX_NAME_BYTES, file_name, is_shard};
pub use regular_file::FileError;
pub(crate) use regular_file::open;
pub use reserved_name::ReservedName;
pub use yaml::visit_scalars;
