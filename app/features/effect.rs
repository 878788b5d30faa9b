//! What must happen in the world because of a command or an event: `window/app.rs` carries it out.

use std::path::PathBuf;
use std::sync::Arc;

use engine::concepts::ConceptRef;
use engine::images::{AnimationFormat, Pixels};
use engine::pipeline::StopFlag;
use engine::recipe::Recipe;
use engine::session::Request;

use crate::features::export::ExportOrder;
use crate::features::xy_plot::XyPlotRun;
use crate::hub::HubCommand;
use crate::library::ScanCommand;

/// What is to be done outside of the state.
#[derive(Clone, Debug)]
pub enum Effect {
    Send(Request),
    /// Keep finished pictures.
    Save(Box<Batch>),
    SaveSheet(SheetToSave),
    WriteFilm(ExportOrder),
    /// Something for the librarian.
    Library(ScanCommand),
    /// Look into these folders for concepts from now on.
    WatchConcepts(Vec<PathBuf>),
    Hub(HubCommand),
    Task(Task),
}

/// What takes time or asks the system, and is done on a thread of its own.
#[derive(Clone, Debug)]
pub enum Task {
    /// Ask for a picture to start from.
    PickPicture,
    PickModelFolder,
    PickModelFile,
    PickOutputFolder,
    /// Ask for the name of a film; `name` is a proposal without an ending.
    PickFilm {
        format: AnimationFormat,
        name: String,
        folder: PathBuf,
    },
    PickLibraryFolder,
    /// Read a picture to start from, for its thumbnail and its sides.
    ReadStartImage(PathBuf),
    /// Keep the clipboard's picture as a file and start from it.
    PastePicture,
    /// Find out what dropped files are.
    Inspect(Vec<PathBuf>),
    PickConcepts,
    PickConceptFolder,
    ReadConcepts(Vec<PathBuf>),
    /// Ask where to, and write.
    SaveConcept {
        token: String,
        vectors: Vec<Vec<f32>>,
    },
    Copy(Arc<Pixels>),
    /// Write a pickle as safetensors.
    Convert {
        file: PathBuf,
        stop: StopFlag,
    },
    /// Show a folder in the system's file manager.
    OpenFolder(PathBuf),
}

/// A sheet that is over, and its cause.
#[derive(Clone, Debug)]
pub struct SheetToSave {
    pub model: String,
    pub vae: Option<String>,
    pub folder: PathBuf,
    pub made: Box<XyPlotRun>,
}

/// The pictures of one finished job, and their cause.
#[derive(Clone, Debug)]
pub struct Batch {
    pub recipe: Recipe,
    pub model: String,
    /// The VAE that was chosen over the model's own.
    pub vae: Option<String>,
    pub concepts: Vec<ConceptRef>,
    pub folder: PathBuf,
    pub pictures: Vec<Arc<Pixels>>,
}
