//! Pictures of the window, compared with those in `tests/snapshots`.

mod lesson;
mod trajectory_map;
mod window;
