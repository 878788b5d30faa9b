//! What must happen in the world because of a command or an event: `window/app.rs` carries it out.

use std::path::PathBuf;
use std::sync::Arc;

use engine::concepts::ConceptRef;
use engine::device::DeviceChoice;
use engine::images::{AnimationFormat, Pixels};
use engine::pipeline::StopFlag;
use engine::recipe::Recipe;
use engine::session::Request;

use crate::features::export::ExportOrder;
use crate::features::xy_plot::XyPlotRun;
use crate::hub::HubCommand;
use crate::library::ScanCommand;

/// What must be done outside the state.
#[derive(Clone, Debug)]
pub enum Effect {
    Send(Request),
    /// Save finished pictures.
    Save(Box<Batch>),
    SavePlot(PlotToSave),
    WriteFilm(ExportOrder),
    /// A command for the library scanner.
    Library(ScanCommand),
    /// Watch these folders for concepts.
    WatchConcepts(Vec<PathBuf>),
    Hub(HubCommand),
    Task(Task),
}

/// What takes time or asks the system, and is done on a thread of its own.
#[derive(Clone, Debug)]
pub enum Task {
    /// Ask for a start image.
    PickPicture,
    PickModelFolder,
    PickModelFile,
    PickOutputFolder,
    /// Ask for the file name of an animation; `name` is a suggestion without an extension.
    PickFilm {
        format: AnimationFormat,
        name: String,
        folder: PathBuf,
    },
    PickLibraryFolder,
    /// Read a start image, for its thumbnail and size.
    ReadStartImage(PathBuf),
    /// Save the clipboard's picture as a file and use it as the start image.
    PastePicture,
    /// Find out what dropped files are.
    Inspect(Vec<PathBuf>),
    /// Ask for files of any kind, and find out what they are.
    PickFiles,
    /// Ask for a picture and read it as the mask of a guide.
    PickMask {
        guide: usize,
    },
    /// Read the clipboard's picture, to paint it.
    PastePaint,
    PickConcepts,
    /// Write the concepts of the built-in model into this folder.
    AddBuiltInConcepts(PathBuf),
    PickConceptFolder,
    ReadConcepts(Vec<PathBuf>),
    /// Ask for a file name and write it.
    SaveConcept {
        token: String,
        vectors: Vec<Vec<f32>>,
    },
    Copy(Arc<Pixels>),
    /// Convert a pickle to safetensors.
    Convert {
        file: PathBuf,
        stop: StopFlag,
    },
    /// List the graphics adapters of this machine.
    ListAdapters,
    /// Compare a device with the CPU.
    CheckDevice {
        choice: DeviceChoice,
        stop: StopFlag,
    },
    /// Show a folder in the system's file manager.
    OpenFolder(PathBuf),
}

/// A finished X/Y plot to save.
#[derive(Clone, Debug)]
pub struct PlotToSave {
    pub model: String,
    pub vae: Option<String>,
    pub folder: PathBuf,
    pub made: Box<XyPlotRun>,
}

/// The pictures of one finished job, and their recipe.
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
