//! Getting a model from a hub, against a server on this machine that does everything that servers
//! and the lines to them do wrong.

mod access;
mod card;
mod command_line;
mod faults;
mod plans;
mod resume;
