//! Guidance by a loss: the guides of the recipe, which the Guides tab edits.

pub(crate) mod panel;
