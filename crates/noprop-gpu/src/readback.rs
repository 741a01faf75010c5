//! From a GPU buffer to host memory, natively and in a page.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use crate::error::GpuError;
use crate::gpu::Gpu;

/// Numbers of `buffer`, which must be made for mapping, once all submitted work is done.
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
    // Waits natively; in a page the browser drives the device, and this returns at once.
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

/// What the callback of a mapping leaves, and who waits for it.
#[derive(Default)]
struct Mapping {
    result: Option<Result<(), wgpu::BufferAsyncError>>,
    waker: Option<Waker>,
}

fn failed(error: impl ToString) -> GpuError {
    GpuError::Device(error.to_string())
}
