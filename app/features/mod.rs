//! What the window can do, a folder each: `mod.rs` is its state and its commands, `handle.rs` what becomes
//! of them, `panel.rs` what is drawn.
//!
//! [`state`] holds them all; [`command`] is what panels ask for, [`event`] what happens elsewhere, and
//! [`effect`] what must be done about either. Panels are functions that read, draw and push commands.

pub mod attention;
pub mod branches;
pub mod brush;
pub mod canvas;
pub mod command;
pub mod concepts;
pub mod convert;
pub mod device;
pub mod download;
pub mod drop;
pub mod effect;
pub mod errors;
pub mod event;
pub mod export;
pub mod film;
pub mod generate;
pub mod guides;
pub mod inspect;
pub mod lesson;
pub mod models;
pub mod prompt;
pub(crate) mod schedule;
pub mod settings;
pub mod start_image;
pub mod state;
pub mod trajectory_map;
pub mod words;
pub mod xy_plot;
