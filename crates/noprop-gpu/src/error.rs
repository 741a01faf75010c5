//! What can go wrong on the way to a GPU and back.

use noprop_core::{NoProp, Sampler};
use thiserror::Error;

/// Why a kernel cannot run.
#[derive(Debug, Error)]
pub enum GpuError {
    /// No adapter fits.
    #[error("no {wanted} adapter was found ({reason}); use the plain-tensor sampler")]
    NoAdapter {
        /// What was looked for.
        wanted: &'static str,
        /// What the graphics interface says.
        reason: String,
    },
    /// The adapter gives no device.
    #[error("adapter {adapter} gives no device ({reason}); use the plain-tensor sampler")]
    NoDevice {
        /// Its name.
        adapter: String,
        /// What the graphics interface says.
        reason: String,
    },
    /// The problem is larger than the adapter.
    #[error(
        "the fused solver needs {needed} {what}, this adapter has {available}; \
         solve smaller batches or use the plain-tensor sampler"
    )]
    Limit {
        /// Which resource.
        what: &'static str,
        /// How much of it is needed.
        needed: u64,
        /// How much there is.
        available: u64,
    },
    /// A model of another process.
    #[error(
        "the fused solver walks a diffusion process in continuous time, and this model (method {method}) \
         was trained on {process}; use the plain-tensor sampler"
    )]
    Process {
        /// Name of its method.
        method: &'static str,
        /// What its process is, in words.
        process: &'static str,
    },
    /// z goes through convolutions.
    #[error(
        "the fused solver multiplies matrices, and in this model z goes through convolutions (label_encoder \
         \"image\"); use the plain-tensor sampler"
    )]
    LatentImage,
    /// A sampler without a kernel.
    #[error("the fused solver has no {0}, only ddim, euler and heun; use the plain-tensor sampler")]
    Sampler(Sampler),
    /// A walk needs at least one step.
    #[error("a walk of 0 steps was asked for, expected at least 1")]
    NoSteps,
    /// An input has the wrong number of values.
    #[error("{what} has {found} values, expected {expected}")]
    Shape {
        /// Which input.
        what: &'static str,
        /// Its values.
        found: usize,
        /// Values that were expected, in words.
        expected: String,
    },
    /// A tensor could not be read from its device.
    #[error("the model's tensors cannot be read from their device: {0}")]
    Tensor(String),
    /// The kernel does not compile on this adapter.
    #[error("the kernel does not compile on this adapter: {0}")]
    Kernel(String),
    /// The device failed or is gone.
    #[error("the GPU did not finish ({0}); open it anew or use the plain-tensor sampler")]
    Device(String),
}

impl GpuError {
    /// The refusal of a model whose process the kernel does not walk.
    pub(crate) fn of(model: &NoProp) -> Self {
        let method = model.method();
        Self::Process {
            method: method.name(),
            process: method.process().describe(),
        }
    }
}
