//! TODO(doc)

pub(crate) mod empty;
pub(crate) mod handle;
pub(crate) mod panel;
pub(crate) mod panes;
pub mod views;

use engine::diffusion::StepView;

use crate::features::film::PlaybackSettings;

/// A wish about what of the film is on the canvas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ViewCommand {
    /// One view alone; or, where several are side by side, shows or hides that one.
    Choose(StepView),
    /// One view alone, whatever was shown.
    Alone(StepView),
    SideBySide(bool),
    /// Puts a step beside the one at hand, behind a divider; `None` takes it away.
    Compare(Option<usize>),
    /// One picture of a batch, or all of them.
    ShowPicture(Option<usize>),
    CopyPicture,
    /// How films are played from now on.
    Play {
        how: PlaybackSettings,
        now: f64,
    },
}
