//! The networks of Stable Diffusion 1.x and 2.x: shapes and arithmetic, independent of files.
//!
//! Field names are diffusers' parameter names, so the path of a module is the key of its weights.

pub(crate) mod tiled_vae;

mod attention;
pub(crate) mod backward;
mod clip;
mod clip_vision;
mod layers;
mod resnet;
mod transformer;
mod unet;
mod vae;

pub(crate) use attention::attend;
pub use attention::with_sliced_attention;
pub use clip::{Activation, ClipText, ClipTextConfig};
pub use clip_vision::{ClipVision, ClipVisionConfig};
pub(crate) use layers::{Conv2d, GroupNorm, Linear};
pub use transformer::{AttentionObserver, Context};
pub use unet::{PerLevel, Unet, UnetConfig};
pub use vae::{Moments, Vae, VaeConfig};

use burn::tensor::{FloatDType, Tensor};

use crate::error::EngineError;

/// Called between the blocks of a model; true cancels the forward pass.
pub type CancelCheck<'a> = dyn Fn() -> bool + 'a;

fn check_cancelled(is_cancelled: &CancelCheck<'_>) -> Result<(), EngineError> {
    if is_cancelled() { Err(EngineError::Stopped) } else { Ok(()) }
}

/// Reads a tensor's numbers into main memory, in the order of its axes.
///
/// # Errors
/// Any error since the tensor was requested: a GPU reports it only now.
pub fn values<const D: usize>(x: Tensor<D>) -> Result<Vec<f32>, EngineError> {
    let data = x
        .cast(FloatDType::F32)
        .try_into_data()
        .map_err(|error| EngineError::of_device(&error.to_string()))?;
    data.try_into_vec().map_err(|error| EngineError::of_device(&format!("{error:?}")))
}
