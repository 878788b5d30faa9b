//! What of the film is on the canvas: which step, which views of it, beside which other.

use std::sync::Arc;
use std::time::Instant;

use engine::diffusion::StepView;
use engine::images::Pixels;
use engine::session::{JobId, Request};

use crate::features::canvas::ViewCommand;
use crate::features::effect::{Effect, Task};
use crate::features::state::{AppState, Shown};

impl AppState {
    /// Nothing, a step of the film, or the best there is.
    pub fn shown(&self) -> Option<Shown<'_>> {
        self.shown_of(StepView::Predicted)
    }

    /// The same of another view.
    pub fn shown_of(&self, view: StepView) -> Option<Shown<'_>> {
        if let (Some(run), Some(step)) = (self.runs.current(), self.looked_at())
            && let Some((pictures, is_full)) = run.pictures_of(step, view)
        {
            return Some(Shown { pictures, step: Some(step), is_full });
        }
        if let Some(alone) = self.alone_on_canvas() {
            return Some(Shown { pictures: std::slice::from_ref(alone), step: None, is_full: true });
        }
        if let Some((pictures, is_full)) = self.runs.current().and_then(|run| run.latest_of(view)) {
            return Some(Shown { pictures, step: None, is_full });
        }
        let has_steps = self.runs.current().is_some_and(|run| !run.frames.is_empty());
        (!self.runs.previous_images.is_empty() && !has_steps).then_some(Shown {
            pictures: &self.runs.previous_images,
            step: None,
            is_full: true,
        })
    }

    /// A sheet, or a picture with a light on it, that takes the whole canvas.
    pub fn alone_on_canvas(&self) -> Option<&Arc<Pixels>> {
        self.xy_plot.on_canvas().or(self.attention.on_canvas())
    }

    /// What lies behind the divider, of a view.
    pub fn compared_of(&self, view: StepView) -> Option<Shown<'_>> {
        let step = self.film.compared?;
        let run = self.film.beside.map_or(self.runs.current(), |job| self.runs.get(job))?;
        let (pictures, is_full) = run.pictures_of(step, view)?;
        Some(Shown { pictures, step: Some(step), is_full })
    }

    /// The step on the canvas, if it is one of the film rather than the newest.
    pub fn looked_at(&self) -> Option<usize> {
        let played = || Some(self.runs.current()?.frames.get(self.film.play.as_ref()?.at)?.step);
        // What is compared stays while the pointer looks for another step to compare it with.
        let hovered = self.film.hovered.filter(|_| self.film.compared.is_none());
        hovered.or_else(played).or(self.film.pinned)
    }

    /// The step that the film outlines.
    pub fn current_step(&self) -> Option<usize> {
        self.looked_at().or_else(|| Some(self.runs.current()?.frames.last()?.step))
    }

    pub(crate) fn handle_view(&mut self, command: ViewCommand) -> Vec<Effect> {
        match command {
            ViewCommand::ShowPicture(picture) => {
                self.film.picture = picture;
                return Vec::new();
            }
            ViewCommand::CopyPicture => {
                let picture = self.film.picture.unwrap_or(0);
                let shown = self.shown_of(self.shared.settings.views.first());
                let shown = shown.and_then(|shown| shown.pictures.get(picture));
                return shown
                    .map(|pixels| Effect::Task(Task::Copy(Arc::clone(pixels))))
                    .into_iter()
                    .collect();
            }
            ViewCommand::Choose(view) => self.shared.settings.views.choose(view),
            ViewCommand::Alone(view) => {
                (self.shared.settings.views.one, self.shared.settings.views.side_by_side) = (view, false);
            }
            ViewCommand::SideBySide(side_by_side) => self.shared.settings.views.side_by_side = side_by_side,
            ViewCommand::Compare(step) => self.compare(step),
            ViewCommand::Play { how, now } => {
                self.shared.settings.playing = how;
                if let Some(play) = &mut self.film.play {
                    play.change(now);
                }
            }
        }
        self.hide_sheet();
        self.decode_held_step()
    }

    /// What the step at hand is compared with until another is chosen: the last, or of the last the first.
    pub fn other_step(&self) -> Option<usize> {
        let frames = &self.runs.current()?.frames;
        let (first, last) = (frames.first()?.step, frames.last()?.step);
        Some(if self.current_step() == Some(last) { first } else { last })
    }

    /// Holds the step at hand, and `step` beside it.
    pub(crate) fn compare(&mut self, step: Option<usize>) {
        (self.film.compared, self.film.beside) = (None, None);
        let frames = self.runs.current().map(|run| &run.frames).filter(|frames| frames.len() > 1);
        let (Some(frames), Some(step)) = (frames, step) else { return };
        let is_there = frames.iter().any(|frame| frame.step == step);
        if is_there {
            self.film.pinned = self.current_step();
            self.film.play = None;
            self.film.hovered = None;
            self.film.compared = Some(step);
        }
    }

    /// Holds the run at hand where it is, and the end of another one beside it.
    pub(crate) fn compare_run(&mut self, job: JobId) -> Vec<Effect> {
        let end = self.runs.get(job).and_then(|run| run.frames.last()).map(|frame| frame.step);
        let is_other = self.runs.current().is_some_and(|run| run.job.id != job && !run.frames.is_empty());
        let (Some(end), true) = (end, is_other) else { return Vec::new() };
        self.hide_sheet();
        self.film.pinned = self.current_step();
        self.film.play = None;
        self.film.hovered = None;
        (self.film.compared, self.film.beside) = (Some(end), Some(job));
        self.decode_held_step()
    }

    /// Asks for the next full decode, if there is one to ask for.
    pub(crate) fn decode_held_step(&mut self) -> Vec<Effect> {
        let views = self.shared.settings.views.shown();
        let pinned = self.film.pinned;
        let Some(run) = self.runs.current_mut() else { return Vec::new() };
        // At rest the last step is what the canvas shows.
        let last = run.frames.last().map(|frame| frame.step).filter(|_| !run.is_live());
        // Another run's steps are as they were left.
        let compared = self.film.compared.filter(|_| self.film.beside.is_none());
        let held: Vec<usize> = [pinned.or(last), compared].into_iter().flatten().collect();
        let Some((step, view)) = run.next_decode(&held, &views) else { return Vec::new() };
        run.asked = Some(((step, view), Instant::now()));
        vec![Effect::Send(Request::Decode { job: run.job.id, step, view })]
    }
}
