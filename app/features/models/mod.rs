//! TODO(doc)

pub(crate) mod folders;
pub(crate) mod handle;
pub(crate) mod library;
pub(crate) mod panel;
pub(crate) mod row;
