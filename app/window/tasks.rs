//! Background tasks that take time or ask the system: dialogs, files, the clipboard. Each runs on a thread
//! and reports with an [`AppEvent`].

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::checkpoint::ModelSource;
use engine::concepts::{self, BUILT_IN};
use engine::device::adapters;
use engine::files::{CONCEPT_EXTENSIONS, MODEL_EXTENSIONS, PICTURE_EXTENSIONS, file_name, replace_file};
use engine::images::{AnimationFormat, Pixels, Provenance, load, replace_png};
use engine::losses::Mask;
use engine::recipe::Recipe;

use crate::features::brush::BrushEvent;
use crate::features::concepts::watch::ConceptsRead;
use crate::features::convert;
use crate::features::device;
use crate::features::device::DeviceEvent;
use crate::features::drop::DroppedFiles;
use crate::features::effect::Task;
use crate::features::event::AppEvent;

/// Runs a task and reports its result.
pub fn run(task: Task, send: impl Fn(AppEvent) + Send + 'static) {
    let run = move || {
        if let Some(event) = run_task(task, &send) {
            send(event);
        }
    };
    // On macOS, dialogs must run on the main thread; elsewhere they would block the window.
    if cfg!(target_os = "macos") {
        run();
    } else if let Err(error) = std::thread::Builder::new().name("task".into()).spawn(run) {
        tracing::error!("a background task could not start: {error}");
    }
}

fn run_task(task: Task, send: &impl Fn(AppEvent)) -> Option<AppEvent> {
    match task {
        Task::PickPicture => rfd::FileDialog::new()
            .set_title("Choose a start image")
            .add_filter("Pictures", &PICTURE_EXTENSIONS)
            .pick_file()
            .map(AppEvent::StartImagePicked),
        Task::PickModelFolder => rfd::FileDialog::new()
            .set_title("Choose a model folder in diffusers layout")
            .pick_folder()
            .map(|folder| AppEvent::ModelPicked(ModelSource::at(folder))),
        Task::PickModelFile => rfd::FileDialog::new()
            .set_title("Choose a model file")
            .add_filter("Models", &MODEL_EXTENSIONS)
            .pick_file()
            .map(|file| AppEvent::ModelPicked(ModelSource::File(file))),
        Task::PickMask { guide } => rfd::FileDialog::new()
            .set_title("Choose a mask: the guide acts where it is white")
            .add_filter("Pictures", &PICTURE_EXTENSIONS)
            .pick_file()
            .map(|file| {
                let mask = Mask::load(&file).map_err(|error| error.to_string());
                AppEvent::Brush(BrushEvent::MaskLoaded { guide, mask })
            }),
        Task::PastePaint => Some(AppEvent::Brush(BrushEvent::Pasted(clipboard_picture().map(Arc::new)))),
        Task::PickConcepts => rfd::FileDialog::new()
            .set_title("Choose concepts")
            .add_filter("Concepts", &CONCEPT_EXTENSIONS)
            .pick_files()
            .map(|files| AppEvent::ConceptsChosen(ConceptsRead::of(files))),
        Task::PickConceptFolder => rfd::FileDialog::new()
            .set_title("Choose a folder with concepts")
            .pick_folder()
            .map(AppEvent::ConceptFolderPicked),
        Task::SaveConcept { token, vectors } => save_concept(&token, &vectors),
        Task::AddBuiltInConcepts(folder) => Some(add_built_in_concepts(&folder)),
        Task::ReadConcepts(files) => Some(AppEvent::Concepts(ConceptsRead::of(files))),
        Task::PickOutputFolder => rfd::FileDialog::new()
            .set_title("Choose where pictures are saved")
            .pick_folder()
            .map(AppEvent::OutputFolderPicked),
        Task::PickFilm { format, name, folder } => {
            pick_film(format, &name, &folder).map(AppEvent::FilmPicked)
        }
        Task::PickLibraryFolder => rfd::FileDialog::new()
            .set_title("Choose a folder with models")
            .pick_folder()
            .map(AppEvent::LibraryFolderPicked),
        Task::ReadStartImage(path) => Some(match load(&path) {
            Ok(start) => {
                AppEvent::StartImageRead { path, picture: Ok(Arc::new(start.pixels)), notes: start.notes }
            }
            Err(error) => {
                AppEvent::StartImageRead { path, picture: Err(error.to_string()), notes: Vec::new() }
            }
        }),
        Task::PastePicture => Some(match paste() {
            Ok(path) => AppEvent::StartImagePicked(path),
            Err(text) => AppEvent::PasteFailed(text),
        }),
        Task::Inspect(paths) => Some(AppEvent::Inspected(DroppedFiles::of(paths))),
        Task::PickFiles => rfd::FileDialog::new()
            .set_title("Open pictures, models or concepts")
            .pick_files()
            .map(|files| AppEvent::Inspected(DroppedFiles::of(files))),
        Task::Convert { file, stop } => {
            convert::run(&file, &stop, |report| send(AppEvent::Conversion(report)));
            None
        }
        Task::ListAdapters => Some(AppEvent::Device(DeviceEvent::Listed(adapters()))),
        Task::CheckDevice { choice, stop } => {
            device::check(choice, &stop, |event| send(AppEvent::Device(event)));
            None
        }
        Task::Copy(pixels) => copy(&pixels).err().map(AppEvent::Warning),
        Task::OpenFolder(folder) => open_folder(&folder).err().map(AppEvent::Warning),
    }
}

/// Writes the concepts of the built-in model into `folder`, and reads them.
fn add_built_in_concepts(folder: &Path) -> AppEvent {
    let write = |(name, bytes): (&str, &[u8])| {
        let path = folder.join(name);
        replace_file(&path, bytes).map(|()| path)
    };
    let written = fs::create_dir_all(folder)
        .and_then(|()| BUILT_IN.into_iter().map(write).collect::<Result<Vec<_>, _>>());
    match written {
        Ok(files) => AppEvent::ConceptsChosen(ConceptsRead::of(files)),
        Err(error) => AppEvent::Warning(format!(
            "The concepts could not be written ({error}). Check that you may write into the folder: {}",
            folder.display()
        )),
    }
}

/// A saved concept is loaded at once.
fn save_concept(token: &str, vectors: &[Vec<f32>]) -> Option<AppEvent> {
    let name: String = token.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect();
    // A token of signs alone would leave an empty, hidden file name.
    let name = if name.is_empty() { "concept" } else { &name };
    let file = rfd::FileDialog::new()
        .set_title("Save the concept")
        .set_file_name(file_name(name, ".safetensors"))
        .add_filter("Concepts", &CONCEPT_EXTENSIONS)
        .save_file()?;
    Some(match concepts::save(&file, token, vectors) {
        Ok(()) => AppEvent::ConceptsChosen(ConceptsRead::of(vec![file])),
        Err(error) => AppEvent::ConceptNotSaved(error.to_string()),
    })
}

fn pick_film(format: AnimationFormat, name: &str, folder: &Path) -> Option<PathBuf> {
    let dialog = rfd::FileDialog::new().set_title("Export the steps").set_directory(folder);
    match format.extension() {
        Some(ending) => {
            let name = format!("{name}.{ending}");
            dialog.set_file_name(name).add_filter(format.label(), &[ending]).save_file()
        }
        // An existing folder may hold anything, so the pictures get a new folder inside it.
        None => {
            let folder = dialog.set_title("Choose where to put the folder of pictures").pick_folder()?;
            Some(new_folder(&folder, name))
        }
    }
}

/// The first path of `folder/name`, `folder/name-2` and so on that is free.
fn new_folder(folder: &Path, name: &str) -> PathBuf {
    let first = folder.join(name);
    let further = (2..).map(|number: u64| folder.join(format!("{name}-{number}")));
    let is_free = |path: &PathBuf| path.symlink_metadata().is_err();
    std::iter::once(first).chain(further).find(is_free).expect("there are more names than files")
}

/// Saves the clipboard's picture as a file, since a recipe names its start image by path.
fn paste() -> Result<PathBuf, String> {
    let pixels = clipboard_picture()?;
    let folder = directories::ProjectDirs::from("", "", "Tidepool")
        .map_or_else(std::env::temp_dir, |dirs| dirs.cache_dir().to_owned())
        .join("pasted");
    let file = folder.join(format!("pasted-{:016x}.png", fingerprint(&pixels)));
    fs::create_dir_all(&folder)
        .map_err(|error| format!("The pasted picture could not be saved ({error}): {}", folder.display()))?;
    let provenance = Provenance::new("", Recipe::default());
    replace_png(&file, &pixels, &provenance).map_err(|error| error.to_string())?;
    Ok(file)
}

fn clipboard_picture() -> Result<Pixels, String> {
    let unusable = |error: arboard::Error| match error {
        arboard::Error::ContentNotAvailable => {
            "The clipboard has no picture. Copy one first, then paste".to_owned()
        }
        error => format!("The clipboard cannot be read ({error}). Drop or choose a file instead"),
    };
    let mut clipboard = arboard::Clipboard::new().map_err(unusable)?;
    let image = clipboard.get_image().map_err(unusable)?;
    Ok(Pixels::from_rgba(image.width as u32, image.height as u32, &image.bytes))
}

fn fingerprint(pixels: &Pixels) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (pixels.width, pixels.height, &pixels.rgb).hash(&mut hasher);
    hasher.finish()
}

fn copy(pixels: &Pixels) -> Result<(), String> {
    let rgba: Vec<u8> = pixels.rgb.chunks_exact(3).flat_map(|rgb| [rgb[0], rgb[1], rgb[2], 255]).collect();
    let image = arboard::ImageData {
        width: pixels.width as usize,
        height: pixels.height as usize,
        bytes: rgba.into(),
    };
    let mut clipboard = arboard::Clipboard::new().map_err(|error| error.to_string())?;
    put(&mut clipboard, image)
        .map_err(|error| format!("The picture could not be copied ({error}). It is in the output folder"))
}

/// On Linux, the program that copied a picture serves it, so the thread stays until something
/// else is copied.
#[cfg(target_os = "linux")]
fn put(clipboard: &mut arboard::Clipboard, image: arboard::ImageData<'_>) -> Result<(), arboard::Error> {
    use arboard::SetExtLinux as _;
    clipboard.set().wait().image(image)
}

#[cfg(not(target_os = "linux"))]
fn put(clipboard: &mut arboard::Clipboard, image: arboard::ImageData<'_>) -> Result<(), arboard::Error> {
    clipboard.set_image(image)
}

fn open_folder(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder)
        .and_then(|()| open::that_detached(folder))
        .map_err(|error| format!("The folder could not be opened ({error}): {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_pictures_gets_a_name_that_is_free() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        for name in ["32", "32-2"] {
            assert_eq!(new_folder(folder.path(), "32"), folder.path().join(name));
            fs::create_dir(folder.path().join(name)).expect("makes it");
        }
    }

    #[test]
    fn the_concepts_of_the_built_in_model_become_files_that_fit_it() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let concepts = folder.path().join("concepts");
        let AppEvent::ConceptsChosen(ConceptsRead { read, refused, .. }) = add_built_in_concepts(&concepts)
        else {
            panic!("they can be written");
        };
        assert_eq!((read.len(), refused.len()), (BUILT_IN.len(), 0));
        let config = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo/text_encoder/config.json"));
        let config: serde_json::Value = serde_json::from_slice(&config.expect("a file")).expect("JSON");
        for concept in read {
            assert_eq!(Some(concept.width as u64), config["hidden_size"].as_u64(), "{}", concept.token);
            assert!(concept.token.starts_with('<') && concept.source.starts_with(&concepts));
        }
    }
}
