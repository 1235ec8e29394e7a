//! Run-time choice of the device.

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;
use serde::Serialize;

use crate::{DeviceError, self_check};

/// What a user can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// A trusted GPU when one is compiled in and present, else the CPU.
    #[default]
    Auto,
    /// The CPU backend of the default build.
    Flex,
    /// The older CPU backend, kept for comparison.
    NdArray,
    /// A GPU through whichever graphics API fits.
    Wgpu,
    /// A GPU through Vulkan.
    Vulkan,
    /// An NVIDIA GPU through CUDA.
    Cuda,
}

impl DeviceChoice {
    /// Every choice, in the order shown to users.
    pub const ALL: [DeviceChoice; 6] = [
        DeviceChoice::Auto,
        DeviceChoice::Flex,
        DeviceChoice::NdArray,
        DeviceChoice::Wgpu,
        DeviceChoice::Vulkan,
        DeviceChoice::Cuda,
    ];

    /// The name used on the command line; also the Cargo feature, except for `auto`.
    pub fn as_str(self) -> &'static str {
        match self {
            DeviceChoice::Auto => "auto",
            DeviceChoice::Flex => "flex",
            DeviceChoice::NdArray => "ndarray",
            DeviceChoice::Wgpu => "wgpu",
            DeviceChoice::Vulkan => "vulkan",
            DeviceChoice::Cuda => "cuda",
        }
    }

    /// Whether the device is a GPU, to be checked before it is trusted.
    pub fn is_gpu(self) -> bool {
        matches!(self, DeviceChoice::Wgpu | DeviceChoice::Vulkan | DeviceChoice::Cuda)
    }

    /// Whether the backend is in this binary.
    pub fn is_compiled(self) -> bool {
        match self {
            DeviceChoice::Auto => !compiled_devices().is_empty(),
            DeviceChoice::Flex => cfg!(feature = "flex"),
            DeviceChoice::NdArray => cfg!(feature = "ndarray"),
            DeviceChoice::Wgpu => cfg!(feature = "wgpu"),
            DeviceChoice::Vulkan => cfg!(feature = "vulkan"),
            DeviceChoice::Cuda => cfg!(feature = "cuda"),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        DeviceChoice::ALL
            .into_iter()
            .find(|c| c.as_str() == name)
            .ok_or_else(|| DeviceError::Unknown { name: name.to_owned() })
    }
}

/// The devices whose backends are in this binary, best first.
pub fn compiled_devices() -> Vec<DeviceChoice> {
    use DeviceChoice::{Cuda, Flex, NdArray, Vulkan, Wgpu};
    [Cuda, Vulkan, Wgpu, Flex, NdArray].into_iter().filter(|c| c.is_compiled()).collect()
}

/// A device that may be used, and how it was chosen.
#[derive(Debug, Clone)]
pub struct OpenDevice {
    /// The device, without autodiff.
    pub device: Device,
    /// Which kind it is.
    pub choice: DeviceChoice,
    /// What a user should read: the adapter, or why a GPU was passed over.
    pub note: String,
}

/// One line of `quintet doctor`.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceReport {
    /// Which device.
    pub device: DeviceChoice,
    /// Whether its backend is in this binary.
    pub compiled: bool,
    /// Whether it can be used.
    pub usable: bool,
    /// The adapter, or what is wrong and what to change.
    pub note: String,
}

impl DeviceReport {
    /// Opens and checks one device.
    pub fn probe(choice: DeviceChoice) -> Self {
        match open_device(choice) {
            Ok(open) => Self { device: choice, compiled: true, usable: true, note: open.note },
            Err(e) => Self {
                device: choice,
                compiled: choice.is_compiled(),
                usable: false,
                note: e.to_string(),
            },
        }
    }
}

/// Opens a device. A GPU is used only after [`self_check`] has compared it with `flex`.
///
/// `Auto` tries the compiled GPUs, best first, and falls back to the CPU with a note that says
/// why; a named device is an error when it cannot be used.
///
/// # Errors
/// The backend is not compiled, no such device is present, or it computes wrongly.
pub fn open_device(choice: DeviceChoice) -> Result<OpenDevice, DeviceError> {
    if choice == DeviceChoice::Auto {
        return open_best();
    }
    if !choice.is_compiled() {
        return Err(DeviceError::NotCompiled {
            name: choice.as_str(),
            feature: choice.as_str(),
            compiled: names(&compiled_devices()),
        });
    }
    let (device, adapter) = create(choice)?;
    if !choice.is_gpu() {
        return Ok(OpenDevice { device, choice, note: adapter });
    }
    let check = self_check(&device).map_err(|reason| DeviceError::Untrusted {
        name: format!("{choice} ({adapter})"),
        reason,
    })?;
    let note = format!("{adapter}; self-check passed ({:.1e} from flex)", check.largest_difference);
    Ok(OpenDevice { device, choice, note })
}

fn open_best() -> Result<OpenDevice, DeviceError> {
    let mut passed_over = Vec::new();
    for choice in compiled_devices() {
        match open_device(choice) {
            Ok(mut open) => {
                for reason in &passed_over {
                    open.note = format!("{}; {reason}", open.note);
                }
                return Ok(open);
            }
            Err(e) => passed_over.push(e.to_string()),
        }
    }
    Err(DeviceError::Absent {
        name: "auto",
        reason: if passed_over.is_empty() {
            "no backend is compiled in; build with `--features flex`".to_owned()
        } else {
            passed_over.join("; ")
        },
    })
}

fn names(choices: &[DeviceChoice]) -> String {
    if choices.is_empty() {
        return "none".to_owned();
    }
    choices.iter().map(|c| c.as_str()).collect::<Vec<_>>().join(", ")
}

/// Creates the device and names its adapter.
fn create(choice: DeviceChoice) -> Result<(Device, String), DeviceError> {
    match choice {
        #[cfg(feature = "flex")]
        DeviceChoice::Flex => Ok((Device::flex(), cpu_name())),
        #[cfg(feature = "ndarray")]
        #[allow(deprecated)]
        // Kept on purpose: it is the second opinion of the contract suite.
        DeviceChoice::NdArray => Ok((Device::ndarray(), cpu_name())),
        #[cfg(feature = "wgpu")]
        DeviceChoice::Wgpu => crate::gpu::wgpu(choice),
        #[cfg(feature = "vulkan")]
        DeviceChoice::Vulkan => crate::gpu::wgpu(choice),
        #[cfg(feature = "cuda")]
        DeviceChoice::Cuda => crate::gpu::cuda(),
        #[allow(unreachable_patterns)]
        other => Err(DeviceError::NotCompiled {
            name: other.as_str(),
            feature: other.as_str(),
            compiled: names(&compiled_devices()),
        }),
    }
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
fn cpu_name() -> String {
    format!("CPU, {} threads", rayon::current_num_threads())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_build_opens_flex() {
        let open = open_device(DeviceChoice::Auto).unwrap();
        if compiled_devices() == [DeviceChoice::Flex] {
            assert_eq!(open.choice, DeviceChoice::Flex);
        }
        assert!(open_device(DeviceChoice::Flex).is_ok());
    }

    #[test]
    fn a_compiled_out_device_names_its_feature() {
        if DeviceChoice::Cuda.is_compiled() {
            return;
        }
        let err = open_device(DeviceChoice::Cuda).unwrap_err().to_string();
        assert!(err.contains("--features cuda") && err.contains("flex"), "{err}");
    }

    #[test]
    fn a_typo_lists_the_devices() {
        let err = "cdua".parse::<DeviceChoice>().unwrap_err().to_string();
        assert!(err.contains("cdua") && err.contains("vulkan"), "{err}");
    }
}
