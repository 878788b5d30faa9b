//! TODO(doc)

pub(crate) mod controls;
pub(crate) mod handle;
pub(crate) mod panel;
pub mod run;
pub(crate) mod sampler_options;
pub(crate) mod size_and_seed;
