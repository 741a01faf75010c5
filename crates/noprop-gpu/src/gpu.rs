//! A device and its queue, apart from Burn's.

use crate::error::GpuError;

/// Which adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AdapterChoice {
    /// The one that the system calls fastest.
    #[default]
    Fastest,
    /// A software adapter (lavapipe, SwiftShader, WARP), for tests.
    Software,
}

/// An open wgpu device.
#[derive(Debug, Clone)]
pub struct Gpu {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    name: String,
}

impl Gpu {
    /// Opens an adapter: Vulkan, Metal or DX12 natively, WebGPU in a page.
    ///
    /// # Errors
    /// When there is none, or it gives no device.
    pub async fn open(choice: AdapterChoice) -> Result<Self, GpuError> {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = wgpu::Backends::PRIMARY;
        let instance = wgpu::Instance::new(descriptor);
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            force_fallback_adapter: choice == AdapterChoice::Software,
            ..Default::default()
        };
        let adapter = instance.request_adapter(&options).await;
        let adapter = adapter.map_err(|error| GpuError::NoAdapter {
            wanted: match choice {
                AdapterChoice::Fastest => "wgpu",
                AdapterChoice::Software => "software wgpu",
            },
            reason: error.to_string(),
        })?;
        Self::from_adapter(&adapter).await
    }

    /// Opens this adapter, with all that it has of every limit.
    ///
    /// # Errors
    /// When it gives no device.
    pub async fn from_adapter(adapter: &wgpu::Adapter) -> Result<Self, GpuError> {
        let name = adapter.get_info().name;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("noprop"),
            required_limits: adapter.limits(),
            ..Default::default()
        };
        match adapter.request_device(&descriptor).await {
            Ok((device, queue)) => Ok(Self {
                device,
                queue,
                name,
            }),
            Err(error) => Err(GpuError::NoDevice {
                adapter: name,
                reason: error.to_string(),
            }),
        }
    }

    /// The adapter's name; browsers may leave it empty.
    pub fn name(&self) -> &str {
        &self.name
    }
}
