//! Files as they lie on a disk: opened with care, told apart by their first bytes, written whole or not at all.

mod atomic_file;
mod atomic_folder;
mod regular_file;
mod kind;

pub use atomic_file::SaveError;
pub(crate) use atomic_file::{IfExists, PartFile, write_whole};
pub(crate) use atomic_folder::write_whole_folder;
pub use regular_file::OpenError;
pub(crate) use regular_file::open;
pub(crate) use kind::FileSignature;
