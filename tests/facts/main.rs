//! Facts about the whole program, one file a subject.

mod bad_input;
mod cli;
mod house;
