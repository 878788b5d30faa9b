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

pub mod app;
pub mod attention_desk;
pub mod beginning;
pub mod branches;
pub mod chips;
pub mod chores;
pub mod cli;
pub mod command;
pub mod concept_watch;
pub mod conversion;
pub mod curves;
pub mod export;
pub mod film;
pub mod fonts;
pub mod hub;
pub mod lesson;
pub mod library;
pub mod panels;
pub mod problems;
pub mod read_prompt;
pub mod run;
pub mod saver;
pub mod settings;
pub mod sheet;
pub mod shortcuts;
pub mod state;
pub mod tab;
pub mod textures;
pub mod theme;
pub mod views;
pub mod weigh_selection;
pub mod widgets;
pub mod window;
pub mod word_sums;
pub mod words_desk;

pub use window::{WindowError, run_window};
