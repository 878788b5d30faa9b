//! The half of [`AppState`] that listens: to the engine, and to our own threads.

use engine::recipe::Start;
use engine::session::{Event, JobEvent, JobId, ModelEvent};

use super::{AppState, Model, StartPicture};
use crate::command::{Batch, Dropped, DroppedContents, Effect, News};
use crate::problems::Place;

impl AppState {
    /// Takes in what happened, and says what is to be done about it.
    pub fn receive(&mut self, news: impl Into<News>) -> Vec<Effect> {
        match news.into() {
            News::Engine(Event::Model(event)) => self.receive_model(event),
            News::Engine(Event::Job { id, event }) => return self.receive_job(id, event),
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
            News::Inspected(dropped) => return self.receive_dropped(dropped),
            News::ModelPicked(source) => return self.open_model(source),
            News::LibraryFolderPicked(folder) => return self.add_model_folder(folder),
            News::Catalogue(catalogue) => self.library = catalogue,
            News::Hub(report) => return self.receive_report(report),
            News::OutputFolderPicked(folder) => {
                self.problems.clear(Place::Output);
                self.settings.output_folder = Some(folder);
            }
        }
        Vec::new()
    }

    fn receive_job(&mut self, id: JobId, event: JobEvent) -> Vec<Effect> {
        let Some(run) = self.run.as_mut().filter(|run| run.job.id == id) else {
            return Vec::new();
        };
        let mut effects = Vec::new();
        let is_last = event.is_last();
        match &event {
            JobEvent::Finished { pictures, concepts, .. } => effects.push(Effect::Save(Batch {
                recipe: run.recipe.clone(),
                model: match &self.model {
                    Model::Open(card) => card.name.clone(),
                    Model::Opening { name, .. } => name.clone(),
                    Model::Missing => String::new(),
                },
                concepts: concepts.clone(),
                folder: self.settings.output_folder(),
                pictures: pictures.clone(),
            })),
            JobEvent::Failed { text } => self.problems.set(Place::Run, text),
            _ => {}
        }
        let is_decoded = matches!(event, JobEvent::Decoded { .. });
        run.receive(event);
        if is_last && let Some(recipe) = self.queued.take() {
            effects.extend(self.start(recipe));
        } else if is_last || is_decoded {
            effects.extend(self.develop());
        }
        effects
    }

    fn receive_model(&mut self, event: ModelEvent) {
        match event {
            ModelEvent::Opening { name, fraction } => self.model = Model::Opening { name, fraction },
            ModelEvent::Opened(card) => {
                self.problems.clear(Place::Model);
                self.problems.clear(Place::Run);
                self.words = Some(card.words(&self.concepts));
                self.model = Model::Open(card);
                self.count_tokens();
            }
            ModelEvent::Failed { text } => {
                self.model = Model::Missing;
                self.problems.set(Place::Model, text);
            }
        }
    }

    fn receive_dropped(&mut self, dropped: Dropped) -> Vec<Effect> {
        match dropped.contents {
            DroppedContents::Model(source) => self.open_model(source),
            DroppedContents::Picture { pixels, notes, found: None } => {
                self.use_start_image(dropped.path, Some(StartPicture { pixels, notes }))
            }
            DroppedContents::Picture { found: Some(_), .. } => {
                self.dropped = Some(dropped);
                Vec::new()
            }
            DroppedContents::Useless(text) => {
                self.problems.set(Place::StartImage, text);
                Vec::new()
            }
        }
    }
}
