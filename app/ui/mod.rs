//! TODO(doc)

pub mod fonts;
pub mod keys;
pub mod section;
pub mod textures;
pub mod theme;
pub mod widgets;
