//! TODO(doc)

pub(crate) mod empty;
pub(crate) mod handle;
pub(crate) mod panel;
pub(crate) mod panes;
pub mod views;
