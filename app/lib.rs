//! Tidepool's window and command line: a view of plain data.
//!
//! ```text
//! panel --Command--> AppState::handle --Effect::Send--> engine
//!   ^                                                     |
//!   +---reads--- AppState <--receive--- Event <-----------+
//! ```
//! From top to bottom; no import climbs:
//! * [`cli`]: the command line, which opens the window if nothing else is asked for.
//! * [`window`]: the window. It draws the panels, carries out effects and brings events.
//! * [`features`]: what the window can do, a folder each: its state, its commands, its panel.
//! * [`library`]: the models on this machine. [`hub`]: models from the Hugging Face Hub.
//! * `ui`: widgets, theme, fonts and textures, which know none of the above.
//!
//! Read `window/app.rs` first, then `features/state.rs`.
//!
//! Architecture Invariant: this crate knows no burn; it asks the engine and shows what comes back.

pub mod cli;
pub mod features;
pub mod hub;
pub mod library;
pub mod window;

mod ui;
