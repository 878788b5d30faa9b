//! Drawing by hand on the canvas: paint on a step, which a branch continues from, and the masks of guides.

mod drawing;
mod handle;
pub(crate) mod mask_row;
pub(crate) mod panel;
mod stroke;

use std::ops::RangeInclusive;
use std::sync::Arc;

use engine::images::Pixels;
use engine::losses::Mask;
use engine::paint::Paint;

use crate::features::branches::Runs;
use crate::features::film::FilmState;
pub use drawing::{Drawing, DrawingOf};

/// The brush, and what is drawn with it.
#[derive(Clone, Debug)]
pub struct BrushState {
    pub tool: Tool,
    pub color: [u8; 3],
    /// The diameter, as a part of the picture's shorter side.
    pub size: f32,
    /// The part of the radius over which the edge fades, 0 to 1.
    pub softness: f32,
    /// Of the paint: see [`Paint::hold`].
    pub hold: f32,
    /// The latest drawing. Paint is kept until the branch is made.
    pub drawing: Option<Drawing>,
    /// The pointer draws on the canvas.
    pub is_open: bool,
}

impl Default for BrushState {
    fn default() -> Self {
        Self {
            tool: Tool::Color,
            color: [217, 89, 58],
            size: 0.12,
            softness: 0.3,
            hold: Paint::HOLD,
            drawing: None,
            is_open: false,
        }
    }
}

/// What the brush does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    Color,
    Smudge,
    /// Adds to the mask: where a guide acts, or where noise is drawn anew.
    Mask,
    Erase,
    /// Takes up the colour of the picture.
    Pick,
}

impl Tool {
    /// The tools for a drawing.
    pub fn of(drawing: DrawingOf) -> &'static [Self] {
        match drawing {
            DrawingOf::Paint { .. } => &[Self::Color, Self::Smudge, Self::Mask, Self::Erase, Self::Pick],
            DrawingOf::Mask { .. } => &[Self::Mask, Self::Erase],
        }
    }

    /// Name in the window.
    pub fn label(self, drawing: DrawingOf) -> &'static str {
        match (self, drawing) {
            (Self::Color, _) => "Colour",
            (Self::Smudge, _) => "Smudge",
            (Self::Mask, DrawingOf::Paint { .. }) => "Noise",
            (Self::Mask, DrawingOf::Mask { .. }) => "Draw",
            (Self::Erase, _) => "Erase",
            (Self::Pick, _) => "Pick",
        }
    }

    pub fn hint(self, drawing: DrawingOf) -> &'static str {
        match (self, drawing) {
            (Self::Color, _) => "Paints a colour onto the predicted picture. Alt and a click picks one up.",
            (Self::Smudge, _) => "Carries colours along the stroke.",
            (Self::Mask, DrawingOf::Paint { .. }) => {
                "Draws the noise of this region anew, so that something else appears there."
            }
            (Self::Mask, DrawingOf::Mask { .. }) => "The guide acts where the mask is.",
            (Self::Erase, DrawingOf::Paint { .. }) => {
                "Takes paint and noise away: back to the step as it was."
            }
            (Self::Erase, DrawingOf::Mask { .. }) => "Takes the mask away.",
            (Self::Pick, _) => "Picks up the colour at a click.",
        }
    }
}

impl BrushState {
    pub const SIZE: RangeInclusive<f32> = 0.01..=1.0;

    /// The drawing that the pointer draws on.
    pub fn open(&self) -> Option<&Drawing> {
        self.drawing.as_ref().filter(|_| self.is_open)
    }

    /// The drawing that the canvas shows: one that is open, or the paint of the branch to come.
    pub fn on_canvas(&self, runs: &Runs, film: &FilmState) -> Option<&Drawing> {
        let waits = |drawing: &&Drawing| match drawing.of {
            DrawingOf::Paint { step, .. } => film.current_step(runs) == Some(step),
            DrawingOf::Mask { .. } => false,
        };
        self.open().or_else(|| self.of_branch(runs).filter(waits))
    }

    /// What is painted on the step that the next run branches from.
    pub fn of_branch(&self, runs: &Runs) -> Option<&Drawing> {
        let drawing = self.drawing.as_ref()?;
        let DrawingOf::Paint { job, step } = drawing.of else { return None };
        let is_branched =
            runs.current().is_some_and(|run| run.job.id == job) && runs.branch_from == Some(step);
        Some(drawing).filter(|drawing| is_branched && drawing.is_painted())
    }

    /// Whether the mask of a guide is being drawn.
    pub fn draws_mask(&self, guide: usize) -> bool {
        self.open().is_some_and(|drawing| drawing.of == DrawingOf::Mask { guide })
    }
}

/// A request about drawing. Places are 0 to 1, across and down the picture.
#[derive(Clone, Debug, PartialEq)]
pub enum BrushCommand {
    /// Paints on the shown step; the next run branches from it.
    Paint,
    /// Draws the mask of a guide.
    DrawMask(usize),
    /// The mask of a guide becomes what the chosen word looks at.
    MaskFromWord(usize),
    /// Asks for a picture that becomes the mask of a guide.
    LoadMask(usize),
    Touch([f32; 2]),
    Move([f32; 2]),
    Lift,
    Pick([f32; 2]),
    Undo,
    Redo,
    Invert,
    Clear,
    Choose(Tool),
    /// Erases, or draws again.
    ToggleErase,
    Size(f32),
    Softness(f32),
    Hold(f32),
    Color([u8; 3]),
    /// Pastes the picture of the clipboard.
    Paste,
    /// Puts the brush down. Paint stays until the branch is made.
    Close,
}

/// What a thread reports about drawing.
#[derive(Clone, Debug)]
pub enum BrushEvent {
    /// The picture to paste, or why there is none.
    Pasted(Result<Arc<Pixels>, String>),
    /// The mask of a guide, or why the file is not one.
    MaskLoaded { guide: usize, mask: Result<Mask, String> },
}
