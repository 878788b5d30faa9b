//! The state of the filmstrip: which step is selected, and the clock that plays the steps.

pub(crate) mod controls;
mod handle;
pub(crate) mod panel;

use std::ops::RangeInclusive;

use engine::session::JobId;
use serde::{Deserialize, Serialize};

/// Which step and which picture of the batch is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FilmState {
    /// The step under the pointer, until the pointer leaves or a key moves on.
    pub hovered: Option<usize>,
    /// The selected step.
    pub pinned: Option<usize>,
    /// The step it is compared with, behind a divider.
    pub compared: Option<usize>,
    /// The run of the step behind the divider, if it is not the current run.
    pub beside: Option<JobId>,
    pub play: Option<PlaybackState>,
    /// One picture of the batch; all of them when `None`.
    pub picture: Option<usize>,
}

/// A request of the filmstrip.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FilmCommand {
    /// The step under the pointer.
    Hover(Option<usize>),
    /// Selects a step; `None` deselects it.
    Pin(Option<usize>),
    /// Selects the step under a drag.
    ScrubTo(usize),
    /// Moves one step back or forward.
    StepBy(isize),
    /// `now` is in seconds of any steady clock.
    TogglePlay {
        now: f64,
    },
    Tick {
        now: f64,
    },
}

/// How the steps are played.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlaybackSettings {
    /// Starts again at the end.
    pub loops: bool,
    /// Plays backwards after each round.
    pub ping_pong: bool,
    /// Steps per second.
    pub fps: f64,
}

impl Default for PlaybackSettings {
    fn default() -> Self {
        Self { loops: true, ping_pong: false, fps: 12.0 }
    }
}

impl PlaybackSettings {
    pub const FPS: RangeInclusive<f64> = 1.0..=30.0;
    /// How long the last step is held, in seconds.
    const HOLD_SECS: f64 = 1.0;

    /// The range of steps per second, whatever a settings file says.
    fn pace(self) -> f64 {
        if self.fps.is_nan() { 12.0 } else { self.fps.clamp(*Self::FPS.start(), *Self::FPS.end()) }
    }

    /// The step shown after `ticks` of the `steps`; `None` once playback is over.
    fn step_after(self, ticks: usize, steps: usize) -> Option<usize> {
        let last = steps.checked_sub(1)?;
        let turn = steps + (self.pace() * Self::HOLD_SECS).round() as usize;
        let whole = match (self.ping_pong, self.loops) {
            // The first step starts the next round.
            (true, true) => turn + last.saturating_sub(1),
            (true, false) => turn + last,
            (false, true) => turn,
            (false, false) => steps,
        };
        let ticks = if self.loops { ticks % whole } else { ticks };
        let back = (ticks + 1).saturating_sub(turn);
        (ticks < whole).then(|| ticks.min(last).saturating_sub(back))
    }
}

/// Playback that is running.
#[derive(Clone, Debug, PartialEq)]
pub struct PlaybackState {
    /// When it started or was last changed, in seconds of the window's clock.
    since: f64,
    /// Ticks that had passed by then.
    before: usize,
    /// Offset of the step shown now.
    pub at: usize,
}

impl PlaybackState {
    pub fn new(now: f64, begin: usize) -> Self {
        Self { since: now, before: begin, at: begin }
    }

    /// Advances to the step that is due at `now`, out of `steps`. False once playback is over.
    pub fn advance(&mut self, now: f64, steps: usize, how: PlaybackSettings) -> bool {
        let step = how.step_after(self.ticks(now, how), steps);
        self.at = step.unwrap_or(if how.ping_pong { 0 } else { steps.saturating_sub(1) });
        step.is_some()
    }

    /// Continues from the current step with other playback settings.
    pub fn change(&mut self, now: f64) {
        (self.since, self.before) = (now, self.at);
    }

    /// Seconds from `now` until another step is due.
    pub fn next_in(&self, now: f64, how: PlaybackSettings) -> f64 {
        let passed = self.passed(now, how);
        ((passed.floor() + 1.0 - passed) / how.pace()).max(0.005)
    }

    fn ticks(&self, now: f64, how: PlaybackSettings) -> usize {
        self.before + self.passed(now, how).floor() as usize
    }

    fn passed(&self, now: f64, how: PlaybackSettings) -> f64 {
        (now - self.since).max(0.0) * how.pace()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps_shown(how: PlaybackSettings, steps: usize, ticks: usize) -> Vec<Option<usize>> {
        (0..ticks).map(|ticks| how.step_after(ticks, steps)).collect()
    }

    #[test]
    fn a_film_runs_at_twelve_steps_a_second_holds_its_end_and_begins_anew() {
        let mut play = PlaybackState::new(100.0, 0);
        let mut at = |secs: f64| {
            play.advance(100.0 + secs, 20, PlaybackSettings::default());
            play.at
        };
        assert_eq!(at(0.0), 0);
        assert_eq!(at(0.51), 6);
        assert_eq!(at(1.7), 19);
        assert_eq!(at(2.5), 19);
        assert_eq!(at(2.68), 0);
    }

    #[test]
    fn to_and_fro_every_step_is_shown_once_each_way() {
        let how = PlaybackSettings { loops: true, ping_pong: true, fps: 1.0 };
        let shown: Vec<usize> = steps_shown(how, 4, 14).into_iter().flatten().collect();
        assert_eq!(shown, [0, 1, 2, 3, 3, 2, 1, 0, 1, 2, 3, 3, 2, 1]);
    }

    #[test]
    fn without_a_loop_a_film_ends() {
        let how = PlaybackSettings { loops: false, ping_pong: false, fps: 1.0 };
        assert_eq!(steps_shown(how, 3, 5), [Some(0), Some(1), Some(2), None, None]);
        let back = PlaybackSettings { ping_pong: true, ..how };
        assert_eq!(
            steps_shown(back, 3, 8),
            [Some(0), Some(1), Some(2), Some(2), Some(1), Some(0), None, None]
        );
        let mut play = PlaybackState::new(0.0, 0);
        assert!(play.advance(2.5, 3, how) && !play.advance(3.0, 3, how));
        assert_eq!(play.at, 2, "it stays where it ended");
    }

    #[test]
    fn films_of_one_step_or_none_and_paces_that_are_none_do_no_harm() {
        for (loops, ping_pong) in [(false, false), (false, true), (true, false), (true, true)] {
            for fps in [f64::NAN, f64::NEG_INFINITY, 0.0, 1e9] {
                let how = PlaybackSettings { loops, ping_pong, fps };
                for steps in [0, 1, 2] {
                    let mut play = PlaybackState::new(0.0, 0);
                    play.advance(1e6, steps, how);
                    assert!(play.at <= steps.saturating_sub(1));
                    assert!((0.005..=1.0).contains(&play.next_in(0.5, how)));
                }
            }
        }
    }

    #[test]
    fn another_pace_goes_on_from_the_step_at_hand() {
        let slow = PlaybackSettings { fps: 2.0, ..PlaybackSettings::default() };
        let mut play = PlaybackState::new(0.0, 0);
        play.advance(3.0, 20, slow);
        assert_eq!(play.at, 6);
        play.change(3.0);
        play.advance(3.5, 20, PlaybackSettings { fps: 20.0, ..slow });
        assert_eq!(play.at, 16);
    }
}
