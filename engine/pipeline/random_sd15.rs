//! A model for measuring speed without a download.

use crate::checkpoint::{OpenError, open_random_sd15};
use crate::device::{DeviceChoice, choose};
use crate::pipeline::Pipeline;

/// The architecture of Stable Diffusion 1.5 with random weights, on the chosen device.
pub fn random_sd15(choice: DeviceChoice) -> Result<Pipeline, OpenError> {
    let selected = choose(choice)?;
    let model = open_random_sd15(&selected.device, selected.unet_dtype)?;
    Pipeline::new("SD 1.5, random weights".into(), model, selected)
}
