//! Facts about the whole program, one file a subject.

mod cli;
mod house;
