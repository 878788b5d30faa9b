//! Pictures of the window, compared with those in `tests/snapshots`.

mod lesson;
mod window;
