//! Which GPU, or the CPU, and what it can do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What the user asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceChoice {
    pub place: Place,
    pub precision: Precision,
}

/// Where the work is to be done: `auto`, `cpu`, `gpu` or `gpu:N`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// A discrete GPU, then an integrated one, then the CPU.
    #[default]
    Auto,
    Cpu,
    /// The best GPU, or the one of that number in `tidepool devices`.
    Gpu(Option<usize>),
}

/// What the models compute in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// f16 on GPUs that can, f32 elsewhere.
    #[default]
    Auto,
    F32,
    F16,
}

/// The device in use, as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeviceCard {
    /// "CPU · 2 threads", "NVIDIA GeForce RTX 4090 (Vulkan)".
    pub name: String,
    pub is_gpu: bool,
    pub precision: Precision,
    /// Why this one: a sentence.
    pub why: String,
}
