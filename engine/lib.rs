//! Tidepool's engine: Stable Diffusion as plain functions.
//!
//! Read [`pipeline::generate`] first: from a recipe to pictures on one page. This is all it takes to call it, here
//! with the small model that is built in:
//!
//! ```
//! use engine::checkpoint::ModelSource;
//! use engine::device::{DeviceChoice, DeviceSelector};
//! use engine::pipeline::{Pipeline, StopFlag};
//! use engine::recipe::Recipe;
//!
//! let cpu = DeviceChoice { device: DeviceSelector::Cpu, ..DeviceChoice::default() };
//! let pipeline = Pipeline::open(&ModelSource::BuiltIn, cpu, &mut |_| true)?;
//! let recipe = Recipe { prompt: "a large fox".into(), steps: 2, width: 64, height: 64, ..Recipe::default() };
//! let generated = pipeline.generate(&recipe, &StopFlag::default(), &mut |_| ())?;
//! assert_eq!((generated.pictures[0].width, generated.pictures[0].height), (64, 64));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The modules in their order, from the bottom up; none imports a later one:
//!
//! - [`error`], [`mod@format`], [`files`], `cpu` and `gpu`: errors, sizes as text, files on a disk, kernels for machines
//!   without a GPU and with one.
//! - [`diffusion`]: the mathematics of sampling.
//! - [`device`]: which GPU, or the CPU. [`models`]: the networks. [`tokenizer`]: byte pairs.
//! - [`checkpoint`]: from weight files to networks. [`concepts`]: textual-inversion embeddings.
//! - [`prompt`]: from text to tokens. [`losses`]: what may guide sampling besides. [`paint`]: what was
//!   painted by hand. [`recipe`]: everything that determines a picture.
//! - [`images`]: pictures and animations in and out of files. [`memory`]: how much a run needs.
//! - [`pipeline`]: an open model, and the main flow. [`inspect`]: looking inside it.
//! - [`session`]: the engine on its own thread, behind two channels.
//!
//! Architecture Invariant: this crate does not depend on egui, and the thread that runs a session owns every tensor.

pub mod checkpoint;
mod choice;
pub mod concepts;
mod cpu;
pub mod device;
pub mod diffusion;
pub mod error;
pub mod files;
pub mod format;
mod gpu;
pub mod images;
pub mod inspect;
pub mod losses;
pub mod memory;
pub mod models;
pub mod paint;
pub mod pipeline;
pub mod prompt;
pub mod recipe;
pub mod session;
pub mod tokenizer;
