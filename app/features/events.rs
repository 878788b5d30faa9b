//! The half of [`AppState`] that listens: to the engine, and to our own threads.

use engine::recipe::Start;
use engine::session::{Event, JobEvent, JobId, ModelEvent};

use super::state::{AppState, Model, StartPicture};
use crate::features::command::{AppEvent, Batch, Dropped, Effect, FileContents};
use crate::features::concepts::watch::ConceptsRead;
use crate::features::errors::ErrorSlot;
use crate::features::settings::Tab;

impl AppState {
    /// Takes in what happened, and says what is to be done about it.
    pub fn receive(&mut self, news: impl Into<AppEvent>) -> Vec<Effect> {
        let mut effects = self.take_in(news.into());
        self.follow_film();
        self.update_overlay();
        effects.extend(self.look());
        effects
    }

    pub(crate) fn take_in(&mut self, news: AppEvent) -> Vec<Effect> {
        match news {
            AppEvent::Engine(Event::Model(event)) => return self.receive_model(event),
            AppEvent::Engine(Event::Job { id, event }) => return self.receive_job(id, event),
            AppEvent::Engine(Event::Inspected { id, seen }) => return self.receive_look(id, seen),
            AppEvent::Engine(Event::AttentionMaps { job, event }) => self.receive_attended(job, event),
            AppEvent::Engine(Event::Warning { text }) => self.warning = Some(text),
            AppEvent::Saved(files) => {
                self.errors.clear(ErrorSlot::Output);
                self.saved = files;
            }
            AppEvent::SaveFailed(text) => self.errors.set(ErrorSlot::Output, text),
            AppEvent::Trouble(text) => self.warning = Some(text),
            AppEvent::StartImagePicked(path) => return self.use_start_image(path, None),
            AppEvent::StartImageRead { path, picture, notes } => match picture {
                Ok(pixels) if self.start_path() == Some(&path) => {
                    self.start_picture = Some(StartPicture { pixels, notes });
                }
                Err(text) if self.start_path() == Some(&path) => {
                    self.recipe.start = Start::Noise;
                    self.errors.set(ErrorSlot::StartImage, text);
                }
                _ => {}
            },
            AppEvent::PasteFailed(text) => self.errors.set(ErrorSlot::StartImage, text),
            AppEvent::Inspected(dropped) => return self.receive_all_dropped(dropped),
            AppEvent::ConceptNotSaved(text) => self.errors.set(ErrorSlot::Words, text),
            AppEvent::Concepts(news) => self.receive_concepts(news),
            AppEvent::ConceptsChosen(news) => self.receive_chosen_concepts(news),
            AppEvent::ConceptFolderPicked(folder) => return self.add_concept_folder(folder),
            AppEvent::ModelPicked(source) => return self.open_model(source),
            AppEvent::LibraryFolderPicked(folder) => return self.add_model_folder(folder),
            AppEvent::Library(catalogue) => {
                let concepts_moved = catalogue.concept_folders != self.library.concept_folders;
                self.library = catalogue;
                if concepts_moved {
                    return vec![self.watch_concepts()];
                }
            }
            AppEvent::Conversion(report) => return self.receive_conversion(report),
            AppEvent::Engine(Event::Animation(event)) => return self.receive_cut(event),
            AppEvent::FilmPicked(path) => return self.export_to(path),
            AppEvent::Film(news) => self.receive_film(news),
            AppEvent::Hub(report) => return self.receive_report(report),
            AppEvent::OutputFolderPicked(folder) => {
                self.errors.clear(ErrorSlot::Output);
                self.settings.output_folder = Some(folder);
            }
        }
        Vec::new()
    }

    pub(crate) fn receive_job(&mut self, id: JobId, event: JobEvent) -> Vec<Effect> {
        if let Some(effects) = self.receive_cell(id, &event) {
            return effects;
        }
        let vae = self.model_info().and_then(|info| info.vae.clone());
        let mut runs = self.run.iter_mut().chain(&mut self.branches.kept);
        let Some(run) = runs.find(|run| run.job.id == id) else {
            return Vec::new();
        };
        let mut effects = Vec::new();
        let is_last = event.is_last();
        match &event {
            JobEvent::Finished { pictures, concepts, .. } => {
                let model = match &self.model {
                    Model::Open(info) => info.name.clone(),
                    Model::Opening { name, .. } => name.clone(),
                    Model::Missing => String::new(),
                };
                effects.push(Effect::Save(Box::new(Batch {
                    recipe: run.recipe.clone(),
                    model,
                    vae,
                    concepts: concepts.clone(),
                    folder: self.settings.output_folder(),
                    pictures: pictures.clone(),
                })));
            }
            JobEvent::Failed { text } => self.errors.set(ErrorSlot::Run, text),
            _ => {}
        }
        let is_decoded = matches!(event, JobEvent::Decoded { .. });
        run.receive(event);
        if is_last && let Some(queued_run) = self.queued.take() {
            effects.extend(self.start(queued_run));
        } else if is_last || is_decoded {
            effects.extend(self.decode_held_step());
        }
        effects
    }

    pub(crate) fn receive_model(&mut self, event: ModelEvent) -> Vec<Effect> {
        match event {
            // What was stopped may be a little further on its way still.
            ModelEvent::Opening { .. } if self.opening.is_raised() => {}
            ModelEvent::Opening { name, fraction } => self.model = Model::Opening { name, fraction },
            // An opening ends early for a newer one, too.
            ModelEvent::Stopped if self.opening.is_raised() => self.close_model(),
            ModelEvent::Stopped => {}
            ModelEvent::Opened(info) => {
                self.errors.clear(ErrorSlot::Model);
                self.errors.clear(ErrorSlot::Run);
                if info.name == self.settings.model.name() {
                    self.current_source = Some(self.settings.model.clone());
                    self.current_vae.clone_from(&self.settings.vae);
                }
                self.model = Model::Open(info);
                self.forget_looks();
                self.reread_prompts();
                self.forget_maps();
            }
            // A VAE that does not fit is taken off again.
            ModelEvent::Failed { text }
                if self.current_source.as_ref() == Some(&self.settings.model)
                    && self.settings.vae != self.current_vae =>
            {
                self.warning = Some(text);
                return self.use_vae(self.current_vae.clone());
            }
            ModelEvent::Failed { text } => {
                self.close_model();
                self.errors.set(ErrorSlot::Model, text);
            }
        }
        Vec::new()
    }

    /// Concepts are all taken; of the rest, of which the desk has one each, the first.
    pub(crate) fn receive_all_dropped(&mut self, all: Vec<Dropped>) -> Vec<Effect> {
        let mut concepts = ConceptsRead::default();
        let mut rest = Vec::new();
        for dropped in all {
            match dropped.contents {
                FileContents::Concept(concept) => concepts.read.push(*concept),
                FileContents::InvalidConcept(text) => concepts.refused.push((dropped.path, text)),
                _ => rest.push(dropped),
            }
        }
        if !concepts.is_empty() {
            self.receive_chosen_concepts(concepts);
        }
        if rest.len() > 1 {
            let name = rest[0].path.file_name().unwrap_or_default().to_string_lossy();
            self.warning = Some(format!("{} files were dropped together; {name} is used", rest.len()));
        }
        rest.into_iter().next().map_or_else(Vec::new, |first| self.receive_dropped(first))
    }

    pub(crate) fn receive_dropped(&mut self, dropped: Dropped) -> Vec<Effect> {
        match dropped.contents {
            FileContents::Model(source) => self.open_model(source),
            FileContents::ModelsFolder => {
                self.settings.window.tab = Tab::Models;
                self.settings.window.right_folded = false;
                self.add_model_folder(dropped.path)
            }
            FileContents::ConceptFolder => {
                self.settings.window.tab = Tab::Concepts;
                self.settings.window.right_folded = false;
                self.add_concept_folder(dropped.path)
            }
            FileContents::Picture { pixels, notes, found: None } => {
                self.use_start_image(dropped.path, Some(StartPicture { pixels, notes }))
            }
            FileContents::Picture { found: Some(_), .. } => {
                self.dropped = Some(dropped);
                Vec::new()
            }
            FileContents::Concept(_) | FileContents::InvalidConcept(_) => {
                unreachable!("they were taken out before")
            }
            FileContents::Unusable(text) => {
                self.errors.set(ErrorSlot::StartImage, text);
                Vec::new()
            }
        }
    }
}
