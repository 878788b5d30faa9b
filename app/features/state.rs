//! All that the window knows. Panels read it and push commands.
//!
//! Architecture Invariant: it changes in [`AppState::handle`] and [`AppState::receive`] only, both
//! of which are tested without a window; whatever must happen outside is returned as [`Effect`]s.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use engine::checkpoint::ModelSource;
use engine::concepts::ConceptSet;
use engine::diffusion::ScheduleOptions;
use engine::images::Pixels;
use engine::pipeline::{ModelInfo, StopFlag};
use engine::prompt::PromptTokenizer;
use engine::recipe::{Recipe, RecipeError, Start};

use crate::features::attention::AttentionState;
use crate::features::branches::{Branches, QueuedRun};
use crate::features::command::{Command, Dropped, Effect, FileContents};
use crate::features::convert::Conversion;
use crate::features::download::DownloadState;
use crate::features::errors::{ErrorSlot, Errors, slot_for};
use crate::features::export::ExportState;
use crate::features::film::FilmState;
use crate::features::generate::run::Run;
use crate::features::inspect::InspectState;
use crate::features::prompt::read_prompt::ReadPrompt;
use crate::features::settings::Settings;
use crate::features::words::WordsState;
use crate::features::xy_plot::XyPlotState;
use crate::library::{Library, ScanStatus};

/// The state of the desk.
#[derive(Clone, Debug)]
pub struct AppState {
    /// What the panels show and edit; a run has its own copy.
    pub recipe: Recipe,
    /// What is the same at the next start, but for the recipe: [`Self::settings_to_save`].
    pub settings: Settings,
    pub model: Model,
    pub concepts: ConceptSet,
    /// Files that were to be concepts, each with the sentence that says why it is none.
    pub refused_concepts: BTreeMap<PathBuf, String>,
    /// What the last model read, concepts among it.
    pub words: Option<PromptTokenizer>,
    /// The prompts as they are read, once there is a model to read them.
    pub prompt: Option<Arc<ReadPrompt>>,
    pub negative_prompt: Option<Arc<ReadPrompt>>,
    pub words_state: WordsState,
    /// The start image, once read.
    pub start_picture: Option<StartPicture>,
    /// The run at hand; the others are among the branches.
    pub run: Option<Run>,
    pub branches: Branches,
    pub sheet: XyPlotState,
    pub queued: Option<QueuedRun>,
    pub film: FilmState,
    pub looking: InspectState,
    pub attention: AttentionState,
    pub export: ExportState,
    pub download: DownloadState,
    pub conversion: Conversion,
    pub dropped: Option<Dropped>,
    pub errors: Errors,
    /// The models on this machine, as far as they are known.
    pub library: Arc<Library>,
    /// What the list of models is searched for.
    pub model_search: String,
    /// Files of the last batch.
    pub saved: Vec<PathBuf>,
    /// The right side panel lies over the picture, where the window is narrow.
    pub drawer_open: bool,
    /// What the engine wanted known, until the next run.
    pub warning: Option<String>,
    /// On the canvas until the run at hand has a picture of its own.
    pub(crate) previous_images: Vec<Arc<Pixels>>,
    /// Of the newest opening.
    pub(crate) opening: StopFlag,
    /// The model that was open last.
    pub(crate) current_source: Option<ModelSource>,
    /// Over it.
    pub(crate) current_vae: Option<PathBuf>,
    pub(crate) next_job: u64,
    pub(crate) last_seed: Option<u64>,
}

/// The model at hand.
#[derive(Clone, Debug)]
pub enum Model {
    Opening { name: String, fraction: f32 },
    Open(Box<ModelInfo>),
    Missing,
}

/// A start image as it is shown.
#[derive(Clone, Debug)]
pub struct StartPicture {
    pub pixels: Arc<Pixels>,
    /// Sentences, such as that only the first frame is used.
    pub notes: Vec<String>,
}

/// What the canvas shows.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    pub pictures: &'a [Arc<Pixels>],
    /// `None` for the run's best.
    pub step: Option<usize>,
    /// Decoded in full, not a preview.
    pub is_full: bool,
}

/// How much of a start image is forgotten unless said otherwise.
pub const DEFAULT_STRENGTH: f32 = 0.6;

impl AppState {
    pub fn new(settings: Settings) -> Self {
        let is_first_start = settings.last_recipe == Recipe::default();
        let last_seed = settings.last_recipe.seed;
        Self {
            recipe: settings.last_recipe.clone(),
            settings,
            model: Model::Missing,
            concepts: ConceptSet::default(),
            refused_concepts: BTreeMap::new(),
            words: None,
            prompt: None,
            negative_prompt: None,
            words_state: WordsState::default(),
            start_picture: None,
            run: None,
            branches: Branches::default(),
            sheet: XyPlotState::default(),
            queued: None,
            film: FilmState::default(),
            looking: InspectState::default(),
            attention: AttentionState::default(),
            export: ExportState::default(),
            download: DownloadState::default(),
            conversion: Conversion::default(),
            dropped: None,
            errors: Errors::default(),
            // Until the librarian has been through the folders, nobody knows that there is none.
            library: Arc::new(Library { work: ScanStatus::Scanning, ..Library::default() }),
            model_search: String::new(),
            saved: Vec::new(),
            drawer_open: false,
            warning: None,
            previous_images: Vec::new(),
            opening: StopFlag::default(),
            current_source: None,
            current_vae: None,
            next_job: 1,
            // The seed of the last session was used up in it.
            last_seed: (!is_first_start).then_some(last_seed),
        }
    }

    /// What is to be done when the window opens.
    pub fn begin(&mut self) -> Vec<Effect> {
        let mut effects = self.open_model(self.settings.model.clone());
        effects.extend(self.read_start_image());
        effects.extend(self.look_for_models());
        effects.extend(self.begin_concepts());
        effects.push(Self::find_unfinished());
        effects
    }

    /// What the settings file is to hold.
    pub fn settings_to_save(&self) -> Settings {
        Settings { last_recipe: self.recipe.clone(), ..self.settings.clone() }
    }

    pub fn model_info(&self) -> Option<&ModelInfo> {
        match &self.model {
            Model::Open(info) => Some(info),
            _ => None,
        }
    }

    /// The run that is going on.
    pub fn live_run(&self) -> Option<&Run> {
        self.run.iter().chain(&self.branches.kept).find(|run| run.is_live())
    }

    /// Why the recipe as it stands cannot be run, on the model that is open.
    pub fn recipe_error(&self) -> Option<RecipeError> {
        let of_model = || {
            let trained = &self.model_info()?.scheduler;
            let is_usual = self.recipe.schedule_options == ScheduleOptions::default();
            let noise = (!is_usual).then(|| self.recipe.noise_schedule(trained))?;
            noise.and_then(|noise| self.recipe.sigmas(&noise)).err()
        };
        self.recipe.check().err().or_else(of_model)
    }

    /// The sentence that belongs at a place: of the recipe as it stands, or of something that failed.
    pub fn error_at(&self, place: ErrorSlot) -> Option<String> {
        match self.recipe_error() {
            Some(error) if slot_for(&error) == place => Some(error.to_string()),
            _ => self.errors.at(place).map(str::to_owned),
        }
    }

    /// Does what was asked, and says what is left to be done outside.
    pub fn handle(&mut self, command: Command) -> Vec<Effect> {
        use Command::{PinStep, ScrubTo, StepBy, TogglePlay, View};
        if matches!(command, PinStep(_) | ScrubTo(_) | StepBy(_) | TogglePlay { .. } | View(_)) {
            self.hide_sheet();
        }
        let mut effects = self.carry_out(command);
        self.follow_film();
        self.update_overlay();
        effects.extend(self.look());
        effects
    }

    pub(crate) fn carry_out(&mut self, command: Command) -> Vec<Effect> {
        match command {
            Command::Edit(recipe) => self.edit(*recipe),
            Command::Generate => return self.generate(),
            Command::Stop => self.stop(),
            Command::ForgetQueued => self.queued = None,
            Command::RollSeed => self.recipe.seed = super::generate::handle::fresh_seed(),
            Command::ToggleSeedLock => self.settings.seed_locked = !self.settings.seed_locked,
            Command::ChooseStartImage => return vec![Effect::PickPicture],
            Command::PasteStartImage => return vec![Effect::PastePicture],
            Command::UseStartImage(path) => return self.use_start_image(path, None),
            Command::RemoveStartImage => {
                self.recipe.start = Start::Noise;
                self.start_picture = None;
                self.errors.clear(ErrorSlot::StartImage);
            }
            Command::Drop(paths) => return vec![Effect::Inspect(paths)],
            Command::ChooseConcepts => return vec![Effect::PickConcepts],
            Command::ChooseConceptFolder => return vec![Effect::PickConceptFolder],
            Command::ForgetConcept(file) => self.forget_concept(&file),
            Command::ForgetConceptFolder(folder) => return self.forget_concept_folder(&folder),
            Command::UseDroppedSettings => return self.use_dropped_settings(),
            Command::UseDroppedAsStart => {
                if let Some(Dropped { path, contents }) = self.dropped.take()
                    && let FileContents::Picture { pixels, notes, .. } = contents
                {
                    return self.use_start_image(path, Some(StartPicture { pixels, notes }));
                }
            }
            Command::DismissDropped => self.dropped = None,
            Command::ChooseModelFolder => return vec![Effect::PickModelFolder],
            Command::ChooseModelFile => return vec![Effect::PickModelFile],
            Command::Download(command) => return self.handle_download(command),
            Command::Branch(command) => return self.handle_branch(command),
            Command::Words(command) => self.handle_words(command),
            Command::Sheet(command) => return self.handle_sheet(command),
            Command::ComputeAttentionMaps(command) => return self.handle_attend(command),
            Command::Convert(command) => return self.handle_conversion(command),
            Command::OpenModel(source) => return self.open_model(source),
            Command::Library(command) => return self.handle_library(command),
            Command::UseVae(vae) => return self.use_vae(vae),
            Command::StopOpening => return self.stop_opening(),
            Command::HoverStep(step) => self.film.hovered = step,
            Command::PinStep(step) => return self.pin(step),
            Command::ScrubTo(step) => return self.scrub_to(step),
            Command::StepBy(by) => return self.step_by(by),
            Command::TogglePlay { now } => {
                self.toggle_play(now);
                return self.decode_held_step();
            }
            Command::Tick { now } => self.tick(now),
            Command::View(command) => return self.handle_view(command),
            Command::Inspect(command) => self.handle_look(command),
            Command::Lesson(command) => return self.handle_lesson(command),
            Command::ShowPicture(picture) => self.film.picture = picture,
            Command::CopyPicture => {
                let picture = self.film.picture.unwrap_or(0);
                let shown = self.shown_of(self.settings.views.first());
                let shown = shown.and_then(|shown| shown.pictures.get(picture));
                return shown.map(|pixels| Effect::Copy(Arc::clone(pixels))).into_iter().collect();
            }
            Command::SetTheme(theme) => self.settings.theme = theme,
            Command::ShowSchedule(plot) => self.settings.schedule_plot = plot,
            Command::ShowTab { tab, drawer } => {
                let window = &mut self.settings.window;
                window.tab = tab.unwrap_or(window.tab);
                if drawer {
                    self.drawer_open = tab.is_some();
                } else {
                    window.right_folded = tab.is_none();
                }
            }
            Command::FoldPanels => {
                self.film.hovered = None;
                let window = &mut self.settings.window;
                let folded = !(window.left_folded && window.right_folded);
                (window.left_folded, window.right_folded) = (folded, folded);
                self.drawer_open = false;
            }
            Command::KeepWindow(window) => self.settings.window = window,
            Command::Export(command) => return self.handle_export(command),
            Command::OpenOutputFolder => {
                return vec![Effect::OpenFolder(self.settings.output_folder())];
            }
            Command::OpenFolder(folder) => return vec![Effect::OpenFolder(folder)],
            Command::ChooseOutputFolder => return vec![Effect::PickOutputFolder],
            Command::Dismiss(place) => self.errors.clear(place),
        }
        Vec::new()
    }

    pub(crate) fn start_path(&self) -> Option<&PathBuf> {
        match &self.recipe.start {
            Start::Image { path, .. } => Some(path),
            Start::Noise => None,
        }
    }

    pub(crate) fn use_start_image(&mut self, path: PathBuf, read: Option<StartPicture>) -> Vec<Effect> {
        let strength = match self.recipe.start {
            Start::Image { strength, .. } => strength,
            Start::Noise => DEFAULT_STRENGTH,
        };
        self.recipe.start = Start::Image { path, strength };
        self.errors.clear(ErrorSlot::StartImage);
        self.start_picture = read;
        if self.start_picture.is_some() { Vec::new() } else { self.read_start_image() }
    }

    pub(crate) fn read_start_image(&self) -> Vec<Effect> {
        self.start_path().cloned().map(Effect::ReadStartImage).into_iter().collect()
    }

    pub(crate) fn use_dropped_settings(&mut self) -> Vec<Effect> {
        let Some(Dropped { contents: FileContents::Picture { found: Some(found), .. }, .. }) =
            self.dropped.take()
        else {
            return Vec::new();
        };
        self.start_picture = None;
        self.last_seed = None;
        let missing = self.concepts.missing(&found.provenance.concepts);
        self.warning = missing.first().or(found.notes.first()).cloned();
        self.edit(found.provenance.recipe);
        self.read_start_image()
    }
}
