//! What a machine can do, measured on a model that needs no download.

use crate::checkpoint::{OpenError, open_random_sd15};
use crate::device::{DeviceChoice, SelectedDevice, choose};
use crate::pipeline::Pipeline;

/// Stable Diffusion 1.5's architecture with random weights, on the device chosen.
pub fn random_sd15(choice: DeviceChoice) -> Result<Pipeline, OpenError> {
    let SelectedDevice { device, unet_dtype, info } = choose(choice)?;
    let model = open_random_sd15(&device, unet_dtype)?;
    Pipeline::new("SD 1.5, random weights".into(), model, device, unet_dtype, info)
}
