//! What a person asks for.
//!
//! Panels push [`Command`]s, each feature's own among them; `AppState` answers each with the effects that
//! `window/app.rs` carries out.

use engine::recipe::Recipe;

use crate::features::attention::AttentionCommand;
use crate::features::branches::BranchCommand;
use crate::features::brush::BrushCommand;
use crate::features::canvas::ViewCommand;
use crate::features::concepts::ConceptCommand;
use crate::features::convert::ConvertCommand;
use crate::features::device::DeviceCommand;
use crate::features::download::DownloadCommand;
use crate::features::drop::DropCommand;
use crate::features::errors::ErrorSlot;
use crate::features::export::ExportCommand;
use crate::features::film::FilmCommand;
use crate::features::guides::GuidesCommand;
use crate::features::inspect::InspectCommand;
use crate::features::lesson::LessonCommand;
use crate::features::models::{LibraryCommand, ModelCommand};
use crate::features::settings::SettingsCommand;
use crate::features::start_image::StartImageCommand;
use crate::features::trajectory_map::TrajectoryMapCommand;
use crate::features::words::WordsCommand;
use crate::features::xy_plot::XyPlotCommand;

/// A request of the user.
#[derive(Clone, Debug)]
pub enum Command {
    /// The recipe as the panels edited it.
    Edit(Box<Recipe>),
    Generate,
    /// Stops the current run and removes the queued one.
    Stop,
    ForgetQueued,
    RollSeed,
    ToggleSeedLock,
    Dismiss(ErrorSlot),
    Attention(AttentionCommand),
    Branch(BranchCommand),
    Brush(BrushCommand),
    Concept(ConceptCommand),
    Convert(ConvertCommand),
    Device(DeviceCommand),
    Download(DownloadCommand),
    Drop(DropCommand),
    Export(ExportCommand),
    Film(FilmCommand),
    Guides(GuidesCommand),
    Inspect(InspectCommand),
    Lesson(LessonCommand),
    Library(LibraryCommand),
    Model(ModelCommand),
    Settings(SettingsCommand),
    StartImage(StartImageCommand),
    TrajectoryMap(TrajectoryMapCommand),
    View(ViewCommand),
    Words(WordsCommand),
    XyPlot(XyPlotCommand),
}
