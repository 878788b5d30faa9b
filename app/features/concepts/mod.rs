//! The concepts (textual inversion) at hand: their files and folders, watched, and the list of them.

mod handle;
pub(crate) mod panel;
pub mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;

use engine::concepts::ConceptSet;

/// The concepts at hand.
#[derive(Clone, Debug, Default)]
pub struct Concepts {
    pub set: ConceptSet,
    /// Files that were refused as concepts, each with the reason.
    pub refused: BTreeMap<PathBuf, String>,
}

/// A wish about the words that can be named in a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConceptCommand {
    Choose,
    ChooseFolder,
    /// A file that is a concept, or was refused as one.
    Forget(PathBuf),
    ForgetFolder(PathBuf),
}
