//! Tidepool's window and command line: a view of plain data.
//!
//! ```text
//! panel --Command--> AppState::handle --Request--> engine
//!   ^                                                |
//!   +--reads-- AppState <--receive-- Event <---------+
//! ```
//! Read [`app`] first, then [`state`]. [`panels`] are functions that read, draw and ask;
//! [`widgets`] are what they are made of; [`theme`] is how it looks.
//!
//! Architecture Invariant: this crate knows no burn; it asks the engine and shows what comes back.

pub mod features;
pub mod ui;

pub mod cli;
pub mod hub;
pub mod library;
pub mod window;

pub use window::{WindowError, run_window};
