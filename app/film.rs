//! The film strip's hands: which step is looked at, and the clock that plays them.

/// Which step and which picture of the batch a person looks at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Film {
    /// Looked at by pointing, until the pointer leaves or a key says otherwise.
    pub hovered: Option<usize>,
    /// Where the pointer is. It may rest on a step while keys go on to others.
    pub under_pointer: Option<usize>,
    /// Held on the canvas.
    pub pinned: Option<usize>,
    pub play: Option<Play>,
    /// One picture of the batch; all of them when `None`.
    pub picture: Option<usize>,
}

/// A film that runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Play {
    /// When the first step was shown, in seconds of the window's clock.
    since: f64,
    /// Offset into the steps at hand when it began.
    begin: usize,
    /// Offset shown now.
    pub at: usize,
}

impl Play {
    pub const STEPS_PER_SEC: f64 = 12.0;
    /// How long the last step is held before the film begins anew, in steps.
    const HOLD: usize = 12;

    pub fn new(now: f64, begin: usize) -> Self {
        Self { since: now, begin, at: begin }
    }

    /// Moves on to where the film is at `now`, if it has `steps` steps.
    pub fn advance(&mut self, now: f64, steps: usize) {
        let passed = ((now - self.since).max(0.0) * Self::STEPS_PER_SEC).floor() as usize;
        self.at = ((self.begin + passed) % (steps + Self::HOLD)).min(steps.saturating_sub(1));
    }

    /// Seconds from `now` until another step is due.
    pub fn next_in(&self, now: f64) -> f64 {
        let passed = (now - self.since).max(0.0) * Self::STEPS_PER_SEC;
        ((passed.floor() + 1.0 - passed) / Self::STEPS_PER_SEC).max(0.005)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_film_runs_at_twelve_steps_a_second_holds_its_end_and_begins_anew() {
        let mut play = Play::new(100.0, 0);
        let mut at = |secs: f64| {
            play.advance(100.0 + secs, 20);
            play.at
        };
        assert_eq!(at(0.0), 0);
        assert_eq!(at(0.51), 6);
        assert_eq!(at(1.7), 19);
        assert_eq!(at(2.5), 19);
        assert_eq!(at(2.68), 0);
    }
}
