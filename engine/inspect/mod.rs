//! Looking inside a model: latents, trajectories, tokens and attention, and a check of the GPU against the CPU.

pub mod attention_maps;
pub mod device_check;
pub mod latents;
pub mod launches;
pub mod map_picture;
pub mod principal_components;
pub mod token;
pub mod trajectory_map;
