//! Which step is looked at, and the playing of them.

use crate::features::effect::Effect;
use crate::features::film::{FilmCommand, PlaybackState};
use crate::features::state::AppState;

impl AppState {
    pub(crate) fn handle_film(&mut self, command: FilmCommand) -> Vec<Effect> {
        match command {
            FilmCommand::Hover(step) => {
                self.film.hovered = step;
                return Vec::new();
            }
            FilmCommand::Tick { now } => {
                self.tick(now);
                return Vec::new();
            }
            FilmCommand::Pin(step) => self.pin(step),
            FilmCommand::ScrubTo(step) => self.scrub_to(step),
            FilmCommand::StepBy(by) => self.step_by(by),
            FilmCommand::TogglePlay { now } => self.toggle_play(now),
        }
        self.hide_sheet();
        self.decode_held_step()
    }

    fn pin(&mut self, step: Option<usize>) {
        self.film.play = None;
        match (self.film.compared, step) {
            (Some(_), Some(_)) => self.film.compared = step,
            (Some(_), None) => self.film.compared = None,
            (None, step) => self.film.pinned = step.filter(|_| self.film.pinned != step),
        }
    }

    fn step_by(&mut self, by: isize) {
        let at = self.film.compared.or(self.film.current_step(&self.runs));
        let Some(run) = self.runs.current() else { return };
        let (Some(at), Some(first), Some(last)) = (at, run.frames.first(), run.frames.last()) else {
            return;
        };
        let to = Some(at.saturating_add_signed(by).clamp(first.step, last.step));
        self.film.hovered = None;
        self.film.play = None;
        match self.film.compared {
            Some(_) => self.film.compared = to,
            None => self.film.pinned = to,
        }
    }

    fn scrub_to(&mut self, step: usize) {
        self.film.play = None;
        self.film.hovered = None;
        match self.film.compared {
            Some(_) => self.film.compared = Some(step),
            None => self.film.pinned = Some(step),
        }
    }

    fn toggle_play(&mut self, now: f64) {
        self.film.compared = None;
        if let Some(play) = self.film.play.take() {
            self.film.pinned = self.runs.current().and_then(|run| Some(run.frames.get(play.at)?.step));
            return;
        }
        let Some(run) = self.runs.current().filter(|run| run.frames.len() > 1) else { return };
        let at_end = |step: usize| step + 1 >= run.start_step + run.frames.len();
        let begin = self.film.pinned.filter(|&step| !at_end(step));
        let begin = begin.map_or(0, |step| step.saturating_sub(run.start_step));
        self.film.pinned = None;
        self.film.hovered = None;
        self.film.play = Some(PlaybackState::new(now, begin));
    }

    /// Advances playback; at the end, the last step stays selected.
    fn tick(&mut self, now: f64) {
        if let (Some(play), Some(run)) = (&mut self.film.play, self.runs.current())
            && !play.advance(now, run.frames.len(), self.shared.settings.playing)
        {
            let at = play.at;
            self.film.play = None;
            self.film.pinned = run.frames.get(at).map(|frame| frame.step);
        }
    }
}
