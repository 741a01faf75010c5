//! The device that this worker was compiled for.

use burn::tensor::Device;

use crate::engine::Failure;
use crate::protocol::Backend;

/// Opens the device.
///
/// # Errors
/// When there is no usable WebGPU adapter.
pub async fn open(backend: Backend) -> Result<Device, Failure> {
    match backend {
        Backend::Cpu => Ok(Device::flex()),
        #[cfg(feature = "gpu")]
        Backend::WebGpu => Device::wgpu_options()
            .init_async()
            .await
            .map_err(|e| format!("WebGPU could not be opened ({e})")),
        #[cfg(not(feature = "gpu"))]
        Backend::WebGpu => Err("this engine was built for the CPU".into()),
    }
}
