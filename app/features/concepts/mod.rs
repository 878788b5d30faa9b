//! TODO(doc)

pub(crate) mod handle;
pub(crate) mod panel;
pub mod watch;

use std::path::PathBuf;

/// A wish about the words that can be named in a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConceptCommand {
    Choose,
    ChooseFolder,
    /// Of a file that is a concept or was refused as one.
    Forget(PathBuf),
    ForgetFolder(PathBuf),
}
