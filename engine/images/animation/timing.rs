//! When which shot is seen.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::Animation;

/// Shots a second that a film may have. GIF counts hundredths of a second, and browsers slow down
/// what shows a frame for less than two of them.
pub const FPS: RangeInclusive<u32> = 1..=50;

/// How long the last shot, the finished picture, stays.
const HOLD_SECS: u32 = 2;

/// What a film does when it has come to its end.
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

    pub const fn name(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Loop => "loop",
            Self::PingPong => "ping-pong",
        }
    }

    pub const fn label(self) -> &'static str {
        match self {
            Self::Once => "Once",
            Self::Loop => "Again and again",
            Self::PingPong => "There and back",
        }
    }

    pub const fn hint(self) -> &'static str {
        match self {
            Self::Once => "Stops at the finished picture. MP4 leaves that to the player.",
            Self::Loop => "Begins anew after the finished picture.",
            Self::PingPong => "Goes back into the noise the way it came.",
        }
    }
}

/// A shot and how long it is seen, in units of one `fps`-th of a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameTiming {
    pub shot: usize,
    pub ticks: u32,
}

impl Animation {
    /// Frames a second, held to what can be shown.
    pub(super) fn pace(&self) -> u32 {
        self.fps.clamp(*FPS.start(), *FPS.end())
    }

    /// Every shot in the order in which it is seen.
    pub(super) fn frame_timings(&self) -> Vec<FrameTiming> {
        let last = self.shots.len().saturating_sub(1);
        let back = if self.playback == Playback::PingPong { 1..last } else { 0..0 };
        let ticks = |shot| if shot == last { HOLD_SECS * self.pace() } else { 1 };
        (0..=last).chain(back.rev()).map(|shot| FrameTiming { shot, ticks: ticks(shot) }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::{Pixels, Provenance};

    fn order(shots: usize, playback: Playback) -> Vec<(usize, u32)> {
        let pane =
            crate::images::animation::Panel { picture: Pixels::new(1, 1, vec![0; 3]).into(), caption: None };
        let shots = vec![vec![pane]; shots];
        let reel = Animation { shots, size: (1, 1), fps: 10, playback, provenance: Provenance::default() };
        reel.frame_timings().into_iter().map(|showing| (showing.shot, showing.ticks)).collect()
    }

    #[test]
    fn a_film_holds_its_end_and_comes_back_without_showing_either_end_twice() {
        assert_eq!(order(3, Playback::Loop), [(0, 1), (1, 1), (2, 20)]);
        assert_eq!(order(3, Playback::Once), [(0, 1), (1, 1), (2, 20)]);
        assert_eq!(order(4, Playback::PingPong), [(0, 1), (1, 1), (2, 1), (3, 20), (2, 1), (1, 1)]);
        assert_eq!(order(2, Playback::PingPong), [(0, 1), (1, 20)]);
        assert_eq!(order(1, Playback::PingPong), [(0, 20)]);
    }
}
