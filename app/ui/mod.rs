//! What every panel is made of: the theme, fonts, textures, and widgets. It knows no feature.

pub mod fonts;
pub mod keys;
pub mod section;
pub mod textures;
pub mod theme;
pub mod widgets;
