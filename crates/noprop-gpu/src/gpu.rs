//! A wgpu device with its queue, apart from burn's, and the way from its buffers to host memory.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use crate::error::GpuError;

/// The adapter to open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AdapterChoice {
    /// The adapter that the system calls the fastest.
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
    /// When no such adapter exists, or it gives no device.
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

    /// Opens `adapter` with its highest limits.
    ///
    /// # Errors
    /// When the adapter gives no device.
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

    /// The name of the adapter; a browser may leave it empty.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Reads the numbers in `buffer` once all submitted work is done. The buffer must have been made for mapping
/// (`MAP_READ`).
pub(crate) async fn read(gpu: &Gpu, buffer: &wgpu::Buffer) -> Result<Vec<f32>, GpuError> {
    let mapped = Arc::new(Mutex::new(Mapping::default()));
    let report = mapped.clone();
    buffer.map_async(wgpu::MapMode::Read, .., move |result| {
        let mut mapping = report.lock().unwrap_or_else(PoisonError::into_inner);
        mapping.result = Some(result);
        if let Some(waker) = mapping.waker.take() {
            waker.wake();
        }
    });
    // Natively this call waits. In a page the browser drives the device, and the call returns at once.
    gpu.device
        .poll(wgpu::PollType::wait_indefinitely())
        .map_err(failed)?;
    let result = poll_fn(|context| {
        let mut mapping = mapped.lock().unwrap_or_else(PoisonError::into_inner);
        match mapping.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                mapping.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    });
    result.await.map_err(failed)?;
    let view = buffer.get_mapped_range(..).map_err(failed)?;
    let values = bytemuck::pod_collect_to_vec(&view);
    drop(view);
    buffer.unmap();
    Ok(values)
}

/// The result that the callback of a mapping has left, and the task that waits for it.
#[derive(Default)]
struct Mapping {
    result: Option<Result<(), wgpu::BufferAsyncError>>,
    waker: Option<Waker>,
}

fn failed(error: impl ToString) -> GpuError {
    GpuError::Device(error.to_string())
}
