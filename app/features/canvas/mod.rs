//! The picture in the middle: which views of which step it shows, how large, and what it says while empty.

pub(crate) mod empty;
mod handle;
pub(crate) mod panel;
pub(crate) mod panes;
pub mod views;

use engine::diffusion::StepView;

use crate::features::film::PlaybackSettings;

/// A request about what the canvas shows of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ViewCommand {
    /// Shows one view alone; where several are side by side, shows or hides it.
    Choose(StepView),
    /// Shows one view alone.
    Alone(StepView),
    SideBySide(bool),
    /// Compares a step with the current one, behind a divider; `None` stops comparing.
    Compare(Option<usize>),
    /// One picture of a batch, or all of them.
    ShowPicture(Option<usize>),
    CopyPicture,
    /// Changes how steps are played.
    Play {
        how: PlaybackSettings,
        now: f64,
    },
}
