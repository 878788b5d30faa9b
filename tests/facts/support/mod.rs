//! What the facts are told with.

pub mod fake_hub;
pub mod fake_server;
pub mod numbers;
pub mod pictures;
pub mod weight_files;
pub mod window_harness;
