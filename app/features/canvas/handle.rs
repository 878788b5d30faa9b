//! What the canvas shows: which step, which views, and what it is compared with.

use std::sync::Arc;
use std::time::Instant;

use engine::diffusion::StepView;
use engine::images::Pixels;
use engine::session::{JobId, Request};

use crate::features::branches::Runs;
use crate::features::canvas::ViewCommand;
use crate::features::effect::{Effect, Task};
use crate::features::film::FilmState;
use crate::features::state::{AppState, Shown};

impl AppState {
    /// What is shown: nothing, a step, or the best picture of the run.
    pub fn shown(&self) -> Option<Shown<'_>> {
        self.shown_of(StepView::Predicted)
    }

    /// The best pictures of another view.
    pub fn shown_of(&self, view: StepView) -> Option<Shown<'_>> {
        if let Some(drawing) = self.brush.open() {
            return Some(Shown { pictures: std::slice::from_ref(&drawing.under), step: None, is_full: true });
        }
        if let (Some(run), Some(step)) = (self.runs.current(), self.film.looked_at(&self.runs))
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

    /// An X/Y plot or a picture with an overlay, which takes the whole canvas.
    pub fn alone_on_canvas(&self) -> Option<&Arc<Pixels>> {
        self.xy_plot.on_canvas().or(self.attention.on_canvas())
    }

    /// The picture behind the divider, for a view.
    pub fn compared_of(&self, view: StepView) -> Option<Shown<'_>> {
        let step = self.film.compared?;
        let run = self.film.beside.map_or(self.runs.current(), |job| self.runs.get(job))?;
        let (pictures, is_full) = run.pictures_of(step, view)?;
        Some(Shown { pictures, step: Some(step), is_full })
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

    /// Selects the current step, and compares it with `step`.
    pub(crate) fn compare(&mut self, step: Option<usize>) {
        (self.film.compared, self.film.beside) = (None, None);
        let frames = self.runs.current().map(|run| &run.frames).filter(|frames| frames.len() > 1);
        let (Some(frames), Some(step)) = (frames, step) else { return };
        let is_there = frames.iter().any(|frame| frame.step == step);
        if is_there {
            self.film.pinned = self.film.current_step(&self.runs);
            self.film.play = None;
            self.film.hovered = None;
            self.film.compared = Some(step);
        }
    }

    /// Selects the current step, and compares it with the end of another run.
    pub(crate) fn compare_run(&mut self, job: JobId) -> Vec<Effect> {
        let end = self.runs.get(job).and_then(|run| run.frames.last()).map(|frame| frame.step);
        let is_other = self.runs.current().is_some_and(|run| run.job.id != job && !run.frames.is_empty());
        let (Some(end), true) = (end, is_other) else { return Vec::new() };
        self.hide_sheet();
        self.film.pinned = self.film.current_step(&self.runs);
        self.film.play = None;
        self.film.hovered = None;
        (self.film.compared, self.film.beside) = (Some(end), Some(job));
        self.decode_held_step()
    }

    /// Requests the next full decode, if any.
    pub(crate) fn decode_held_step(&mut self) -> Vec<Effect> {
        let views = self.shared.settings.views.shown();
        let pinned = self.film.pinned;
        let Some(run) = self.runs.current_mut() else { return Vec::new() };
        // When nothing is selected, the canvas shows the last step.
        let last = run.frames.last().map(|frame| frame.step).filter(|_| !run.is_live());
        // Other runs keep the decodes that they have.
        let compared = self.film.compared.filter(|_| self.film.beside.is_none());
        let held: Vec<usize> = [pinned.or(last), compared].into_iter().flatten().collect();
        let Some((step, view)) = run.next_decode(&held, &views) else { return Vec::new() };
        run.asked = Some(((step, view), Instant::now()));
        vec![Effect::Send(Request::Decode { job: run.job.id, step, view })]
    }
}

impl FilmState {
    /// The step on the canvas, if it is not just the newest one.
    pub fn looked_at(&self, runs: &Runs) -> Option<usize> {
        let played = || Some(runs.current()?.frames.get(self.play.as_ref()?.at)?.step);
        // The selected step stays while the pointer chooses a step to compare it with.
        let hovered = self.hovered.filter(|_| self.compared.is_none());
        hovered.or_else(played).or(self.pinned)
    }

    /// The step that the filmstrip outlines.
    pub fn current_step(&self, runs: &Runs) -> Option<usize> {
        self.looked_at(runs).or_else(|| Some(runs.current()?.frames.last()?.step))
    }

    /// The step to compare with until another is chosen: the last, or the first if the last is selected.
    pub fn other_step(&self, runs: &Runs) -> Option<usize> {
        let frames = &runs.current()?.frames;
        let (first, last) = (frames.first()?.step, frames.last()?.step);
        Some(if self.current_step(runs) == Some(last) { first } else { last })
    }
}
