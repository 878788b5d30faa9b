//! The loaded concepts (textual inversion): their files, watched folders, and the list of them.

mod handle;
pub(crate) mod panel;
pub mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;

use engine::concepts::ConceptSet;

/// The loaded concepts.
#[derive(Clone, Debug, Default)]
pub struct Concepts {
    pub set: ConceptSet,
    /// Files that were refused as concepts, each with the reason.
    pub refused: BTreeMap<PathBuf, String>,
}

/// A request about concepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConceptCommand {
    Choose,
    ChooseFolder,
    /// Those of the built-in model become files in the default concept folder.
    AddBuiltIn,
    /// A file that is a concept, or was refused as one.
    Forget(PathBuf),
    ForgetFolder(PathBuf),
}
