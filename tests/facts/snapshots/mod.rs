//! Pictures of the window, compared with those in `tests/snapshots`.

mod brush;
mod device_menu;
mod lesson;
mod trajectory_map;
mod window;
