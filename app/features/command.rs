//! What a person asks for, and what must happen in the world because of it.
//!
//! Panels push [`Command`]s; `AppState` answers each with [`Effect`]s, which `app.rs` carries out.
//! What comes back from the engine and from our own threads is [`AppEvent`].

use std::path::PathBuf;
use std::sync::Arc;

use engine::checkpoint::ModelSource;
use engine::concepts::{Concept, ConceptRef};
use engine::diffusion::StepView;
use engine::images::{AnimationFormat, FoundRecipe, Pixels};
use engine::pipeline::StopFlag;
use engine::pipeline::animation_export::AnimationOptions;
use engine::prompt::{EmbeddingEdit, TokenSelector};
use engine::recipe::Recipe;
use engine::session::{Event, JobId, Request};

use crate::features::concepts::watch::ConceptsRead;
use crate::features::convert::ConversionReport;
use crate::features::errors::ErrorSlot;
use crate::features::export::{ExportEvent, ExportOrder};
use crate::features::film::PlaybackSettings;
use crate::features::lesson::LessonCommand;
use crate::features::schedule::curves::SchedulePlot;
use crate::features::settings::{Tab, ThemeChoice, WindowLayout};
use crate::features::xy_plot::{AxisField, XyPlotRun};
use crate::hub;
use crate::library::{Library, ScanCommand};

/// A wish of the person at the desk.
#[derive(Clone, Debug)]
pub enum Command {
    /// The recipe as the panels left it.
    Edit(Box<Recipe>),
    Generate,
    /// Ends the run at hand and forgets the one in the queue.
    Stop,
    ForgetQueued,
    RollSeed,
    ToggleSeedLock,
    ChooseStartImage,
    PasteStartImage,
    UseStartImage(PathBuf),
    RemoveStartImage,
    /// Files or folders let go over the window.
    Drop(Vec<PathBuf>),
    UseDroppedSettings,
    UseDroppedAsStart,
    DismissDropped,
    ChooseConcepts,
    ChooseConceptFolder,
    /// Of a file that is a concept or was refused as one.
    ForgetConcept(PathBuf),
    ForgetConceptFolder(PathBuf),
    ChooseModelFolder,
    ChooseModelFile,
    OpenModel(ModelSource),
    Library(LibraryCommand),
    Download(DownloadCommand),
    Branch(BranchCommand),
    Sheet(XyPlotCommand),
    Words(WordsCommand),
    ComputeAttentionMaps(AttentionCommand),
    Convert(ConvertCommand),
    /// A VAE over the model's own; `None` takes it off again.
    UseVae(Option<PathBuf>),
    /// Ends the opening at hand and goes back to the model before it.
    StopOpening,
    /// The step under the pointer.
    HoverStep(Option<usize>),
    /// Holds a step on the canvas; `None` lets it go.
    PinStep(Option<usize>),
    /// Holds whatever step the hand comes to.
    ScrubTo(usize),
    /// One step of the film back or on.
    StepBy(isize),
    /// `now` in seconds of any clock that goes on.
    TogglePlay {
        now: f64,
    },
    Tick {
        now: f64,
    },
    View(ViewCommand),
    Inspect(InspectCommand),
    Lesson(LessonCommand),
    /// One picture of a batch, or all of them.
    ShowPicture(Option<usize>),
    CopyPicture,
    SetTheme(ThemeChoice),
    ShowSchedule(SchedulePlot),
    /// Opens the right side at a tab, or closes it; on a narrow window it is a drawer.
    ShowTab {
        tab: Option<Tab>,
        drawer: bool,
    },
    /// F: all for the picture, or everything back.
    FoldPanels,
    /// The window was moved or resized.
    KeepWindow(WindowLayout),
    Export(ExportCommand),
    OpenOutputFolder,
    OpenFolder(PathBuf),
    ChooseOutputFolder,
    Dismiss(ErrorSlot),
}

/// A wish about runs that grow out of one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BranchCommand {
    /// The next run leaves the one at hand at a step; without one, at the step that is looked at.
    Leave(Option<usize>),
    /// The next run begins anew after all.
    Stay,
    /// The run at hand, which was stopped, goes on.
    GoOn,
    /// Brings another run back to the canvas.
    Show(JobId),
    Name(JobId, String),
    /// Holds the end of another run beside the one at hand, behind a divider.
    Compare(JobId),
    /// Takes a run out of the list.
    Forget(JobId),
    /// The settings of the run at hand, for the next one.
    TakeSettings,
}

/// A wish about what of the film is on the canvas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ViewCommand {
    /// One view alone; or, where several are side by side, shows or hides that one.
    Choose(StepView),
    /// One view alone, whatever was shown.
    Alone(StepView),
    SideBySide(bool),
    /// Puts a step beside the one at hand, behind a divider; `None` takes it away.
    Compare(Option<usize>),
    /// How films are played from now on.
    Play {
        how: PlaybackSettings,
        now: f64,
    },
}

/// A wish about looks into latent space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InspectCommand {
    /// Noise of this step of the schedule, from 0 on.
    NoiseStep(usize),
    /// The start image, or the finished picture.
    AtStartImage(bool),
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

/// A wish about the comparison sheet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XyPlotCommand {
    /// Something else differs there, with the values one would compare first.
    Vary {
        down: bool,
        /// One of [`engine::recipe::xy_plot::Axis::NAMES`].
        name: &'static str,
    },
    Across(AxisField),
    /// Without one there is a single row.
    Down(Option<AxisField>),
    Make,
    Cancel,
    /// On the canvas, or the run's picture again.
    Show(bool),
}

/// A wish about single words of the prompt; their edits are the recipe's.
#[derive(Clone, Debug, PartialEq)]
pub enum WordsCommand {
    /// The token that is looked at, if any.
    Choose(Option<TokenSelector>),
    /// A slider or a field is let go: what comes next is undone by itself.
    EndEdit,
    /// What edits put in the place of their words, as a concept.
    Save {
        edits: Vec<EmbeddingEdit>,
        token: String,
    },
    Undo,
    Redo,
}

/// A wish about where the words of the run at hand look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionCommand {
    Ask,
    Stop,
    /// A light on the picture, or none.
    Overlay(bool),
}

/// A wish about the model at hand, which lies in a pickle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConvertCommand {
    /// Write it as safetensors.
    Start,
    Cancel,
    /// It is to stay a pickle.
    Decline,
    /// Open what was written.
    UseIt,
    Close,
}

/// A wish about the film as a file.
#[derive(Clone, Debug, PartialEq)]
pub enum ExportCommand {
    /// The card that tells what it will be.
    Show(bool),
    /// The same of the sheet.
    ShowOfSheet(bool),
    Choose(AnimationFormat, AnimationOptions),
    /// Asks where to.
    Start,
    Cancel,
    /// Of the file that was written.
    OpenFolder,
}

/// A wish about the model that is to be fetched.
#[derive(Clone, Debug)]
pub enum DownloadCommand {
    /// `owner/name`, as far as it is typed.
    Name(String),
    /// What is it?
    LookUp,
    /// What is Stable Diffusion 1.5?
    LookUpStandard,
    /// Begin, or go on.
    Start,
    Pause,
    /// Away with it, and with what has come.
    Cancel,
    DismissProblem,
}

/// What is to be done outside of the state.
#[derive(Clone, Debug)]
pub enum Effect {
    Send(Request),
    /// Keep finished pictures.
    Save(Box<Batch>),
    SaveSheet(SheetToSave),
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
    WriteFilm(ExportOrder),
    PickLibraryFolder,
    /// Something for the librarian.
    Library(ScanCommand),
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
    /// Look into these folders for concepts from now on.
    WatchConcepts(Vec<PathBuf>),
    Copy(Arc<Pixels>),
    Hub(hub::HubCommand),
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
    Inspected(Vec<Dropped>),
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
    Hub(hub::HubEvent),
    Conversion(ConversionReport),
    /// Something else went wrong, and a sentence is all there is to it.
    Trouble(String),
}

impl From<Event> for AppEvent {
    fn from(event: Event) -> Self {
        Self::Engine(event)
    }
}

/// A file that was let go over the window, once it has been looked into.
#[derive(Clone, Debug)]
pub struct Dropped {
    pub path: PathBuf,
    pub contents: FileContents,
}

#[derive(Clone, Debug)]
pub enum FileContents {
    /// A folder, or a file of weights.
    Model(ModelSource),
    Concept(Box<Concept>),
    /// What was to be a concept, and why it is none.
    InvalidConcept(String),
    /// A folder with models in it.
    ModelsFolder,
    /// A folder with concepts in it, and nothing larger.
    ConceptFolder,
    /// A picture, and the recipe inside it if there is one.
    Picture {
        pixels: Arc<Pixels>,
        notes: Vec<String>,
        found: Option<Box<FoundRecipe>>,
    },
    /// Why it is of no use here.
    Unusable(String),
}
