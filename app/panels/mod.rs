//! The parts of the desk. Each is a function that reads the state, draws, and asks with commands;
//! one that edits gets `&mut` to the one value it edits.

mod branches;
mod canvas;
mod canvas_empty;
mod concepts;
mod controls;
mod drop_overlay;
mod filmstrip;
mod generate_button;
mod get_model;
mod model_folders;
mod model_row;
mod models;
mod prompt;
mod prompt_words;
mod side_panel;
mod size_and_seed;
mod start_image;
mod status_bar;
mod top_bar;

pub use branches::branches_ui;
pub use canvas::{CanvasView, canvas_ui};
pub use concepts::concepts_ui;
pub use controls::controls_ui;
pub use drop_overlay::drop_overlay_ui;
pub use filmstrip::filmstrip_ui;
pub use generate_button::generate_button_ui;
pub use get_model::get_model_ui;
pub use models::models_ui;
pub use prompt::prompt_ui;
pub use prompt_words::{prompt_id, with_word};
pub use side_panel::{drawer_ui, side_panel_ui, tabs_ui};
pub use start_image::start_image_ui;
pub use status_bar::status_bar_ui;
pub use top_bar::{size_in_words, top_bar_ui};
