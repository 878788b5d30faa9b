//! The noise schedule of the recipe as a plot over the steps.

pub(crate) mod curves;
pub(crate) mod panel;
pub(crate) mod plot;
