//! Tidepool's window and command line: a view of plain data.
//!
//! Architecture Invariant: this crate knows no burn; it asks the engine and shows what comes back.

pub mod cli;
pub mod settings;
