//! Something happened: in the engine, or on one of our own threads.

use std::path::PathBuf;
use std::sync::Arc;

use engine::checkpoint::ModelSource;
use engine::images::Pixels;
use engine::session::Event;

use crate::features::brush::BrushEvent;
use crate::features::concepts::watch::ConceptsRead;
use crate::features::convert::ConversionReport;
use crate::features::device::DeviceEvent;
use crate::features::drop::DroppedFiles;
use crate::features::export::ExportEvent;
use crate::hub::HubEvent;
use crate::library::Library;

/// Something happened.
#[derive(Clone, Debug)]
pub enum AppEvent {
    Engine(Event),
    Brush(BrushEvent),
    /// The files of one batch, in its order.
    Saved(Vec<PathBuf>),
    SaveFailed(String),
    StartImagePicked(PathBuf),
    StartImageRead {
        path: PathBuf,
        picture: Result<Arc<Pixels>, String>,
        notes: Vec<String>,
    },
    /// A concept could not be saved; the sentence says why.
    ConceptNotSaved(String),
    /// The clipboard has no picture or cannot be read.
    PasteFailed(String),
    /// Files that were dropped together.
    Inspected(DroppedFiles),
    /// Concepts from earlier starts or from watched folders.
    Concepts(ConceptsRead),
    /// Concepts that were just chosen.
    ConceptsChosen(ConceptsRead),
    ConceptFolderPicked(PathBuf),
    ModelPicked(ModelSource),
    OutputFolderPicked(PathBuf),
    FilmPicked(PathBuf),
    Film(ExportEvent),
    LibraryFolderPicked(PathBuf),
    /// The library as scanned so far.
    Library(Arc<Library>),
    Hub(HubEvent),
    Conversion(ConversionReport),
    Device(DeviceEvent),
    /// Something else failed, with a sentence for the user.
    Warning(String),
}

impl From<Event> for AppEvent {
    fn from(event: Event) -> Self {
        Self::Engine(event)
    }
}
