//! How [`AppState`] keeps the loaded concepts.

use std::path::{Path, PathBuf};

use crate::features::concepts::ConceptCommand;
use crate::features::concepts::watch::ConceptsRead;
use crate::features::effect::{Effect, Task};
use crate::features::settings::{Tab, default_concept_folder};
use crate::features::state::{AppState, Shared};

impl AppState {
    pub(crate) fn handle_concepts(&mut self, command: ConceptCommand) -> Vec<Effect> {
        match command {
            ConceptCommand::Choose => return vec![Effect::Task(Task::PickConcepts)],
            ConceptCommand::ChooseFolder => return vec![Effect::Task(Task::PickConceptFolder)],
            ConceptCommand::AddBuiltIn => {
                return vec![Effect::Task(Task::AddBuiltInConcepts(default_concept_folder()))];
            }
            ConceptCommand::Forget(file) => self.forget_concept(&file),
            ConceptCommand::ForgetFolder(folder) => return self.forget_concept_folder(&folder),
        }
        Vec::new()
    }

    /// What to read and watch when the window opens.
    pub(crate) fn begin_concepts(&self) -> Vec<Effect> {
        let files = self.shared.settings.concept_files.clone();
        let read = (!files.is_empty()).then_some(Effect::Task(Task::ReadConcepts(files)));
        read.into_iter().chain([self.watch_concepts()]).collect()
    }

    pub(crate) fn watch_concepts(&self) -> Effect {
        Effect::WatchConcepts(self.shared.watched_folders())
    }

    pub(crate) fn receive_concepts(&mut self, concepts: ConceptsRead) {
        for file in &concepts.gone {
            // A file that was also chosen individually stays.
            if !self.shared.settings.concept_files.contains(file) {
                self.concepts.set.remove(file);
            }
            self.concepts.refused.remove(file);
        }
        let folders = self.shared.watched_folders();
        for concept in concepts.read {
            let file = concept.source.clone();
            self.concepts.refused.remove(&file);
            let is_watched = folders.iter().any(|folder| file.starts_with(folder));
            if !is_watched && !self.shared.settings.concept_files.contains(&file) {
                self.shared.settings.concept_files.push(file);
            }
            self.concepts.set.add(concept);
        }
        for (file, text) in concepts.refused {
            self.concepts.set.remove(&file);
            self.concepts.refused.insert(file, text);
        }
        self.reread_prompts();
    }

    /// Adds files that were just chosen, and opens the tab to show the result.
    pub(crate) fn receive_chosen_concepts(&mut self, concepts: ConceptsRead) {
        if let Some((_, text)) = concepts.refused.first() {
            self.shared.warning = Some(text.clone());
        }
        let window = &mut self.shared.settings.window;
        (window.tab, window.right_folded) = (Tab::Concepts, false);
        self.receive_concepts(concepts);
    }

    pub(crate) fn forget_concept(&mut self, file: &Path) {
        self.shared.settings.concept_files.retain(|known| known != file);
        self.concepts.refused.remove(file);
        self.concepts.set.remove(file);
        self.reread_prompts();
    }

    pub(crate) fn add_concept_folder(&mut self, folder: PathBuf) -> Vec<Effect> {
        let mut folders = self.shared.settings.concept_folders();
        if !folders.contains(&folder) {
            folders.push(folder);
        }
        self.shared.settings.concept_folders = Some(folders);
        vec![self.watch_concepts()]
    }

    pub(crate) fn forget_concept_folder(&mut self, folder: &Path) -> Vec<Effect> {
        let mut folders = self.shared.settings.concept_folders();
        folders.retain(|known| known != folder);
        self.shared.settings.concept_folders = Some(folders);
        vec![self.watch_concepts()]
    }

    /// Reads the prompts again after the concepts changed.
    pub(crate) fn reread_prompts(&mut self) {
        if let Some(info) = self.shared.model_info() {
            self.prompts.tokenizer = Some(info.prompt_tokenizer(&self.concepts.set));
            self.read_prompts();
        }
    }
}

impl Shared {
    /// The folders to watch: concept folders, and those of other programs that
    /// the model library knows.
    pub fn watched_folders(&self) -> Vec<PathBuf> {
        let mut folders = self.settings.concept_folders();
        for folder in &self.library.concept_folders {
            if !folders.contains(folder) {
                folders.push(folder.clone());
            }
        }
        folders
    }
}
