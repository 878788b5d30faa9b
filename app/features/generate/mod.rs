//! The controls of a run, the button that starts and stops it, and the run itself as the window knows it.

pub(crate) mod controls;
mod handle;
pub(crate) mod panel;
pub mod run;
pub(crate) mod sampler_options;
pub(crate) mod size_and_seed;
