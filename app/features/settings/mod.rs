//! The settings that are kept between starts, and their file.
//!
//! The file is one readable JSON object. A new file is written beside it and renamed, so that
//! a crash or a full disk leaves the old one; the previous one stays as `settings.json.bak`;
//! a file that cannot be read is renamed, never overwritten.

mod handle;
pub(crate) mod tab;
mod window_system;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use directories::{ProjectDirs, UserDirs};
use engine::checkpoint::ModelSource;
use engine::device::DeviceChoice;
use engine::files::replace_file;
use engine::recipe::{Recipe, Start};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::features::canvas::views::Views;
use crate::features::device::CheckedDevice;
use crate::features::film::PlaybackSettings;
use crate::features::lesson::LessonProgress;
use crate::features::schedule::curves::SchedulePlot;
pub use crate::features::settings::tab::Tab;
pub use crate::features::settings::window_system::{WindowSystem, window_system_ui};
use crate::features::trajectory_map::MapSettings;

/// Everything that is kept until the next start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    pub theme: ThemeChoice,
    /// Where pictures are saved; `None` is [`default_output_folder`].
    pub output_folder: Option<PathBuf>,
    /// The recipe when the window closed.
    pub last_recipe: Recipe,
    /// The seed stays the same for every picture.
    pub seed_locked: bool,
    /// Watched concept folders; `None` is [`default_concept_folder`].
    pub concept_folders: Option<Vec<PathBuf>>,
    /// Concepts that were chosen individually.
    pub concept_files: Vec<PathBuf>,
    pub model: ModelSource,
    /// A VAE to use in place of the model's own.
    pub vae: Option<PathBuf>,
    /// Pickles for which converting is not offered again.
    pub kept_pickles: Vec<PathBuf>,
    /// Recently opened models, the latest first.
    pub recent_models: Vec<ModelSource>,
    /// Folders to search for models, besides the Hugging Face cache.
    pub model_folders: Vec<PathBuf>,
    /// The Hugging Face cache is not searched.
    pub hub_cache_hidden: bool,
    /// Hashing is paused.
    pub hashing_paused: bool,
    pub device: DeviceChoice,
    /// The GPUs whose check was made or declined.
    pub checked_devices: Vec<CheckedDevice>,
    /// Applies from the next start.
    pub window_system: WindowSystem,
    pub window: WindowLayout,
    pub schedule_plot: SchedulePlot,
    pub views: Views,
    pub playing: PlaybackSettings,
    pub trajectory_map: MapSettings,
    pub lesson: LessonProgress,
    /// Fields of a newer Tidepool, kept so that switching versions loses nothing.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// A request about settings.
#[derive(Clone, Debug, PartialEq)]
pub enum SettingsCommand {
    SetTheme(ThemeChoice),
    SetWindowSystem(WindowSystem),
    ShowSchedule(SchedulePlot),
    /// Opens the right panel at a tab, or closes it. In a narrow window it is a drawer.
    ShowTab {
        tab: Option<Tab>,
        drawer: bool,
    },
    /// F: hides both side panels, or shows them again.
    FoldPanels,
    /// The window was moved or resized.
    KeepWindow(WindowLayout),
    OpenOutputFolder,
    OpenFolder(PathBuf),
    /// Shows the folder of the crash reports.
    ShowCrashReport,
    ChooseOutputFolder,
}

/// Dark, light, or the system's choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ThemeChoice {
    #[default]
    System,
    Dark,
    Light,
}

impl ThemeChoice {
    pub const ALL: [Self; 3] = [Self::System, Self::Dark, Self::Light];

    /// Name in the window.
    pub fn label(self) -> &'static str {
        match self {
            Self::System => "System",
            Self::Dark => "Dark",
            Self::Light => "Light",
        }
    }

    /// The choice in egui's terms.
    pub(crate) fn preference(self) -> egui::ThemePreference {
        match self {
            Self::System => egui::ThemePreference::System,
            Self::Dark => egui::ThemePreference::Dark,
            Self::Light => egui::ThemePreference::Light,
        }
    }
}

/// Position, size and panels of the window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WindowLayout {
    /// In points, without the frame.
    pub size: [f32; 2],
    /// In points from the top left of the desktop; `None` lets the system place it.
    pub position: Option<[f32; 2]>,
    pub maximized: bool,
    /// The left side panel is folded away.
    pub left_folded: bool,
    /// The right side panel is folded away.
    pub right_folded: bool,
    /// What the right side panel shows.
    pub tab: Tab,
}

impl Default for WindowLayout {
    fn default() -> Self {
        Self {
            size: [1440.0, 900.0],
            position: None,
            maximized: false,
            left_folded: false,
            right_folded: false,
            tab: Tab::default(),
        }
    }
}

impl Settings {
    /// Reads the settings of `folder`. The sentence, if any, says what was wrong and what was done
    /// about it; there are always usable settings.
    pub fn load(folder: &Path) -> (Self, Option<String>) {
        let file = folder.join(FILE_NAME);
        let why = match read(&file) {
            Ok(settings) => return (settings, None),
            Err(ReadError::Absent) if !backup_of(&file).exists() => return (Self::default(), None),
            Err(ReadError::Absent) => "The settings file is missing".to_owned(),
            Err(ReadError::Unreadable(cause)) => {
                format!("The settings file could not be read ({cause}), so it was left as it is")
            }
            Err(ReadError::Broken(cause)) => match set_aside(&file) {
                Ok(kept) => {
                    format!(
                        "The settings file could not be read ({cause}). It was renamed to {}",
                        kept.display()
                    )
                }
                Err(_) => format!("The settings file could not be read ({cause})"),
            },
        };
        match read(&backup_of(&file)) {
            Ok(settings) => (settings, Some(format!("{why}. The previous settings are in use."))),
            Err(_) => (Self::default(), Some(format!("{why}. The default settings are in use."))),
        }
    }

    /// Writes the settings into `folder`, which is created if needed.
    pub fn save(&self, folder: &Path) -> Result<(), SaveError> {
        let file = folder.join(FILE_NAME);
        self.to_json()
            .map_err(io::Error::from)
            .and_then(|json| replace_with_backup(&file, &json))
            .map_err(|error| SaveError { cause: error.to_string(), file })
    }

    /// Paths that are not valid text are written lossily.
    ///
    /// # Errors
    /// Values that could not be read back, such as NaN, are not written.
    fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        let as_text = |path: &mut PathBuf| *path = path.to_string_lossy().into_owned().into();
        let mut this = self.clone();
        this.output_folder.as_mut().map(as_text);
        this.concept_folders
            .iter_mut()
            .flatten()
            .chain(&mut this.concept_files)
            .chain(&mut this.kept_pickles)
            .for_each(as_text);
        this.vae.as_mut().map(as_text);
        let before = this.lesson.previous.as_mut().map(|before| &mut before.recipe);
        for recipe in before.into_iter().chain([&mut this.last_recipe]) {
            if let Start::Image { path, .. } = &mut recipe.start {
                as_text(path);
            }
        }
        this.model_folders.iter_mut().for_each(as_text);
        for source in this.recent_models.iter_mut().chain([&mut this.model]) {
            if let ModelSource::Folder(path) | ModelSource::File(path) = source {
                as_text(path);
            }
        }
        let json = serde_json::to_vec_pretty(&this)?;
        serde_json::from_slice::<Self>(&json)?;
        Ok(json)
    }

    /// Where pictures are saved.
    pub fn output_folder(&self) -> PathBuf {
        self.output_folder.clone().unwrap_or_else(default_output_folder)
    }

    /// The watched concept folders.
    pub fn concept_folders(&self) -> Vec<PathBuf> {
        self.concept_folders.clone().unwrap_or_else(|| vec![default_concept_folder()])
    }
}

/// The settings could not be saved; everything else continues.
#[derive(Debug, thiserror::Error)]
#[error(
    "The settings could not be saved ({cause}). Free some space or allow writing there: {}",
    file.display()
)]
pub struct SaveError {
    cause: String,
    file: PathBuf,
}

/// Where the settings file lives: `TIDEPOOL_HOME` if it is set, else the system's folder for
/// configuration.
pub fn config_folder() -> PathBuf {
    if let Some(home) = home_override() {
        return home;
    }
    ProjectDirs::from("", "", "Tidepool")
        .map_or_else(|| PathBuf::from(".tidepool"), |dirs| dirs.config_dir().to_owned())
}

/// The default output folder: `Tidepool` in the user's pictures.
pub fn default_output_folder() -> PathBuf {
    if let Some(home) = home_override() {
        return home.join("pictures");
    }
    let user = UserDirs::new();
    let pictures = user
        .as_ref()
        .and_then(|dirs| dirs.picture_dir().map(Path::to_owned))
        .or_else(|| user.as_ref().map(|dirs| dirs.home_dir().to_owned()));
    pictures.unwrap_or_default().join("Tidepool")
}

/// The default concept folder, in the program's data.
pub fn default_concept_folder() -> PathBuf {
    if let Some(home) = home_override() {
        return home.join("concepts");
    }
    let dirs = ProjectDirs::from("", "", "Tidepool");
    dirs.map_or_else(|| PathBuf::from(".tidepool"), |dirs| dirs.data_dir().to_owned()).join("concepts")
}

/// The default folder for downloaded models. It is local: Windows does not copy it from computer to
/// computer.
pub fn models_folder() -> PathBuf {
    if let Some(home) = home_override() {
        return home.join("models");
    }
    ProjectDirs::from("", "", "Tidepool")
        .map_or_else(|| PathBuf::from(".tidepool"), |dirs| dirs.data_local_dir().to_owned())
        .join("models")
}

const FILE_NAME: &str = "settings.json";

fn home_override() -> Option<PathBuf> {
    std::env::var_os("TIDEPOOL_HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
}

enum ReadError {
    Absent,
    Unreadable(io::Error),
    Broken(String),
}

fn read(file: &Path) -> Result<Settings, ReadError> {
    let json = fs::read(file).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ReadError::Absent,
        _ => ReadError::Unreadable(error),
    })?;
    serde_json::from_slice(&json).map_err(|error| ReadError::Broken(error.to_string()))
}

/// Renames a broken file to the first free `settings.broken-<n>.json`.
fn set_aside(file: &Path) -> io::Result<PathBuf> {
    let kept = (1..)
        .map(|n| file.with_file_name(format!("settings.broken-{n}.json")))
        .find(|kept| !kept.exists())
        .expect("numbers do not run out");
    fs::rename(file, &kept)?;
    Ok(kept)
}

fn backup_of(file: &Path) -> PathBuf {
    file.with_file_name(format!("{FILE_NAME}.bak"))
}

/// Replaces `file` atomically and keeps the old contents as the backup.
fn replace_with_backup(file: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(file.parent().expect("the settings file has a folder"))?;
    // A file that broke meanwhile must not replace the good backup.
    match read(file) {
        Ok(_) => drop(fs::copy(file, backup_of(file))?),
        Err(ReadError::Broken(_)) => drop(set_aside(file)?),
        Err(ReadError::Absent | ReadError::Unreadable(_)) => {}
    }
    replace_file(file, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder for the test")
    }

    fn settings_with_seed(seed: u64) -> Settings {
        Settings { last_recipe: Recipe { seed, ..Recipe::default() }, ..Settings::default() }
    }

    #[test]
    fn what_is_saved_comes_back() {
        let folder = folder();
        let settings = Settings { theme: ThemeChoice::Dark, ..settings_with_seed(u64::MAX) };
        settings.save(&folder.path().join("not/yet/there")).expect("saves");
        assert_eq!(Settings::load(&folder.path().join("not/yet/there")), (settings, None));
    }

    #[test]
    fn the_first_start_has_nothing_to_report() {
        assert_eq!(Settings::load(folder().path()), (Settings::default(), None));
    }

    #[test]
    fn a_broken_file_is_set_aside_and_the_one_before_it_used() {
        let folder = folder();
        let path = |name: &str| folder.path().join(name);
        settings_with_seed(1).save(folder.path()).expect("saves");
        settings_with_seed(2).save(folder.path()).expect("saves");
        for n in 1..=2 {
            fs::write(path("settings.json"), "{\"theme\": \"da").expect("breaks");
            let (settings, note) = Settings::load(folder.path());
            assert_eq!(settings.last_recipe.seed, 1, "the backup");
            assert!(note.expect("says so").contains(&format!("settings.broken-{n}.json")));
            assert!(path(&format!("settings.broken-{n}.json")).exists());
        }
        settings_with_seed(3).save(folder.path()).expect("saves");
        assert_eq!(Settings::load(folder.path()).0.last_recipe.seed, 3);
    }

    #[test]
    fn saving_over_a_file_broken_meanwhile_keeps_the_good_backup() {
        let folder = folder();
        settings_with_seed(1).save(folder.path()).expect("saves");
        settings_with_seed(2).save(folder.path()).expect("saves");
        fs::write(folder.path().join("settings.json"), "").expect("empties");
        settings_with_seed(3).save(folder.path()).expect("saves");
        let backup = read(&folder.path().join("settings.json.bak"));
        assert_eq!(backup.ok().map(|settings| settings.last_recipe.seed), Some(1));
        assert!(folder.path().join("settings.broken-1.json").exists());
    }

    #[test]
    fn a_save_that_ended_between_its_two_renames_loses_nothing() {
        let folder = folder();
        settings_with_seed(7).save(folder.path()).expect("saves");
        let file = folder.path().join("settings.json");
        fs::rename(&file, backup_of(&file)).expect("the first rename");
        assert_eq!(Settings::load(folder.path()).0.last_recipe.seed, 7);
    }

    #[test]
    fn fields_of_a_newer_version_survive_an_older_one() {
        let folder = folder();
        let json = "{\"theme\": \"light\", \"tides\": {\"high\": 3}}";
        fs::write(folder.path().join("settings.json"), json).expect("writes");
        let (settings, note) = Settings::load(folder.path());
        assert_eq!((settings.theme, note), (ThemeChoice::Light, None));
        settings.save(folder.path()).expect("saves");
        assert_eq!(Settings::load(folder.path()).0.unknown["tides"]["high"], 3);
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_no_text_costs_nobody_the_settings() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;

        let folder = folder();
        let odd = PathBuf::from(OsStr::from_bytes(b"models/\xff"));
        let settings = Settings { model: ModelSource::Folder(odd), ..settings_with_seed(5) };
        settings.save(folder.path()).expect("saves");
        assert_eq!(Settings::load(folder.path()).0.last_recipe.seed, 5);
    }

    #[test]
    fn settings_that_could_not_be_read_back_are_not_written() {
        let folder = folder();
        settings_with_seed(5).save(folder.path()).expect("saves");
        let mut settings = settings_with_seed(6);
        settings.last_recipe.guidance.cfg_scale = f32::NAN;
        settings.save(folder.path()).expect_err("no number");
        assert_eq!(Settings::load(folder.path()).0.last_recipe.seed, 5);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let folder = folder();
        fs::write(folder.path().join("file"), "").expect("writes");
        let error = Settings::default().save(&folder.path().join("file")).expect_err("no folder");
        assert!(error.to_string().contains("settings.json"), "{error}");
    }
}
