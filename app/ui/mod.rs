//! TODO(doc)

pub mod fonts;
pub mod textures;
pub mod theme;
pub mod widgets;
