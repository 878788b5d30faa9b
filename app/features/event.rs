//! Something happened: in the engine, or on one of our own threads.

use std::path::PathBuf;
use std::sync::Arc;

use engine::checkpoint::ModelSource;
use engine::images::Pixels;
use engine::session::Event;

use crate::features::concepts::watch::ConceptsRead;
use crate::features::convert::ConversionReport;
use crate::features::drop::DroppedFiles;
use crate::features::export::ExportEvent;
use crate::hub::HubEvent;
use crate::library::Library;

/// Something happened.
#[derive(Clone, Debug)]
pub enum AppEvent {
    Engine(Event),
    /// Files of one batch, in its order.
    Saved(Vec<PathBuf>),
    SaveFailed(String),
    StartImagePicked(PathBuf),
    StartImageRead {
        path: PathBuf,
        picture: Result<Arc<Pixels>, String>,
        notes: Vec<String>,
    },
    /// Words that were to become a concept; the sentence says why not.
    ConceptNotSaved(String),
    /// The clipboard has no picture, or cannot be read.
    PasteFailed(String),
    /// Files that were dropped together.
    Inspected(DroppedFiles),
    /// Of files that were there before, or lie in a watched folder.
    Concepts(ConceptsRead),
    /// Of files that were just chosen.
    ConceptsChosen(ConceptsRead),
    ConceptFolderPicked(PathBuf),
    ModelPicked(ModelSource),
    OutputFolderPicked(PathBuf),
    FilmPicked(PathBuf),
    Film(ExportEvent),
    LibraryFolderPicked(PathBuf),
    /// What the librarian has found so far.
    Library(Arc<Library>),
    Hub(HubEvent),
    Conversion(ConversionReport),
    /// Something else went wrong, and a sentence is all there is to it.
    Trouble(String),
}

impl From<Event> for AppEvent {
    fn from(event: Event) -> Self {
        Self::Engine(event)
    }
}
