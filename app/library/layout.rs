//! Where programs keep their models, told from the folders that lie in a folder.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::comfy_paths;

/// Whose folder it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    A1111,
    ComfyUi,
    SwarmUi,
    /// The Hugging Face cache, or a folder kept like it.
    Hub,
    Diffusers,
    /// Anything else: looked through to the bottom.
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

/// What a place is for. VAEs tell themselves by their headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Models,
    Concepts,
}

/// A folder as it was recognised.
#[derive(Clone, Debug, PartialEq)]
pub struct RecognisedLayout {
    pub layout: Layout,
    pub places: Vec<(PathBuf, Role)>,
    /// A sentence about a file of paths that makes no sense.
    pub problem: Option<String>,
}

/// Below a program's folder of models, in whatever case.
const BELOW_MODELS: [(&str, Role); 6] = [
    ("stable-diffusion", Role::Models),
    ("checkpoints", Role::Models),
    ("diffusers", Role::Models),
    ("vae", Role::Models),
    ("embeddings", Role::Concepts),
    ("embedding", Role::Concepts),
];

/// Whose layout a folder has.
pub fn layout_of(root: &Path) -> Layout {
    recognise(root).layout
}

/// Where concepts lie below these folders.
pub fn concept_folders(roots: &[PathBuf]) -> Vec<PathBuf> {
    let places = roots.iter().flat_map(|root| recognise(root).places);
    places.filter(|(_, role)| *role == Role::Concepts).map(|(folder, _)| folder).collect()
}

/// Finds the places of a program's folder, or of its folder of models; any other folder is one place.
pub(crate) fn recognise(root: &Path) -> RecognisedLayout {
    let whole =
        |layout| RecognisedLayout { layout, places: vec![(root.to_owned(), Role::Models)], problem: None };
    if root.join("model_index.json").is_file() {
        return whole(Layout::Diffusers);
    }
    // The portable ComfyUI comes inside another folder.
    let inner = child(root, "ComfyUI").filter(|inner| child(inner, "models").is_some());
    let root = inner.as_deref().unwrap_or(root);
    let models = child(root, "models").unwrap_or_else(|| root.to_owned());
    let mut places = BELOW_MODELS
        .iter()
        .filter_map(|&(name, role)| Some((child(&models, name)?, role)))
        .collect::<Vec<_>>();
    let has = |places: &[(PathBuf, Role)], wanted: &str| {
        places
            .iter()
            .any(|(place, _)| place.file_name().is_some_and(|name| name.eq_ignore_ascii_case(wanted)))
    };
    let layout = if has(&places, "checkpoints") {
        Layout::ComfyUi
    } else if !has(&places, "stable-diffusion") {
        places.clear();
        if holds_repositories(root) { Layout::Hub } else { Layout::Plain }
    } else if has(&places, "embeddings") || has(&places, "embedding") {
        Layout::SwarmUi
    } else {
        Layout::A1111
    };
    if layout == Layout::A1111 {
        // Beside the models, even if `models` itself was chosen.
        let beside = child(root, "embeddings").or_else(|| child(models.parent()?, "embeddings"));
        places.extend(beside.map(|folder| (folder, Role::Concepts)));
    }
    let mut problem = None;
    let paths = root.join("extra_model_paths.yaml");
    let layout = match paths.is_file().then(|| comfy_paths::read(&paths)) {
        None => layout,
        Some(Ok(others)) => {
            places.extend(others);
            Layout::ComfyUi
        }
        Some(Err(text)) => {
            problem = Some(text);
            layout
        }
    };
    if places.is_empty() {
        return RecognisedLayout { problem, ..whole(layout) };
    }
    RecognisedLayout { layout, places, problem }
}

/// A folder of this name, in whatever case: a disk moved to Linux keeps the case it was written in.
fn child(folder: &Path, name: &str) -> Option<PathBuf> {
    let exact = folder.join(name);
    if exact.is_dir() {
        return Some(exact);
    }
    let entries = fs::read_dir(folder).ok()?.flatten();
    let mut alike = entries.filter(|entry| entry.file_name().eq_ignore_ascii_case(name));
    alike.find(|entry| entry.path().is_dir()).map(|entry| entry.path())
}

fn holds_repositories(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.take(MAX_LOOKED_AT).any(|entry| super::hub_cache::name_of(&entry.path()).is_some())
}

/// More than any cache has beside its models.
const MAX_LOOKED_AT: usize = 10_000;
