//! TODO(doc)

pub mod curves;
pub(crate) mod panel;
pub(crate) mod plot;
