//! Mends one mistake of burn's kernels on their way to a Vulkan driver.
//!
//! cubecl-spirv 0.11.3 (`lower_shared_implicit` in `src/ops/memory.rs`) exchanges two types where the driver lacks
//! `VK_KHR_workgroup_memory_explicit_layout`: shared memory becomes a pointer to a pointer, and every kernel that uses it,
//! such as a matrix product, is wrong or crashes the driver. On such a driver the device is created through an entry
//! point of our own, which gives each of these variables the type that its uses have and changes nothing else. A copy of
//! the crate with the two lines corrected would do the same; this goes away with the release that corrects them.

use std::ffi::{CStr, c_char};
use std::sync::OnceLock;

use ash::vk;
use burn::tensor::{Device, DeviceKind};
use burn_wgpu::WgpuSetup;
use wgpu::hal::Instance;
use wgpu::hal::api::Vulkan;

/// A device whose kernels are mended, on the adapter of this kind. `None` if there is nothing to mend: the driver has the
/// extension, or takes kernels as WGSL, where the mistake is not made.
///
/// # Errors
/// What the driver refused, as a sentence.
pub fn mended_device(kind: &DeviceKind) -> Result<Option<Device>, String> {
    let (device_type, number) = match *kind {
        DeviceKind::DiscreteGpu(number) => (wgpu::DeviceType::DiscreteGpu, number),
        DeviceKind::IntegratedGpu(number) => (wgpu::DeviceType::IntegratedGpu, number),
        DeviceKind::VirtualGpu(number) => (wgpu::DeviceType::VirtualGpu, number),
        _ => (wgpu::DeviceType::Cpu, 0),
    };
    let descriptor = wgpu::hal::InstanceDescriptor {
        name: "Tidepool",
        flags: wgpu::InstanceFlags::default(),
        memory_budget_thresholds: wgpu::MemoryBudgetThresholds::default(),
        backend_options: wgpu::BackendOptions::default(),
        telemetry: None,
        display: None,
    };
    // SAFETY: the descriptor holds no handle.
    let Ok(instance) = (unsafe { wgpu::hal::vulkan::Instance::init(&descriptor) }) else { return Ok(None) };
    let shared = instance.shared_instance();
    let original = shared.entry().static_fn().get_instance_proc_addr;
    ORIGINAL.get_or_init(|| original);
    let mended = ash::StaticFn { get_instance_proc_addr: instance_proc };
    let (handle, version) = (shared.raw_instance().handle(), shared.instance_api_version());
    let extensions = shared.extensions().to_vec();
    // SAFETY: the handle is of an instance of this loader, with these extensions, and the callback keeps it alive until the
    // new instance is dropped. `instance_proc` answers as the loader does.
    let instance = unsafe {
        let raw = ash::Instance::load(&mended, handle);
        let keep_alive: wgpu::hal::DropCallback = Box::new(move || drop(instance));
        wgpu::hal::vulkan::Instance::from_raw(
            ash::Entry::from_static_fn(mended),
            raw,
            version,
            0,
            None,
            extensions,
            wgpu::InstanceFlags::default(),
            wgpu::MemoryBudgetThresholds::default(),
            false,
            Some(keep_alive),
        )
    };
    let instance = instance.map_err(|error| format!("Vulkan did not start: {error}"))?;
    // SAFETY: it was made for this, and nothing else holds it.
    let instance = unsafe { wgpu::Instance::from_hal::<Vulkan>(instance) };
    let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::VULKAN));
    let of_type = |adapter: &wgpu::Adapter| adapter.get_info().device_type == device_type;
    let Some(adapter) = adapters.into_iter().filter(of_type).nth(number) else { return Ok(None) };
    if has_explicit_layout(&adapter) {
        return Ok(None);
    }
    let request = pollster::block_on(cubecl::wgpu::vulkan::try_request_vulkan_device(&adapter));
    let Some((device, queue)) = request.map_err(|error| error.to_string())? else { return Ok(None) };
    let setup = WgpuSetup { instance, adapter, device, queue, backend: wgpu::Backend::Vulkan };
    Device::wgpu_options().setup(setup).init().map(Some).map_err(|error| error.to_string())
}

fn has_explicit_layout(adapter: &wgpu::Adapter) -> bool {
    let layout = c"VK_KHR_workgroup_memory_explicit_layout";
    // SAFETY: the adapter is only queried; nothing of it is kept or destroyed.
    let vulkan = unsafe { adapter.as_hal::<Vulkan>() };
    vulkan.is_none_or(|adapter| adapter.physical_device_capabilities().supports_extension(layout))
}

/// The loader's own entry point.
static ORIGINAL: OnceLock<vk::PFN_vkGetInstanceProcAddr> = OnceLock::new();
/// The loader's entry point of devices, and a device's own function, as far as they were asked for.
static DEVICE_PROC: OnceLock<vk::PFN_vkGetDeviceProcAddr> = OnceLock::new();

unsafe extern "system" fn instance_proc(
    instance: vk::Instance,
    name: *const c_char,
) -> vk::PFN_vkVoidFunction {
    let original = ORIGINAL.get().expect("set before any instance is loaded");
    // SAFETY: the caller's arguments are passed on, and the name is a string by Vulkan's rules.
    unsafe {
        let found = original(instance, name);
        if CStr::from_ptr(name) != c"vkGetDeviceProcAddr" {
            return found;
        }
        found.map(|found| {
            DEVICE_PROC.get_or_init(|| std::mem::transmute::<unsafe extern "system" fn(), _>(found));
            let mended: vk::PFN_vkGetDeviceProcAddr = device_proc;
            std::mem::transmute::<vk::PFN_vkGetDeviceProcAddr, unsafe extern "system" fn()>(mended)
        })
    }
}

unsafe extern "system" fn device_proc(device: vk::Device, name: *const c_char) -> vk::PFN_vkVoidFunction {
    let original = DEVICE_PROC.get().expect("set before any device is loaded");
    // SAFETY: as above.
    unsafe {
        let found = original(device, name);
        if CStr::from_ptr(name) != c"vkCreateShaderModule" || found.is_none() {
            return found;
        }
        let mended: vk::PFN_vkCreateShaderModule = create_shader_module;
        Some(std::mem::transmute::<vk::PFN_vkCreateShaderModule, unsafe extern "system" fn()>(mended))
    }
}

unsafe extern "system" fn create_shader_module(
    device: vk::Device,
    info: *const vk::ShaderModuleCreateInfo<'_>,
    allocator: *const vk::AllocationCallbacks<'_>,
    module: *mut vk::ShaderModule,
) -> vk::Result {
    let device_proc = DEVICE_PROC.get().expect("set before any device is loaded");
    // SAFETY: the caller's arguments are passed on, but for the code, of which Vulkan takes a copy before it returns.
    unsafe {
        let original = device_proc(device, c"vkCreateShaderModule".as_ptr()).expect("it was found before");
        let original: vk::PFN_vkCreateShaderModule = std::mem::transmute(original);
        let mut info = *info;
        let mut code = std::slice::from_raw_parts(info.p_code, info.code_size / 4).to_vec();
        mend(&mut code);
        info.p_code = code.as_ptr();
        original(device, &info, allocator, module)
    }
}

/// Gives each variable in shared memory whose type is a pointer to a pointer the inner pointer as its type.
fn mend(code: &mut [u32]) {
    const HEADER: usize = 5;
    const OP_TYPE_POINTER: u32 = 32;
    const OP_VARIABLE: u32 = 59;
    const WORKGROUP: u32 = 4;
    // What each pointer into shared memory points to.
    let mut pointees = std::collections::HashMap::new();
    let mut at = HEADER;
    while let Some(&head) = code.get(at) {
        let len = (head >> 16) as usize;
        match (head & 0xffff, code.get_mut(at..at + len)) {
            // Result, storage class, pointee.
            (OP_TYPE_POINTER, Some([_, result, WORKGROUP, pointee])) => {
                pointees.insert(*result, *pointee);
            }
            // Type of the result, result, storage class.
            (OP_VARIABLE, Some([_, result_type, _, WORKGROUP, ..])) => {
                if let Some(inner) = pointees.get(result_type).filter(|inner| pointees.contains_key(inner)) {
                    *result_type = *inner;
                }
            }
            _ => {}
        }
        at += len.max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_to_a_pointer_in_shared_memory_becomes_the_inner_pointer_and_nothing_else_changes() {
        let pointer = |result, class, pointee| [4 << 16 | 32, result, class, pointee];
        let variable = |result_type, result, class| [4 << 16 | 59, result_type, result, class];
        let module = |shared: u32| {
            let header = [0x0723_0203, 0x0001_0600, 0, 100, 0];
            let parts = [pointer(7, 4, 3), pointer(8, 4, 7), pointer(9, 12, 7)];
            let variables = [variable(shared, 20, 4), variable(9, 21, 12), variable(7, 22, 4)];
            [&header[..], parts.as_flattened(), variables.as_flattened()].concat()
        };
        let mut code = module(8);
        mend(&mut code);
        assert_eq!(code, module(7));
        mend(&mut code);
        assert_eq!(code, module(7));
    }
}
