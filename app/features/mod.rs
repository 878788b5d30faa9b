//! TODO(doc)

pub mod attention;
pub mod branches;
pub mod canvas;
pub mod command;
pub mod concepts;
pub mod convert;
pub mod download;
pub mod drop;
pub mod effect;
pub mod errors;
pub mod event;
pub mod export;
pub mod film;
pub mod generate;
pub mod inspect;
pub mod lesson;
pub mod models;
pub mod prompt;
pub mod schedule;
pub mod settings;
pub mod start_image;
pub mod state;
pub mod words;
pub mod xy_plot;
