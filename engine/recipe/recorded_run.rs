//! A recipe with the steps that have been sampled.

use super::{Branch, Recipe};
use crate::diffusion::Trajectory;

/// A recipe and its trajectory, as far as it was sampled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordedRun {
    pub recipe: Recipe,
    pub trajectory: Trajectory,
}

impl RecordedRun {
    /// Prepares the run for sampling a recipe: drops the steps of another run, and returns the parent recipe and the
    /// branch point if the parent has not been sampled that far.
    pub fn missing_parent<'a>(&mut self, recipe: &'a Recipe) -> Option<(&'a Recipe, usize)> {
        let Some(Branch { from, step, .. }) = &recipe.branch else {
            if self.recipe != *recipe {
                self.trajectory.steps.clear();
            }
            self.trajectory.start_step = recipe.start_step() as usize;
            return None;
        };
        let step = *step as usize;
        let is_known = self.recipe == *recipe || self.recipe == **from;
        if is_known && self.trajectory.step(step).is_some() {
            return None;
        }
        if self.recipe == *recipe {
            // It ended before its branch point, so all of its steps are its parent's.
            self.recipe.clone_from(from);
        }
        Some((from, step))
    }

    /// Makes this a run of `recipe`, however sampling ends. Drops steps after the branch point that another recipe
    /// made.
    pub fn start(&mut self, recipe: &Recipe) {
        if self.recipe != *recipe {
            let start_step = self.trajectory.start_step;
            let shared = recipe.branch.as_ref().map_or(0, |branch| branch.step as usize - start_step);
            self.trajectory.steps.truncate(shared);
            self.recipe = recipe.clone();
        }
    }
}
