//! Chooses the device to compute on, a GPU or the CPU, and tells what it can do.

use std::fmt;
use std::str::FromStr;

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Device, DeviceKind, FloatDType};
use serde::{Deserialize, Serialize};

use crate::{cpu, gpu};

/// The device and precision that the user asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceChoice {
    #[serde(alias = "place")]
    pub device: DeviceSelector,
    pub precision: Precision,
}

/// The device to use: `auto`, `cpu`, `gpu` or `gpu:N`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceSelector {
    /// A discrete GPU, then an integrated one, then the CPU.
    #[default]
    Auto,
    Cpu,
    /// The best GPU, or the one with this number in `tidepool devices`.
    Gpu(Option<usize>),
}

impl FromStr for DeviceSelector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "gpu" => Ok(Self::Gpu(None)),
            _ => match text.strip_prefix("gpu:").map(str::parse) {
                Some(Ok(number)) => Ok(Self::Gpu(Some(number))),
                _ => Err(format!("{text:?} is not a device: use auto, cpu, gpu, or gpu:0 for the first GPU")),
            },
        }
    }
}

impl fmt::Display for DeviceSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Gpu(None) => f.write_str("gpu"),
            Self::Gpu(Some(number)) => write!(f, "gpu:{number}"),
        }
    }
}

/// The precision that the UNet computes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// f16 on GPUs that support it, f32 elsewhere.
    #[default]
    Auto,
    F32,
    F16,
}

impl Precision {
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Auto, Self::F32, Self::F16]
            .into_iter()
            .find(|precision| precision.name() == text)
            .ok_or_else(|| format!("{text:?} is not a precision: use auto, f32 or f16"))
    }
}

/// The device in use, for display.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceInfo {
    /// "CPU, 2 threads", "NVIDIA GeForce RTX 4090 (Vulkan)".
    pub name: String,
    /// The driver's name and version; empty for the CPU.
    pub driver: String,
    pub is_gpu: bool,
    /// f32 or f16.
    pub precision: Precision,
    /// Why it was chosen: a sentence.
    pub why: String,
}

/// A graphics adapter, as `tidepool devices` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AdapterInfo {
    /// The `N` of `gpu:N`; `None` for adapters that are not used as a GPU.
    pub number: Option<usize>,
    pub name: String,
    /// "Vulkan", "Metal".
    pub backend: String,
    pub kind: AdapterKind,
    pub driver: String,
    pub f16: bool,
    /// Largest buffer that a kernel may bind, in bytes.
    pub largest_buffer: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AdapterKind {
    Discrete,
    Integrated,
    Virtual,
    /// A GPU emulated in software, slower than the CPU itself.
    Software,
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    #[error(
        "GPU {asked} does not exist: this machine has {found}. Choose one from `tidepool devices`, or use cpu or auto"
    )]
    NoSuchGpu { asked: usize, found: String },
    #[error(
        "This machine has no GPU that Tidepool can use. Install the graphics driver of your GPU, or use cpu or auto"
    )]
    NoGpu,
    #[error("{0} cannot compute in f16. Use f32 or auto")]
    NoF16(String),
    #[error("{0}")]
    Failed(String),
}

/// The chosen device, and the precision of the UNet.
pub struct SelectedDevice {
    pub device: Device,
    pub unet_dtype: FloatDType,
    pub info: DeviceInfo,
}

/// Every adapter of the graphics API that the engine uses, best first.
pub fn adapters() -> Vec<AdapterInfo> {
    let backends = if cfg!(target_vendor = "apple") { wgpu::Backends::METAL } else { wgpu::Backends::VULKAN };
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let mut adapters: Vec<AdapterInfo> = pollster::block_on(instance.enumerate_adapters(backends))
        .iter()
        .map(|adapter| {
            let info = adapter.get_info();
            AdapterInfo {
                number: None,
                name: info.name,
                backend: info.backend.to_string(),
                kind: match info.device_type {
                    wgpu::DeviceType::DiscreteGpu => AdapterKind::Discrete,
                    wgpu::DeviceType::IntegratedGpu => AdapterKind::Integrated,
                    wgpu::DeviceType::VirtualGpu => AdapterKind::Virtual,
                    wgpu::DeviceType::Cpu => AdapterKind::Software,
                    wgpu::DeviceType::Other => AdapterKind::Other,
                },
                driver: info.driver_info,
                f16: adapter.features().contains(wgpu::Features::SHADER_F16),
                largest_buffer: adapter.limits().max_storage_buffer_binding_size,
            }
        })
        .collect();
    adapters.sort_by_key(|info| info.kind.rank());
    let gpus = adapters.iter_mut().filter(|info| info.kind.is_gpu());
    gpus.enumerate().for_each(|(number, info)| info.number = Some(number));
    adapters
}

/// True for GPUs whose kernels can compute in f16.
pub(crate) fn supports_f16(device: &Device) -> bool {
    !cpu::is_cpu(device) && device.supports_dtype(DType::F16)
}

/// What the kernels of a device can rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest buffer that a kernel may bind, in bytes.
    pub largest_buffer: u64,
    /// Whether it multiplies small matrices in hardware (cooperative matrices, tensor cores).
    pub has_matrix_units: bool,
}

/// The limits of a device, from its driver; a CPU has none but its memory.
pub fn limits(device: &Device) -> Limits {
    fn dispatch_limits(device: &DispatchDevice) -> Limits {
        match device {
            DispatchDevice::Cube(device) => {
                let client = device.client();
                let properties = client.properties();
                Limits {
                    largest_buffer: properties.memory.max_page_size,
                    has_matrix_units: !properties.features.matmul.cmma.is_empty(),
                }
            }
            DispatchDevice::Autodiff(device) => dispatch_limits(device),
            _ => Limits { largest_buffer: u64::MAX, has_matrix_units: false },
        }
    }
    dispatch_limits(device.as_dispatch())
}

/// Environment variable that allows a software adapter as a GPU, so that the GPU code can be tested without
/// a GPU (`tests/gpu`).
const SOFTWARE_GPU_VARIABLE: &str = "TIDEPOOL_SOFTWARE_GPU";

fn allows_software_gpu() -> bool {
    std::env::var_os(SOFTWARE_GPU_VARIABLE).is_some()
}

impl AdapterKind {
    /// True for GPUs. A software adapter is not one: the CPU itself is faster.
    pub fn is_gpu(self) -> bool {
        matches!(self, Self::Discrete | Self::Integrated | Self::Virtual)
            || (self == Self::Software && allows_software_gpu())
    }

    fn rank(self) -> u8 {
        match self {
            Self::Discrete => 0,
            Self::Integrated => 1,
            Self::Virtual => 2,
            Self::Other => 3,
            Self::Software => 4,
        }
    }
}

/// Chooses the device that was asked for, or the best one, and tells why.
pub fn choose(choice: DeviceChoice) -> Result<SelectedDevice, DeviceError> {
    let (number, why) = match choice.device {
        DeviceSelector::Cpu => return cpu(choice.precision, "the CPU was asked for"),
        DeviceSelector::Gpu(Some(number)) => (number, "it was asked for by number"),
        DeviceSelector::Gpu(None) => (0, "a GPU was asked for and this is the best"),
        DeviceSelector::Auto => (0, "it is the best GPU of this machine"),
    };
    let adapters = adapters();
    let gpus: Vec<&AdapterInfo> = adapters.iter().filter(|info| info.number.is_some()).collect();
    let Some(gpu) = gpus.get(number) else {
        return match choice.device {
            DeviceSelector::Auto if adapters.is_empty() => cpu(choice.precision, "this machine has no GPU"),
            DeviceSelector::Auto => {
                cpu(choice.precision, "the only graphics adapter is software, slower than the CPU itself")
            }
            DeviceSelector::Gpu(Some(asked)) => {
                let found = match gpus.len() {
                    0 => "none".into(),
                    1 => "one, gpu:0".into(),
                    count => format!("{count}, gpu:0 to gpu:{}", count - 1),
                };
                Err(DeviceError::NoSuchGpu { asked, found })
            }
            _ => Err(DeviceError::NoGpu),
        };
    };
    let same_kind_before = gpus[..number].iter().filter(|info| info.kind == gpu.kind).count();
    let device = gpu::open_device(match gpu.kind {
        AdapterKind::Discrete => DeviceKind::DiscreteGpu(same_kind_before),
        AdapterKind::Integrated => DeviceKind::IntegratedGpu(same_kind_before),
        AdapterKind::Software => DeviceKind::Cpu,
        _ => DeviceKind::VirtualGpu(same_kind_before),
    })
    .map_err(DeviceError::Failed)?;
    let can_f16 = gpu.f16 && supports_f16(&device);
    let precision = match choice.precision {
        Precision::F16 if !can_f16 => return Err(DeviceError::NoF16(gpu.name.clone())),
        Precision::Auto if can_f16 => Precision::F16,
        Precision::Auto | Precision::F32 => Precision::F32,
        Precision::F16 => Precision::F16,
    };
    let unet_dtype = if precision == Precision::F16 { FloatDType::F16 } else { FloatDType::F32 };
    let info = DeviceInfo {
        name: format!("{} ({})", gpu.name, gpu.backend),
        driver: gpu.driver.clone(),
        is_gpu: true,
        precision,
        why: format!("{} is used because {why}", gpu.name),
    };
    Ok(SelectedDevice { device, unet_dtype, info })
}

fn cpu(precision: Precision, why: &str) -> Result<SelectedDevice, DeviceError> {
    if precision == Precision::F16 {
        return Err(DeviceError::NoF16("The CPU".into()));
    }
    let threads = rayon::current_num_threads();
    let info = DeviceInfo {
        name: format!("CPU, {threads} threads"),
        driver: String::new(),
        is_gpu: false,
        precision: Precision::F32,
        why: format!("The CPU is used because {why}"),
    };
    Ok(SelectedDevice { device: Device::flex(), unet_dtype: FloatDType::F32, info })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_has_no_limits_but_its_memory() {
        let unlimited = Limits { largest_buffer: u64::MAX, has_matrix_units: false };
        assert_eq!(limits(&Device::flex()), unlimited);
        assert_eq!(limits(&Device::flex().autodiff()), unlimited);
    }
}
