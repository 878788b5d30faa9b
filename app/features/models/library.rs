//! How [`AppState`] handles the model library: adding and removing folders.

use std::path::PathBuf;
use std::sync::Arc;

use engine::checkpoint::ModelSource;

use crate::features::effect::{Effect, Task};
use crate::features::models::LibraryCommand;
use crate::features::state::{AppState, Model};
use crate::library::{Library, LibraryRoots, ScanCommand, hub_cache};

/// The most recent models kept.
const MAX_RECENT: usize = 12;

impl AppState {
    /// True while disk and cores are needed for more than hashing.
    pub fn is_busy(&self) -> bool {
        self.shared.settings.hashing_paused
            || self.is_making()
            || matches!(self.shared.model, Model::Opening { .. })
    }

    pub(crate) fn handle_library(&mut self, command: LibraryCommand) -> Vec<Effect> {
        match command {
            LibraryCommand::AddFolder => return vec![Effect::Task(Task::PickLibraryFolder)],
            LibraryCommand::RemoveFolder(folder) => {
                let before = self.shared.settings.model_folders.len();
                self.shared.settings.model_folders.retain(|known| *known != folder);
                // A folder that the user did not add can only be the Hugging Face cache.
                self.shared.settings.hub_cache_hidden |= before == self.shared.settings.model_folders.len();
            }
            LibraryCommand::Rescan => {}
            LibraryCommand::Search(words) => {
                self.models.search = words;
                return Vec::new();
            }
            LibraryCommand::PauseHashing(paused) => {
                self.shared.settings.hashing_paused = paused;
                return Vec::new();
            }
        }
        self.look_for_models()
    }

    pub(crate) fn add_model_folder(&mut self, folder: PathBuf) -> Vec<Effect> {
        let hub = hub_cache(|name| std::env::var_os(name));
        if hub.as_ref() == Some(&folder) {
            self.shared.settings.hub_cache_hidden = false;
        } else if !self.shared.settings.model_folders.contains(&folder) {
            self.shared.settings.model_folders.push(folder);
        }
        self.look_for_models()
    }

    pub(crate) fn look_for_models(&self) -> Vec<Effect> {
        let hub = hub_cache(|name| std::env::var_os(name)).filter(|_| !self.shared.settings.hub_cache_hidden);
        vec![Effect::Library(ScanCommand::Scan(LibraryRoots {
            folders: self.shared.settings.model_folders.clone(),
            hub,
        }))]
    }

    pub(crate) fn remember_recent(&mut self, source: &ModelSource) {
        let recent = &mut self.shared.settings.recent_models;
        recent.retain(|known| known != source);
        recent.insert(0, source.clone());
        recent.truncate(MAX_RECENT);
    }

    pub(crate) fn receive_library(&mut self, library: Arc<Library>) -> Vec<Effect> {
        let concepts_moved = library.concept_folders != self.shared.library.concept_folders;
        self.shared.library = library;
        if concepts_moved { vec![self.watch_concepts()] } else { Vec::new() }
    }
}
