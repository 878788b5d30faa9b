//! The shortcuts, as tooltips and buttons show them; `window/shortcuts.rs` handles them.

pub const GENERATE_KEY: &str = "Ctrl+Enter";
pub const STOP_KEY: &str = "Esc";
pub const CHOOSE_IMAGE_KEY: &str = "Ctrl+O";
pub const PASTE_IMAGE_KEY: &str = "Ctrl+Shift+V";
pub const PLAY_KEY: &str = "Space";
pub const BRANCH_KEY: &str = "B";
pub const COMPARE_KEY: &str = "C";
pub const PAINT_KEY: &str = "P";
pub const BRUSH_SIZE_KEYS: &str = "[ and ]";
pub const UNDO_KEY: &str = "Ctrl+Z";
pub const REDO_KEY: &str = "Ctrl+Shift+Z";
