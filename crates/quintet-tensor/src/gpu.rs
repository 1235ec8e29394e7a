//! Opening GPUs: which adapter answers, and whether it is one.

use std::sync::OnceLock;

use burn::tensor::Device;

use crate::{DeviceChoice, DeviceError};

type Opened = Result<(Device, String), DeviceError>;

/// Opens the best adapter of a graphics API, once for the whole process: a runtime cannot be
/// initialised twice.
#[cfg(feature = "wgpu")]
pub(crate) fn wgpu(choice: DeviceChoice) -> Opened {
    use burn::tensor::wgpu::WgpuBackend;

    static WGPU: OnceLock<Opened> = OnceLock::new();
    static VULKAN: OnceLock<Opened> = OnceLock::new();
    let (slot, api) = match choice {
        DeviceChoice::Vulkan => (&VULKAN, WgpuBackend::Vulkan),
        _ => (&WGPU, WgpuBackend::Auto),
    };
    slot.get_or_init(|| open_adapter(choice, api)).clone()
}

#[cfg(feature = "wgpu")]
fn open_adapter(choice: DeviceChoice, api: burn::tensor::wgpu::WgpuBackend) -> Opened {
    let absent = |reason: String| DeviceError::Absent { name: choice.as_str(), reason };
    let options = Device::wgpu_options().graphics_api(api);
    // A driver may panic instead of answering.
    let (device, setup) = std::panic::catch_unwind(|| options.init_with_setup())
        .map_err(|_| absent("the driver crashed while it was opened".into()))?
        .map_err(|e| absent(e.to_string()))?;
    let info = setup.adapter.get_info();
    let adapter = format!("{} ({:?}, {:?})", info.name, info.device_type, info.backend);
    // A software rasteriser is no GPU: slower than the CPU backend, and seen to be wrong.
    if format!("{:?}", info.device_type) == "Cpu" {
        return Err(absent(format!(
            "the only adapter is a software one, {adapter}; use `--device flex`"
        )));
    }
    Ok((device, adapter))
}

/// Opens the first CUDA device.
#[cfg(feature = "cuda")]
pub(crate) fn cuda() -> Opened {
    use burn::tensor::DeviceType;

    static CUDA: OnceLock<Opened> = OnceLock::new();
    let open = || {
        let absent = |reason: &str| DeviceError::Absent { name: "cuda", reason: reason.into() };
        // Without the driver's library the runtime panics instead of answering.
        let found = std::panic::catch_unwind(|| Device::enumerate(DeviceType::Cuda).into_vec())
            .map_err(|_| absent("the CUDA driver library could not be loaded"))?;
        let device = found.into_iter().next().ok_or_else(|| absent("no CUDA device was found"))?;
        Ok((device, "CUDA device 0".to_owned()))
    };
    CUDA.get_or_init(open).clone()
}
