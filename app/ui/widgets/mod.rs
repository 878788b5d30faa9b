//! The widgets that panels are made of. How they look: `assets/guide/window.md`.

mod bar;
mod buttons;
mod card;
mod check;
mod icons;
mod number;
mod segmented;
mod select;
mod slider;
mod text;

pub use bar::bar_ui;
pub use buttons::{Tool, close_ui, focus_ring, icon_button_ui, link_ui, outlined_button_ui, text_button_ui};
pub use card::card_ui;
pub use check::check_ui;
pub use icons::{Icon, logo_ui};
pub use number::{Number, NumberLook, number_ui, seed_ui};
pub use segmented::{segmented_ui, toggles_ui};
pub use select::{SelectItem, chip_ui, menu_item_ui, select_ui};
pub use slider::{SliderRow, real_slider_ui, slider_row_ui, stepped, whole_slider_ui};
pub use text::{dashed_rect, field_frame, label_ui, line_ui, note_ui, problem_ui, tip};
