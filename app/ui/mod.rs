//! TODO(doc)

pub mod fonts;
pub mod format;
pub mod textures;
pub mod theme;
pub mod widgets;
