//! What the facts are told with. A fact imports from here and never from another fact.

pub mod app_state;
pub mod cli;
pub mod cpu_time;
pub mod devices;
pub mod fake_answers;
pub mod fake_hub;
pub mod fake_server;
pub mod folders;
pub mod library;
pub mod models;
pub mod numbers;
pub mod painted_window;
pub mod pictures;
pub mod prompts;
pub mod session;
pub mod trajectory_map;
pub mod waiting;
pub mod weight_files;
pub mod window_harness;
