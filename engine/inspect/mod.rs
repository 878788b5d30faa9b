//! Looking inside a model: latents, tokens and attention, and a check of the GPU against the CPU.

pub mod attention_maps;
pub mod device_check;
pub mod latents;
pub mod token;
