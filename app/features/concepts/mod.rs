//! TODO(doc)

pub(crate) mod handle;
pub(crate) mod panel;
pub mod watch;
