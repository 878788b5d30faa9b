//! Facts about the whole program, one file a subject.

mod bad_input;
mod branching;
mod branching_cli;
mod checkpoints;
mod cli;
mod concepts;
mod concepts_in_prompts;
mod converting;
mod desk;
mod golden;
mod house;
mod hub;
mod library;
mod models;
mod opening;
mod pictures;
mod sampling;
mod session;
mod side_panel;
mod tokens;
mod trajectories;
mod trouble;
mod window;
mod window_concepts;
mod window_flow;
mod window_look;
