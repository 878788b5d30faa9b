//! TODO(doc)

pub(crate) mod panel;
