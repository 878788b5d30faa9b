//! Tidepool's engine: functions about diffusion.
//!
//! Read [`pipeline::generate`] first: from a prompt to pixels on one page. The modules in their order, from
//! the floor up; none imports a later one:
//!
//! - [`error`], [`format`], [`files`], [`tokenizer`] and `cpu`: why work ends early, sizes and texts for
//!   sentences, files on a disk, byte pairs, and kernels for machines without a GPU.
//! - [`diffusion`]: the mathematics of sampling.
//! - [`device`]: which GPU, or the CPU. [`models`]: the networks, which know no files.
//! - [`checkpoint`]: weight files into networks. [`concepts`]: textual-inversion embeddings.
//! - [`prompt`]: from text to tokens. [`recipe`]: everything that determines a picture.
//! - [`images`]: pictures and animations in and out of files. [`memory`]: how much a run needs.
//! - [`pipeline`]: an open model, and the main flow. [`inspect`]: looking inside it.
//! - [`session`]: one thread with two channels around it all.
//!
//! Architecture Invariant: this crate knows no egui, and the thread that runs a session owns every
//! tensor.

pub mod checkpoint;
mod choice;
pub mod concepts;
mod cpu;
pub mod device;
pub mod diffusion;
pub mod error;
pub mod files;
pub mod format;
pub mod images;
pub mod inspect;
pub mod memory;
pub mod models;
pub mod pipeline;
pub mod prompt;
pub mod recipe;
pub mod session;
pub mod tokenizer;
