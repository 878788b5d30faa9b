//! The state of the window. Panels read it and push commands.
//!
//! Architecture Invariant: it changes in [`AppState::handle`] and [`AppState::receive`] only, both
//! of which are tested without a window; whatever must happen outside is returned as [`Effect`]s.

use std::path::PathBuf;
use std::sync::Arc;

use engine::diffusion::ScheduleOptions;
use engine::images::Pixels;
use engine::pipeline::ModelInfo;
use engine::recipe::{Recipe, RecipeError, Start, random_seed};
use engine::session::Event;

use crate::features::attention::AttentionState;
use crate::features::branches::Runs;
use crate::features::brush::BrushState;
use crate::features::command::Command;
use crate::features::concepts::Concepts;
use crate::features::convert::Conversion;
use crate::features::device::DeviceState;
use crate::features::download::DownloadState;
use crate::features::drop::Dropped;
use crate::features::effect::Effect;
use crate::features::errors::{ErrorSlot, Errors, slot_for};
use crate::features::event::AppEvent;
use crate::features::export::ExportState;
use crate::features::film::FilmState;
use crate::features::guides::GuidesState;
use crate::features::inspect::InspectState;
use crate::features::models::Models;
use crate::features::prompt::Prompts;
use crate::features::settings::Settings;
use crate::features::start_image::StartPicture;
use crate::features::trajectory_map::TrajectoryMapState;
use crate::features::words::WordsState;
use crate::features::xy_plot::XyPlotState;
use crate::library::{Library, ScanStatus};

/// The state of the window: what several features read, and what each feature owns.
#[derive(Clone, Debug)]
pub struct AppState {
    pub shared: Shared,
    pub models: Models,
    pub concepts: Concepts,
    pub prompts: Prompts,
    pub words: WordsState,
    /// The start image, once it is read.
    pub start_picture: Option<StartPicture>,
    pub runs: Runs,
    pub film: FilmState,
    pub brush: BrushState,
    pub xy_plot: XyPlotState,
    pub inspect: InspectState,
    pub trajectory_map: TrajectoryMapState,
    pub attention: AttentionState,
    pub guides: GuidesState,
    pub export: ExportState,
    pub download: DownloadState,
    pub conversion: Conversion,
    pub device: DeviceState,
    pub dropped: Option<Dropped>,
}

/// What three or more features read.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The recipe that the panels edit; a run has its own copy.
    pub recipe: Recipe,
    /// What is kept until the next start, except the recipe: see [`Self::settings_to_save`].
    pub settings: Settings,
    pub model: Model,
    /// The models on this machine, as scanned so far.
    pub library: Arc<Library>,
    pub errors: Errors,
    /// What is left of a run of the program that ended in a crash, until the user has seen it.
    pub crash_report: Option<PathBuf>,
    /// Files can be dropped on the window.
    pub takes_drops: bool,
    /// A warning of the engine, until the next run.
    pub warning: Option<String>,
    /// The files of the last batch.
    pub saved: Vec<PathBuf>,
    /// In a narrow window: the right panel is open over the picture.
    pub drawer_open: bool,
}

/// The current model.
#[derive(Clone, Debug)]
pub enum Model {
    Opening { name: String, fraction: f32 },
    Open(Box<ModelInfo>),
    Missing,
}

/// What the canvas shows.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    pub pictures: &'a [Arc<Pixels>],
    /// `None` for the run's best picture.
    pub step: Option<usize>,
    /// Fully decoded, not a preview.
    pub is_full: bool,
}

impl AppState {
    pub fn new(settings: Settings) -> Self {
        let is_first_start = settings.last_recipe == Recipe::default();
        // The seed of the last session has been used.
        let last_seed = (!is_first_start).then_some(settings.last_recipe.seed);
        Self {
            shared: Shared::new(settings),
            models: Models::default(),
            concepts: Concepts::default(),
            prompts: Prompts::default(),
            words: WordsState::default(),
            start_picture: None,
            runs: Runs::new(last_seed),
            film: FilmState::default(),
            brush: BrushState::default(),
            xy_plot: XyPlotState::default(),
            inspect: InspectState::default(),
            trajectory_map: TrajectoryMapState::default(),
            attention: AttentionState::default(),
            guides: GuidesState::default(),
            export: ExportState::default(),
            download: DownloadState::default(),
            conversion: Conversion::default(),
            device: DeviceState::default(),
            dropped: None,
        }
    }

    /// The effects to carry out when the window opens.
    pub fn begin(&mut self) -> Vec<Effect> {
        let mut effects = self.open_model(self.shared.settings.model.clone());
        effects.extend(self.read_start_image());
        effects.extend(self.look_for_models());
        effects.extend(self.begin_concepts());
        effects.push(DownloadState::find_unfinished());
        effects
    }

    /// Applies a command and returns the effects to carry out.
    pub fn handle(&mut self, command: Command) -> Vec<Effect> {
        let effects = self.handle_one(command);
        self.refresh(effects)
    }

    /// Applies an event and returns the effects to carry out.
    pub fn receive(&mut self, event: impl Into<AppEvent>) -> Vec<Effect> {
        let effects = self.receive_one(event.into());
        self.refresh(effects)
    }

    /// What follows from the rest, so that no panel sees some of it from before and some from after.
    fn refresh(&mut self, mut effects: Vec<Effect>) -> Vec<Effect> {
        self.follow_film();
        self.follow_drawing();
        self.update_overlay();
        self.update_gradient_overlay();
        effects.extend(self.request_inspection());
        effects.extend(self.watch_map());
        effects
    }

    fn handle_one(&mut self, command: Command) -> Vec<Effect> {
        match command {
            Command::Edit(recipe) => self.edit(*recipe),
            Command::Generate => return self.generate(),
            Command::Stop => self.stop(),
            Command::ForgetQueued => self.runs.queued = None,
            Command::RollSeed => self.shared.recipe.seed = random_seed(),
            Command::ToggleSeedLock => self.shared.settings.seed_locked = !self.shared.settings.seed_locked,
            Command::Dismiss(place) => self.shared.errors.clear(place),
            Command::Attention(command) => return self.handle_attend(command),
            Command::Branch(command) => return self.handle_branch(command),
            Command::Brush(command) => return self.handle_brush(command),
            Command::Concept(command) => return self.handle_concepts(command),
            Command::Convert(command) => return self.handle_conversion(command),
            Command::Device(command) => return self.handle_device(command),
            Command::Download(command) => return self.download.handle(command),
            Command::Drop(command) => return self.handle_drop(command),
            Command::Export(command) => return self.handle_export(command),
            Command::Film(command) => return self.handle_film(command),
            Command::Guides(command) => self.handle_guides(command),
            Command::Inspect(command) => self.inspect.handle(command),
            Command::Lesson(command) => return self.handle_lesson(command),
            Command::Library(command) => return self.handle_library(command),
            Command::Model(command) => return self.handle_model(command),
            Command::Settings(command) => return self.handle_settings(command),
            Command::StartImage(command) => return self.handle_start_image(command),
            Command::TrajectoryMap(command) => return self.handle_trajectory_map(command),
            Command::View(command) => return self.handle_view(command),
            Command::Words(command) => self.handle_words(command),
            Command::XyPlot(command) => return self.handle_sheet(command),
        }
        Vec::new()
    }

    fn receive_one(&mut self, event: AppEvent) -> Vec<Effect> {
        match event {
            AppEvent::Engine(Event::Model(event)) => return self.receive_model(event),
            AppEvent::Engine(Event::Job { id, event }) => return self.receive_job(id, event),
            AppEvent::Engine(Event::Inspection { id, result }) => return self.receive_inspection(id, result),
            AppEvent::Engine(Event::TrajectoryMap(map)) => self.trajectory_map.map = Some(map),
            AppEvent::Engine(Event::AttentionMaps { job, event }) => self.receive_attended(job, event),
            AppEvent::Engine(Event::Warning { text }) => self.shared.warning = Some(text),
            AppEvent::Brush(event) => self.receive_brush(event),
            AppEvent::Saved(files) => {
                self.shared.errors.clear(ErrorSlot::Output);
                self.shared.saved = files;
            }
            AppEvent::SaveFailed(text) => self.shared.errors.set(ErrorSlot::Output, text),
            AppEvent::Warning(text) => self.shared.warning = Some(text),
            AppEvent::StartImagePicked(path) => return self.use_start_image(path, None),
            AppEvent::StartImageRead { path, picture, notes } => {
                self.receive_start_image(path, picture, notes);
            }
            AppEvent::PasteFailed(text) => self.shared.errors.set(ErrorSlot::StartImage, text),
            AppEvent::Inspected(dropped) => return self.receive_dropped_files(dropped),
            AppEvent::ConceptNotSaved(text) => self.shared.errors.set(ErrorSlot::Words, text),
            AppEvent::Concepts(news) => self.receive_concepts(news),
            AppEvent::ConceptsChosen(news) => self.receive_chosen_concepts(news),
            AppEvent::ConceptFolderPicked(folder) => return self.add_concept_folder(folder),
            AppEvent::ModelPicked(source) => return self.open_model(source),
            AppEvent::LibraryFolderPicked(folder) => return self.add_model_folder(folder),
            AppEvent::Library(library) => return self.receive_library(library),
            AppEvent::Conversion(report) => return self.receive_conversion(report),
            AppEvent::Device(event) => self.receive_device(event),
            AppEvent::Engine(Event::Animation(event)) => return self.receive_cut(event),
            AppEvent::FilmPicked(path) => return self.export_to(path),
            AppEvent::Film(news) => self.receive_film(news),
            AppEvent::Hub(report) => return self.receive_report(report),
            AppEvent::OutputFolderPicked(folder) => {
                self.shared.errors.clear(ErrorSlot::Output);
                self.shared.settings.output_folder = Some(folder);
            }
        }
        Vec::new()
    }
}

impl Shared {
    fn new(settings: Settings) -> Self {
        Self {
            recipe: settings.last_recipe.clone(),
            settings,
            model: Model::Missing,
            // Until the first scan is complete, an empty library means nothing.
            library: Arc::new(Library { status: ScanStatus::Scanning, ..Library::default() }),
            errors: Errors::default(),
            crash_report: None,
            takes_drops: true,
            warning: None,
            saved: Vec::new(),
            drawer_open: false,
        }
    }

    /// The settings to write to the settings file.
    pub fn settings_to_save(&self) -> Settings {
        Settings { last_recipe: self.recipe.clone(), ..self.settings.clone() }
    }

    pub fn model_info(&self) -> Option<&ModelInfo> {
        match &self.model {
            Model::Open(info) => Some(info),
            _ => None,
        }
    }

    /// Why the current recipe cannot be run on the open model.
    pub fn recipe_error(&self) -> Option<RecipeError> {
        let of_model = || {
            let trained = &self.model_info()?.scheduler;
            let is_usual = self.recipe.schedule_options == ScheduleOptions::default();
            let noise = (!is_usual).then(|| self.recipe.noise_schedule(trained))?;
            noise.and_then(|noise| self.recipe.sigmas(&noise)).err()
        };
        self.recipe.check().err().or_else(of_model)
    }

    /// The error for a slot: of the current recipe, or of something that failed.
    pub fn error_at(&self, place: ErrorSlot) -> Option<String> {
        match self.recipe_error() {
            Some(error) if slot_for(&error) == place => Some(error.to_string()),
            _ => self.errors.at(place).map(str::to_owned),
        }
    }

    pub(crate) fn start_path(&self) -> Option<&PathBuf> {
        match &self.recipe.start {
            Start::Image { path, .. } => Some(path),
            Start::Noise => None,
        }
    }
}
