//! Where the losses moved a picture: a light on the canvas, brightest where the gradient is longest.

use std::sync::Arc;

use engine::diffusion::StepView;
use engine::images::Pixels;
use engine::inspect::attention_maps::mask_by_map;

use super::{GradientOverlay, GuidesCommand};
use crate::features::state::AppState;

impl AppState {
    pub(crate) fn handle_guides(&mut self, command: GuidesCommand) {
        let GuidesCommand::ShowGradient(is_shown) = command;
        self.guides.shows_gradient = is_shown;
    }

    /// Updates the overlay when another step is shown. A step that no loss guides has that of the last guided one.
    pub(crate) fn update_gradient_overlay(&mut self) {
        let shown = self.gradients_shown();
        let known = std::mem::take(&mut self.guides.overlays);
        self.guides.overlays = shown
            .into_iter()
            .map(|(picture, strength)| {
                let is_same = |known: &&GradientOverlay| {
                    Arc::ptr_eq(&known.of, &picture) && Arc::ptr_eq(&known.strength, &strength)
                };
                if let Some(known) = known.iter().find(is_same) {
                    return known.clone();
                }
                let map: Vec<f32> = strength.rgb.iter().step_by(3).map(|grey| f32::from(*grey)).collect();
                let lit = mask_by_map(&picture, &map, [strength.height as usize, strength.width as usize]);
                GradientOverlay { of: picture, strength, lit: Arc::new(lit) }
            })
            .collect();
    }

    /// The pictures on the canvas, each with the strength of the gradient.
    fn gradients_shown(&self) -> Vec<(Arc<Pixels>, Arc<Pixels>)> {
        let strengths = || {
            let run = self.runs.current().filter(|_| self.guides.shows_gradient)?;
            let step = self.film.current_step(&self.runs)?;
            let frames = run.frames.iter().rev().skip_while(|frame| frame.step > step);
            frames.filter_map(|frame| frame.losses.as_ref()).next().map(|losses| &losses.strength)
        };
        let pictures = self.shown_of(StepView::Predicted).map_or(&[][..], |shown| shown.pictures);
        pictures.iter().cloned().zip(strengths().into_iter().flatten().cloned()).collect()
    }

    /// The picture that the canvas shows in place of one of a step's, if any.
    pub fn gradient_on_canvas(&self, view: StepView, picture: usize) -> Option<&Arc<Pixels>> {
        let overlay = self.guides.overlays.get(picture).filter(|_| view == StepView::Predicted);
        overlay.map(|overlay| &overlay.lit)
    }
}
