//! Making a film of the run: the wishes of the card, and what becomes of them.

use std::path::PathBuf;

use engine::images::{FilmFormat, Provenance, Reel};
use engine::session::{CutEvent, Request, StopFlag};

use super::AppState;
use crate::command::{Effect, ExportWish};
use crate::export::{FilmNews, FilmOrder, Phase, folder_of, with_ending};
use crate::run::Run;

impl AppState {
    /// The run that a film can be made of: one that is over and has steps.
    pub fn run_to_export(&self) -> Option<&Run> {
        self.run.as_ref().filter(|run| !run.is_live() && !run.frames.is_empty())
    }

    pub(super) fn handle_export(&mut self, wish: ExportWish) -> Vec<Effect> {
        match wish {
            ExportWish::Show(is_open) => {
                self.export.is_open = is_open;
                if self.export.phase.stop().is_none() {
                    self.export.phase = Phase::Idle;
                }
            }
            ExportWish::Choose(format, cut) => {
                self.export.format = format;
                self.export.cut = cut;
                if self.export.phase.stop().is_none() {
                    self.export.phase = Phase::Idle;
                }
            }
            ExportWish::Start => {
                let Some(run) = self.run_to_export() else { return Vec::new() };
                let (format, seed) = (self.export.format, run.recipe.seed);
                let name =
                    format!("{seed}{}", if format == FilmFormat::ContactSheet { "-steps" } else { "" });
                return vec![Effect::PickFilm { format, name, folder: self.settings.output_folder() }];
            }
            ExportWish::Cancel => {
                if let Some(stop) = self.export.phase.stop() {
                    stop.raise();
                }
            }
            ExportWish::OpenFolder => {
                if let Phase::Done { path } = &self.export.phase {
                    return vec![Effect::OpenFolder(folder_of(path))];
                }
            }
        }
        Vec::new()
    }

    pub(super) fn export_to(&mut self, path: PathBuf) -> Vec<Effect> {
        let Some(run) = self.run_to_export() else { return Vec::new() };
        if self.export.phase.stop().is_some() {
            return Vec::new();
        }
        let picture = self.film.picture.unwrap_or(0);
        let (job, cut, stop) = (run.job.id, self.export.cut, StopFlag::default());
        let finished = run.pictures.get(picture).cloned();
        let path = with_ending(path, self.export.format);
        self.export.phase = Phase::Cutting { path, fraction: 0.0, stop: stop.clone() };
        vec![Effect::Send(Request::Cut { job, picture, finished, cut, stop })]
    }

    pub(super) fn receive_cut(&mut self, event: CutEvent) -> Vec<Effect> {
        let Phase::Cutting { path, fraction, stop } = &mut self.export.phase else { return Vec::new() };
        match event {
            CutEvent::Came { fraction: now } => *fraction = now,
            CutEvent::Done(reel) => {
                let (path, stop) = (path.clone(), stop.clone());
                let reel = Box::new(Reel { provenance: self.provenance(), ..*reel });
                let order =
                    FilmOrder { reel, format: self.export.format, path: path.clone(), stop: stop.clone() };
                self.export.phase = Phase::Writing { path, fraction: 0.0, stop };
                return vec![Effect::WriteFilm(order)];
            }
            CutEvent::Stopped => self.export.phase = Phase::Idle,
            CutEvent::Failed { text } => self.export.phase = Phase::Failed { text },
        }
        Vec::new()
    }

    pub(super) fn receive_film(&mut self, news: FilmNews) {
        let Phase::Writing { fraction, .. } = &mut self.export.phase else { return };
        match news {
            FilmNews::Came { fraction: now } => *fraction = now,
            FilmNews::Written(path) => self.export.phase = Phase::Done { path },
            FilmNews::Stopped => self.export.phase = Phase::Idle,
            FilmNews::Failed(text) => self.export.phase = Phase::Failed { text },
        }
    }

    /// Of the picture that the film is of.
    fn provenance(&self) -> Provenance {
        let Some(run) = &self.run else { return Provenance::default() };
        let recipe = run.recipe.of_picture(self.film.picture.unwrap_or(0) as u32);
        let card = self.card();
        let model = card.map_or("", |card| card.name.as_str());
        Provenance { vae: card.and_then(|card| card.vae.clone()), ..Provenance::new(model, recipe) }
    }
}
