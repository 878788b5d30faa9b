//! The timing of animations: which frame is shown when.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::Animation;

/// The frame rates of an animation. GIF counts hundredths of a second, and browsers slow down animations
/// with frames shorter than two of them.
pub const FPS: RangeInclusive<u32> = 1..=50;

/// How long the last frame, the finished picture, is shown.
const HOLD_SECS: u32 = 2;

/// What happens at the end of an animation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Playback {
    Once,
    #[default]
    Loop,
    PingPong,
}

impl Playback {
    pub const ALL: [Self; 3] = [Self::Loop, Self::PingPong, Self::Once];

    /// Each kind with its name in files and on the command line, its label and its hint.
    const TABLE: [(Self, &str, &str, &str); 3] = [
        (Self::Loop, "loop", "Loop", "Starts again after the finished picture."),
        (Self::PingPong, "ping-pong", "Back and forth", "Plays forwards, then backwards into the noise."),
        (Self::Once, "once", "Once", "Stops at the finished picture. In MP4 that is up to the player."),
    ];

    fn row(self) -> &'static (Self, &'static str, &'static str, &'static str) {
        Self::TABLE.iter().find(|(playback, ..)| *playback == self).expect("every kind has its row")
    }

    pub fn name(self) -> &'static str {
        self.row().1
    }

    pub fn label(self) -> &'static str {
        self.row().2
    }

    pub fn hint(self) -> &'static str {
        self.row().3
    }
}

/// A frame and how long it is shown, in units of one `fps`-th of a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameTiming {
    pub frame: usize,
    pub ticks: u32,
}

impl Animation {
    /// The frame rate, clamped to [`FPS`].
    pub(super) fn frames_per_second(&self) -> u32 {
        self.fps.clamp(*FPS.start(), *FPS.end())
    }

    /// Every frame in the order in which it is shown.
    pub(super) fn frame_timings(&self) -> Vec<FrameTiming> {
        let last = self.frames.len().saturating_sub(1);
        let back = if self.playback == Playback::PingPong { 1..last } else { 0..0 };
        let ticks = |frame| if frame == last { HOLD_SECS * self.frames_per_second() } else { 1 };
        (0..=last).chain(back.rev()).map(|frame| FrameTiming { frame, ticks: ticks(frame) }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::{Panel, Pixels, Provenance};

    fn order(frames: usize, playback: Playback) -> Vec<(usize, u32)> {
        let panel = Panel { picture: Pixels::new(1, 1, vec![0; 3]).into(), caption: None };
        let frames = vec![vec![panel]; frames];
        let animation =
            Animation { frames, size: (1, 1), fps: 10, playback, provenance: Provenance::default() };
        animation.frame_timings().into_iter().map(|timing| (timing.frame, timing.ticks)).collect()
    }

    #[test]
    fn an_animation_holds_its_last_frame_and_plays_back_without_repeating_either_end() {
        assert_eq!(order(3, Playback::Loop), [(0, 1), (1, 1), (2, 20)]);
        assert_eq!(order(3, Playback::Once), [(0, 1), (1, 1), (2, 20)]);
        assert_eq!(order(4, Playback::PingPong), [(0, 1), (1, 1), (2, 1), (3, 20), (2, 1), (1, 1)]);
        assert_eq!(order(2, Playback::PingPong), [(0, 1), (1, 20)]);
        assert_eq!(order(1, Playback::PingPong), [(0, 20)]);
    }
}
