//! GPUs that this machine does not have.

use engine::device::{AdapterInfo, AdapterKind, DeviceInfo, Precision};
use engine::inspect::device_check::{Comparison, Component};
use engine::pipeline::ModelInfo;
use engine::session::{Event, ModelEvent};

use super::models::model_info;

/// A GPU in use, with a driver of this version.
pub fn gpu(driver: &str) -> DeviceInfo {
    DeviceInfo {
        name: "Tide 9000 (Vulkan)".into(),
        driver: driver.into(),
        is_gpu: true,
        precision: Precision::F16,
        why: "Tide 9000 (Vulkan) is used because it is the best GPU of this machine".into(),
    }
}

/// A GPU, one of another kind, and one that is emulated in software.
pub fn gpus() -> Vec<AdapterInfo> {
    let adapter = |name: &str, number, kind| AdapterInfo {
        number,
        name: name.into(),
        backend: "Vulkan".into(),
        kind,
        driver: "1.0".into(),
        f16: true,
        largest_buffer: 4 << 30,
    };
    vec![
        adapter("Tide 9000", Some(0), AdapterKind::Discrete),
        adapter("Ripple 3", Some(1), AdapterKind::Integrated),
        adapter("llvmpipe", None, AdapterKind::Software),
    ]
}

/// The built-in model, opened on a device.
pub fn opened_on(device: DeviceInfo) -> Event {
    Event::Model(ModelEvent::Opened(Box::new(ModelInfo { device, ..model_info() })))
}

/// A part that is off by `difference`, where a thousandth is allowed.
pub fn comparison(part: Component, difference: f32) -> Comparison {
    Comparison { part, precision: Precision::F32, difference, limit: 1e-3, secs: 0.4 }
}
