//! The current model, how another is opened, and the models on this machine.

pub(crate) mod folders;
mod handle;
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
    /// Stops the model that is being opened.
    opening: StopFlag,
    /// The source of the current model.
    current_source: Option<ModelSource>,
    /// The VAE used with it.
    current_vae: Option<PathBuf>,
}

/// A request about the current model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelCommand {
    ChooseFolder,
    ChooseFile,
    Open(ModelSource),
    /// A VAE in place of the model's own; `None` restores the model's.
    UseVae(Option<PathBuf>),
    /// Stops opening a model and goes back to the previous one.
    StopOpening,
}

/// A request about the model library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LibraryCommand {
    /// Asks for a folder to search for models.
    AddFolder,
    /// Stops searching a folder; nothing in it is touched.
    RemoveFolder(PathBuf),
    /// Scans all folders again.
    Rescan,
    /// Shows only the models that contain these words.
    Search(String),
    PauseHashing(bool),
}
