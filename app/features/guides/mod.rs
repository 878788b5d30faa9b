//! Guidance by a loss: the guides of the recipe, which the Guides tab edits, and what they did in the current run.

mod before_after;
mod curves;
mod gradient;
mod list;
pub(crate) mod panel;
mod presets;

use std::sync::Arc;

use engine::images::Pixels;

/// The light on the picture that shows where losses moved it.
#[derive(Clone, Debug, Default)]
pub struct GuidesState {
    pub shows_gradient: bool,
    /// One per picture on the canvas; none while it is off, or if no loss guided the run.
    overlays: Vec<GradientOverlay>,
}

/// A picture with the light on it.
#[derive(Clone, Debug)]
struct GradientOverlay {
    of: Arc<Pixels>,
    strength: Arc<Pixels>,
    lit: Arc<Pixels>,
}

/// A request of the Guides tab, beside the recipe that it edits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuidesCommand {
    /// Shows or hides where the losses moved the picture.
    ShowGradient(bool),
}
