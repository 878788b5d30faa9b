//! Tidepool's engine: functions about diffusion.
//!
//! Read [`generate`] first: prompt to pixels, top to bottom. [`models`] are networks that know no
//! files, [`checkpoint`] brings files into them, [`concepts`] are words that artists taught a model,
//! [`diffusion`] is the mathematics of sampling, [`text`] makes ids of prompts and [`conditioning`] what
//! the UNet reads of them, [`anatomy`] takes a word apart and [`attention`] tells where it looks,
//! [`images`] are pictures in and out of files, [`look`] are looks into latent space, [`cut`] makes a
//! film of a run, [`sheet`] compares recipes, [`cpu`] are the kernels for machines without a GPU, [`room`]
//! and [`thrift`] look after memory, and [`session`] puts one thread with two channels around it all.
//!
//! Architecture Invariant: this crate knows no egui, and the thread that runs a session owns every
//! tensor.

pub mod anatomy;
pub mod attention;
pub mod bench;
mod branching;
pub mod check;
pub mod checkpoint;
pub mod concepts;
mod conditioning;
mod cpu;
pub mod cut;
pub mod device;
pub mod diffusion;
mod embedding;
pub mod generate;
mod guided_unet;
pub mod images;
pub mod look;
pub mod models;
mod pipeline;
pub mod recipe;
pub mod room;
pub mod session;
pub mod sheet;
mod stages;
pub mod text;
pub mod thrift;
mod walk;
mod weighting;
