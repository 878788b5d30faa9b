//! The half of [`AppState`] that listens: to the engine, and to our own threads.

use engine::recipe::Start;
use engine::session::{Event, JobEvent, JobId, ModelEvent};

use super::state::{AppState, Model, StartPicture};
use crate::features::command::{Batch, Dropped, DroppedContents, Effect, News};
use crate::features::concepts::watch::ConceptNews;
use crate::features::errors::Place;
use crate::features::settings::Tab;

impl AppState {
    /// Takes in what happened, and says what is to be done about it.
    pub fn receive(&mut self, news: impl Into<News>) -> Vec<Effect> {
        let mut effects = self.take_in(news.into());
        self.follow_film();
        self.light();
        effects.extend(self.look());
        effects
    }

    fn take_in(&mut self, news: News) -> Vec<Effect> {
        match news {
            News::Engine(Event::Model(event)) => return self.receive_model(event),
            News::Engine(Event::Job { id, event }) => return self.receive_job(id, event),
            News::Engine(Event::Looked { id, seen }) => return self.receive_look(id, seen),
            News::Engine(Event::AttentionMaps { job, event }) => self.receive_attended(job, event),
            News::Engine(Event::Warning { text }) => self.warning = Some(text),
            News::Saved(files) => {
                self.problems.clear(Place::Output);
                self.saved = files;
            }
            News::SaveFailed(text) => self.problems.set(Place::Output, text),
            News::Trouble(text) => self.warning = Some(text),
            News::StartImagePicked(path) => return self.use_start_image(path, None),
            News::StartImageRead { path, picture, notes } => match picture {
                Ok(pixels) if self.start_path() == Some(&path) => {
                    self.start_picture = Some(StartPicture { pixels, notes });
                }
                Err(text) if self.start_path() == Some(&path) => {
                    self.recipe.start = Start::Noise;
                    self.problems.set(Place::StartImage, text);
                }
                _ => {}
            },
            News::PasteFailed(text) => self.problems.set(Place::StartImage, text),
            News::Inspected(dropped) => return self.receive_all_dropped(dropped),
            News::ConceptNotSaved(text) => self.problems.set(Place::Words, text),
            News::Concepts(news) => self.receive_concepts(news),
            News::ConceptsChosen(news) => self.receive_chosen_concepts(news),
            News::ConceptFolderPicked(folder) => return self.add_concept_folder(folder),
            News::ModelPicked(source) => return self.open_model(source),
            News::LibraryFolderPicked(folder) => return self.add_model_folder(folder),
            News::Catalogue(catalogue) => {
                let concepts_moved = catalogue.concept_folders != self.library.concept_folders;
                self.library = catalogue;
                if concepts_moved {
                    return vec![self.watch_concepts()];
                }
            }
            News::Conversion(report) => return self.receive_conversion(report),
            News::Engine(Event::Cut(event)) => return self.receive_cut(event),
            News::FilmPicked(path) => return self.export_to(path),
            News::Film(news) => self.receive_film(news),
            News::Hub(report) => return self.receive_report(report),
            News::OutputFolderPicked(folder) => {
                self.problems.clear(Place::Output);
                self.settings.output_folder = Some(folder);
            }
        }
        Vec::new()
    }

    fn receive_job(&mut self, id: JobId, event: JobEvent) -> Vec<Effect> {
        if let Some(effects) = self.receive_cell(id, &event) {
            return effects;
        }
        let vae = self.card().and_then(|card| card.vae.clone());
        let mut runs = self.run.iter_mut().chain(&mut self.branches.kept);
        let Some(run) = runs.find(|run| run.job.id == id) else {
            return Vec::new();
        };
        let mut effects = Vec::new();
        let is_last = event.is_last();
        match &event {
            JobEvent::Finished { pictures, concepts, .. } => {
                let model = match &self.model {
                    Model::Open(card) => card.name.clone(),
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
            JobEvent::Failed { text } => self.problems.set(Place::Run, text),
            _ => {}
        }
        let is_decoded = matches!(event, JobEvent::Decoded { .. });
        run.receive(event);
        if is_last && let Some(planned) = self.queued.take() {
            effects.extend(self.start(planned));
        } else if is_last || is_decoded {
            effects.extend(self.develop());
        }
        effects
    }

    fn receive_model(&mut self, event: ModelEvent) -> Vec<Effect> {
        match event {
            // What was stopped may be a little further on its way still.
            ModelEvent::Opening { .. } if self.opening.is_raised() => {}
            ModelEvent::Opening { name, fraction } => self.model = Model::Opening { name, fraction },
            // An opening ends early for a newer one, too.
            ModelEvent::Stopped if self.opening.is_raised() => self.close_model(),
            ModelEvent::Stopped => {}
            ModelEvent::Opened(card) => {
                self.problems.clear(Place::Model);
                self.problems.clear(Place::Run);
                if card.name == self.settings.model.name() {
                    self.opened = Some(self.settings.model.clone());
                    self.opened_vae.clone_from(&self.settings.vae);
                }
                self.model = Model::Open(card);
                self.forget_looks();
                self.reread_prompts();
                self.forget_maps();
            }
            // A VAE that does not fit is taken off again.
            ModelEvent::Failed { text }
                if self.opened.as_ref() == Some(&self.settings.model)
                    && self.settings.vae != self.opened_vae =>
            {
                self.warning = Some(text);
                return self.use_vae(self.opened_vae.clone());
            }
            ModelEvent::Failed { text } => {
                self.close_model();
                self.problems.set(Place::Model, text);
            }
        }
        Vec::new()
    }

    /// Concepts are all taken; of the rest, of which the desk has one each, the first.
    fn receive_all_dropped(&mut self, all: Vec<Dropped>) -> Vec<Effect> {
        let mut concepts = ConceptNews::default();
        let mut rest = Vec::new();
        for dropped in all {
            match dropped.contents {
                DroppedContents::Concept(concept) => concepts.read.push(*concept),
                DroppedContents::NoConcept(text) => concepts.refused.push((dropped.path, text)),
                _ => rest.push(dropped),
            }
        }
        if !concepts.is_empty() {
            self.receive_chosen_concepts(concepts);
        }
        if rest.len() > 1 {
            let name = rest[0].path.file_name().unwrap_or_default().to_string_lossy();
            self.warning = Some(format!("Of the {} files dropped together, {name} is used", rest.len()));
        }
        rest.into_iter().next().map_or_else(Vec::new, |first| self.receive_dropped(first))
    }

    fn receive_dropped(&mut self, dropped: Dropped) -> Vec<Effect> {
        match dropped.contents {
            DroppedContents::Model(source) => self.open_model(source),
            DroppedContents::Shelf => {
                self.settings.window.tab = Tab::Models;
                self.settings.window.right_folded = false;
                self.add_model_folder(dropped.path)
            }
            DroppedContents::ConceptFolder => {
                self.settings.window.tab = Tab::Concepts;
                self.settings.window.right_folded = false;
                self.add_concept_folder(dropped.path)
            }
            DroppedContents::Picture { pixels, notes, found: None } => {
                self.use_start_image(dropped.path, Some(StartPicture { pixels, notes }))
            }
            DroppedContents::Picture { found: Some(_), .. } => {
                self.dropped = Some(dropped);
                Vec::new()
            }
            DroppedContents::Concept(_) | DroppedContents::NoConcept(_) => {
                unreachable!("they were taken out before")
            }
            DroppedContents::Useless(text) => {
                self.problems.set(Place::StartImage, text);
                Vec::new()
            }
        }
    }
}
