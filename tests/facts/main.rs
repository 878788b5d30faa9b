//! Facts about the whole program, one file a subject.

mod bad_input;
mod cli;
mod desk;
mod house;
mod window;
mod window_flow;
mod window_look;
