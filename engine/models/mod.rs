//! The networks of Stable Diffusion 1.x. They know shapes and arithmetic, and no files.
//!
//! Field names are diffusers' parameter names, so that a module's path is the key of its weights.

mod attention;
mod clip;
mod layers;
mod resnet;
mod transformer;
mod unet;
mod vae;

pub use clip::{Activation, ClipText, ClipTextConfig};
pub use unet::{PerLevel, Unet, UnetConfig};
pub use vae::{Moments, Vae, VaeConfig};

use crate::diffusion::Halt;

/// Asked between the blocks of a model; true ends the pass.
pub type Interrupted<'a> = dyn Fn() -> bool + 'a;

fn go_on(interrupted: &Interrupted<'_>) -> Result<(), Halt> {
    if interrupted() { Err(Halt::Stopped) } else { Ok(()) }
}
