//! Downloading a model from a hub. A server on this machine fails in every way that servers and connections
//! fail.

mod access;
mod card;
mod command_line;
mod faults;
mod plans;
mod resume;
