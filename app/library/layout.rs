//! The folder layouts of programs, recognised by their subfolders.

use std::fs;
use std::path::{Path, PathBuf};

use engine::checkpoint::{HubSnapshot, repository_name};
use serde::Serialize;

use super::comfy_paths;

/// The program whose layout a folder has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    A1111,
    ComfyUi,
    SwarmUi,
    /// The Hugging Face cache, a folder with the same structure, or one repository in it.
    Hub,
    Diffusers,
    /// Anything else: searched recursively.
    Plain,
}

impl Layout {
    pub fn label(self) -> &'static str {
        match self {
            Self::A1111 => "A1111 or Forge",
            Self::ComfyUi => "ComfyUI",
            Self::SwarmUi => "SwarmUI",
            Self::Hub => "Hugging Face cache",
            Self::Diffusers => "Model in diffusers layout",
            Self::Plain => "Folder",
        }
    }
}

/// What a subfolder contains. VAEs count as models and are recognised by their headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Models,
    Concepts,
}

/// A folder's layout and the subfolders to scan.
#[derive(Clone, Debug, PartialEq)]
pub struct RecognisedLayout {
    pub layout: Layout,
    pub folders: Vec<(PathBuf, Role)>,
    /// A sentence about an invalid file of model paths.
    pub problem: Option<String>,
}

/// Subfolders of a program's models folder, in any case.
const SUBFOLDERS: [(&str, Role); 6] = [
    ("stable-diffusion", Role::Models),
    ("checkpoints", Role::Models),
    ("diffusers", Role::Models),
    ("vae", Role::Models),
    ("embeddings", Role::Concepts),
    ("embedding", Role::Concepts),
];

/// The layout of a folder.
pub fn layout_of(root: &Path) -> Layout {
    recognise(root).layout
}

/// The folders with concepts below these folders.
pub fn concept_folders(roots: &[PathBuf]) -> Vec<PathBuf> {
    let folders = roots.iter().flat_map(|root| recognise(root).folders);
    folders.filter(|(_, role)| *role == Role::Concepts).map(|(folder, _)| folder).collect()
}

/// Recognises a program's folder, or its models folder, and lists what to scan; any other folder is scanned
/// as a whole.
pub(crate) fn recognise(root: &Path) -> RecognisedLayout {
    let whole =
        |layout| RecognisedLayout { layout, folders: vec![(root.to_owned(), Role::Models)], problem: None };
    if root.join("model_index.json").is_file() {
        return whole(Layout::Diffusers);
    }
    // The portable ComfyUI is nested in another folder.
    let inner = child(root, "ComfyUI").filter(|inner| child(inner, "models").is_some());
    let root = inner.as_deref().unwrap_or(root);
    let models = child(root, "models").unwrap_or_else(|| root.to_owned());
    let mut folders =
        SUBFOLDERS.iter().filter_map(|&(name, role)| Some((child(&models, name)?, role))).collect::<Vec<_>>();
    let has = |folders: &[(PathBuf, Role)], name: &str| {
        folders
            .iter()
            .any(|(folder, _)| folder.file_name().is_some_and(|found| found.eq_ignore_ascii_case(name)))
    };
    let layout = if has(&folders, "checkpoints") {
        Layout::ComfyUi
    } else if !has(&folders, "stable-diffusion") {
        folders.clear();
        let is_hub = HubSnapshot::at(root).is_some() || holds_repositories(root);
        if is_hub { Layout::Hub } else { Layout::Plain }
    } else if has(&folders, "embeddings") || has(&folders, "embedding") {
        Layout::SwarmUi
    } else {
        Layout::A1111
    };
    if layout == Layout::A1111 {
        // Beside `models`, also if `models` itself is the root.
        let beside = child(root, "embeddings").or_else(|| child(models.parent()?, "embeddings"));
        folders.extend(beside.map(|folder| (folder, Role::Concepts)));
    }
    let mut problem = None;
    let paths = root.join("extra_model_paths.yaml");
    let layout = match paths.is_file().then(|| comfy_paths::read(&paths)) {
        None => layout,
        Some(Ok(others)) => {
            folders.extend(others);
            Layout::ComfyUi
        }
        Some(Err(text)) => {
            problem = Some(text);
            layout
        }
    };
    if folders.is_empty() {
        return RecognisedLayout { problem, ..whole(layout) };
    }
    RecognisedLayout { layout, folders, problem }
}

/// The subfolder with this name, in any case: disks written on Windows may be read on Linux.
fn child(folder: &Path, name: &str) -> Option<PathBuf> {
    let exact = folder.join(name);
    if exact.is_dir() {
        return Some(exact);
    }
    let entries = fs::read_dir(folder).ok()?.flatten();
    let mut matching = entries.filter(|entry| entry.file_name().eq_ignore_ascii_case(name));
    matching.find(|entry| entry.path().is_dir()).map(|entry| entry.path())
}

fn holds_repositories(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.take(MAX_ENTRIES).any(|entry| repository_name(&entry.path()).is_some())
}

/// Entries to check; no cache has as many besides its models.
const MAX_ENTRIES: usize = 10_000;
