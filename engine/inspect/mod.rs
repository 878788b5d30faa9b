//! What happens inside a model, for people who want to see it: latents, tokens, attention, and whether a
//! GPU computes what the CPU computes.

pub mod attention_maps;
pub mod device_check;
pub mod latents;
pub mod token;
