//! Files that are dropped on the window: classified, then opened, listed or asked about.

mod handle;
pub(crate) mod panel;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::checkpoint::ModelSource;
use engine::concepts::{self, ConceptError};
use engine::files::{FileKind, classify};
use engine::images::{FoundRecipe, Pixels, RecipeReadError, StartImage, load, read_recipe};

use crate::features::concepts::watch::ConceptsRead;
use crate::library::{Layout, layout_of};

/// A request about dropped files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DropCommand {
    /// Files or folders, together.
    Files(Vec<PathBuf>),
    /// Ask for files, where none can be dropped.
    Choose,
    UseSettings,
    UseAsStart,
    Dismiss,
}

/// The files that were dropped together, after inspection.
#[derive(Clone, Debug, Default)]
pub struct DroppedFiles {
    pub concepts: ConceptsRead,
    pub others: Vec<Dropped>,
}

/// A dropped file or folder that is not a concept.
#[derive(Clone, Debug)]
pub struct Dropped {
    pub path: PathBuf,
    pub contents: FileContents,
}

#[derive(Clone, Debug)]
pub enum FileContents {
    /// A model folder or a weight file.
    Model(ModelSource),
    /// A folder that contains models.
    ModelsFolder,
    /// A folder that contains only concepts.
    ConceptFolder,
    /// A picture, with the recipe inside it if there is one.
    Picture { pixels: Arc<Pixels>, notes: Vec<String>, found: Option<Box<FoundRecipe>> },
    /// Why it cannot be used.
    Unusable(String),
}

impl DroppedFiles {
    /// Inspects what was dropped.
    pub fn of(paths: Vec<PathBuf>) -> Self {
        let mut dropped = Self::default();
        for path in paths {
            let contents = match classify(&path) {
                FileKind::Folder => contents_of_folder(&path),
                FileKind::Png | FileKind::Other => contents_of_picture(&path),
                kind @ (FileKind::Concept | FileKind::Model) => match concepts::read(&path) {
                    Ok(concept) => {
                        dropped.concepts.read.push(concept);
                        continue;
                    }
                    Err(ConceptError::Model(..) | ConceptError::OtherKind(..)) => model_file(&path),
                    // What is broken beyond telling is taken for what its name and size say.
                    Err(_) if kind == FileKind::Model => model_file(&path),
                    Err(error) => {
                        dropped.concepts.refused.push((path, error.to_string()));
                        continue;
                    }
                },
            };
            dropped.others.push(Dropped { path, contents });
        }
        dropped
    }
}

fn model_file(path: &Path) -> FileContents {
    FileContents::Model(ModelSource::File(path.to_owned()))
}

fn contents_of_folder(path: &Path) -> FileContents {
    let source = ModelSource::at(path.to_owned());
    // With the parts of a model in it, it is one that lacks something, which opening it tells.
    let has_parts = || layout_of(path) == Layout::Plain && path.join("unet").is_dir();
    match source.is_model() || has_parts() {
        true => FileContents::Model(source),
        false if holds_concepts_alone(path) => FileContents::ConceptFolder,
        false => FileContents::ModelsFolder,
    }
}

/// True where every weight file may be a concept and one of them is.
fn holds_concepts_alone(folder: &Path) -> bool {
    let files = concepts::concept_files_in(folder);
    layout_of(folder) == Layout::Plain
        && files.iter().all(|file| classify(file) == FileKind::Concept)
        && files.iter().any(|file| concepts::read(file).is_ok())
}

fn contents_of_picture(path: &Path) -> FileContents {
    match load(path) {
        Ok(StartImage { pixels, mut notes }) => {
            // A picture without a recipe that can be read is still a picture.
            let found = read_recipe(path).unwrap_or_else(|error| {
                if let RecipeReadError::Foreign { .. } = error {
                    notes.push(error.to_string());
                }
                None
            });
            FileContents::Picture { pixels: Arc::new(pixels), notes, found: found.map(Box::new) }
        }
        Err(error) => FileContents::Unusable(error.to_string()),
    }
}
