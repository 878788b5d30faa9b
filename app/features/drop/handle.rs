//! Handles dropped files.

use crate::features::drop::{DropCommand, Dropped, DroppedFiles, FileContents};
use crate::features::effect::{Effect, Task};
use crate::features::errors::ErrorSlot;
use crate::features::settings::Tab;
use crate::features::start_image::StartPicture;
use crate::features::state::AppState;

impl AppState {
    pub(crate) fn handle_drop(&mut self, command: DropCommand) -> Vec<Effect> {
        match command {
            DropCommand::Files(paths) => return vec![Effect::Task(Task::Inspect(paths))],
            DropCommand::Choose => return vec![Effect::Task(Task::PickFiles)],
            DropCommand::UseSettings => return self.use_dropped_settings(),
            DropCommand::UseAsStart => {
                if let Some(Dropped { path, contents }) = self.dropped.take()
                    && let FileContents::Picture { pixels, notes, .. } = contents
                {
                    return self.use_start_image(path, Some(StartPicture { pixels, notes }));
                }
            }
            DropCommand::Dismiss => self.dropped = None,
        }
        Vec::new()
    }

    fn use_dropped_settings(&mut self) -> Vec<Effect> {
        let Some(Dropped { contents: FileContents::Picture { found: Some(found), .. }, .. }) =
            self.dropped.take()
        else {
            return Vec::new();
        };
        self.start_picture = None;
        self.runs.last_seed = None;
        let missing = self.concepts.set.missing(&found.provenance.concepts);
        self.shared.warning = missing.first().or(found.notes.first()).cloned();
        self.edit(found.provenance.recipe);
        self.read_start_image()
    }

    /// All dropped concepts are used; of the other files, only the first.
    pub(crate) fn receive_dropped_files(
        &mut self,
        DroppedFiles { concepts, others }: DroppedFiles,
    ) -> Vec<Effect> {
        if !concepts.is_empty() {
            self.receive_chosen_concepts(concepts);
        }
        if others.len() > 1 {
            let name = others[0].path.file_name().unwrap_or_default().to_string_lossy();
            self.shared.warning =
                Some(format!("{} files were dropped together; {name} is used", others.len()));
        }
        others.into_iter().next().map_or_else(Vec::new, |first| self.receive_dropped(first))
    }

    fn receive_dropped(&mut self, dropped: Dropped) -> Vec<Effect> {
        match dropped.contents {
            FileContents::Model(source) => self.open_model(source),
            FileContents::Picture { pixels, .. } if self.is_painting() => {
                self.paste_paint(pixels);
                Vec::new()
            }
            FileContents::ModelsFolder => {
                self.shared.settings.window.tab = Tab::Models;
                self.shared.settings.window.right_folded = false;
                self.add_model_folder(dropped.path)
            }
            FileContents::ConceptFolder => {
                self.shared.settings.window.tab = Tab::Concepts;
                self.shared.settings.window.right_folded = false;
                self.add_concept_folder(dropped.path)
            }
            FileContents::Picture { pixels, notes, found: None } => {
                self.use_start_image(dropped.path, Some(StartPicture { pixels, notes }))
            }
            FileContents::Picture { found: Some(_), .. } => {
                self.dropped = Some(dropped);
                Vec::new()
            }
            FileContents::Unusable(text) => {
                self.shared.errors.set(ErrorSlot::StartImage, text);
                Vec::new()
            }
        }
    }
}
