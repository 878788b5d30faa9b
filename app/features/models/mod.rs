//! TODO(doc)

pub(crate) mod folders;
pub(crate) mod handle;
pub(crate) mod library;
pub(crate) mod panel;
pub(crate) mod row;

use std::path::PathBuf;

use engine::checkpoint::ModelSource;
use engine::pipeline::StopFlag;

/// What is opened, and what the list of models shows.
#[derive(Clone, Debug, Default)]
pub struct Models {
    /// What the list is searched for.
    pub search: String,
    /// Of the newest opening.
    opening: StopFlag,
    /// The model that was open last.
    current_source: Option<ModelSource>,
    /// Over it.
    current_vae: Option<PathBuf>,
}

/// A wish about the model at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelCommand {
    ChooseFolder,
    ChooseFile,
    Open(ModelSource),
    /// A VAE over the model's own; `None` takes it off again.
    UseVae(Option<PathBuf>),
    /// Ends the opening at hand and goes back to the model before it.
    StopOpening,
}

/// A wish about the library of models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LibraryCommand {
    /// Asks for a folder to look for models in.
    AddFolder,
    /// Looks there no more; nothing in it is touched.
    RemoveFolder(PathBuf),
    /// Looks through all folders again.
    Rescan,
    /// Shows only what has these words in it.
    Search(String),
    PauseHashing(bool),
}
