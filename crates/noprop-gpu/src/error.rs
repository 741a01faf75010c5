//! The errors of this crate.

use noprop_core::{NoProp, Sampler};
use thiserror::Error;

/// An error of the fused solver or of the device that it runs on.
#[derive(Debug, Error)]
pub enum GpuError {
    /// No adapter of the wanted kind was found.
    #[error(
        "no {wanted} adapter was found ({reason}); walk by tensor operations instead (NoProp::walk)"
    )]
    NoAdapter {
        /// The kind of adapter that was looked for.
        wanted: &'static str,
        /// The message of the graphics interface.
        reason: String,
    },
    /// The adapter was found, but gives no device.
    #[error(
        "adapter {adapter} gives no device ({reason}); walk by tensor operations instead (NoProp::walk)"
    )]
    NoDevice {
        /// The name of the adapter.
        adapter: String,
        /// The message of the graphics interface.
        reason: String,
    },
    /// The request or the model needs more than the adapter has.
    #[error(
        "the fused solver needs {needed} {what}, this adapter has {available}; \
         solve smaller batches or walk by tensor operations instead (NoProp::walk)"
    )]
    Limit {
        /// The resource, in words.
        what: &'static str,
        /// The amount that is needed.
        needed: u64,
        /// The amount that the adapter has.
        available: u64,
    },
    /// The process of the model is not diffusion in continuous time.
    #[error(
        "the fused solver walks a diffusion process in continuous time, and this model (method {method}) \
         was trained on {process}; walk by tensor operations instead (NoProp::walk)"
    )]
    Process {
        /// The name of the method of the model.
        method: &'static str,
        /// The process of the model, in words.
        process: &'static str,
    },
    /// The model encodes z by convolutions (`label_encoder` "image"), which the kernel does not have.
    #[error(
        "the fused solver multiplies matrices, and in this model z goes through convolutions (label_encoder \
         \"image\"); walk by tensor operations instead (NoProp::walk)"
    )]
    LatentImage,
    /// The kernel does not know the sampler.
    #[error(
        "the fused solver has no {0}, only ddim, euler and heun; walk by tensor operations instead (NoProp::walk)"
    )]
    Sampler(Sampler),
    /// A walk of no steps was asked for.
    #[error("a walk of 0 steps was asked for, expected at least 1")]
    NoSteps,
    /// An input has the wrong number of values.
    #[error("{what} has {found} values, expected {expected}")]
    Shape {
        /// The name of the input.
        what: &'static str,
        /// The number of values of the input.
        found: usize,
        /// The number of values that was expected, in words.
        expected: String,
    },
    /// A tensor could not be read from its device.
    #[error("the model's tensors cannot be read from their device: {0}")]
    Tensor(String),
    /// The kernel does not compile on this adapter.
    #[error("the kernel does not compile on this adapter: {0}")]
    Kernel(String),
    /// The device failed or was lost.
    #[error(
        "the GPU did not finish ({0}); open it anew or walk by tensor operations instead (NoProp::walk)"
    )]
    Device(String),
}

impl GpuError {
    /// The error for a `model` whose process the kernel does not walk.
    pub(crate) fn of(model: &NoProp) -> Self {
        let method = model.method();
        Self::Process {
            method: method.name(),
            process: method.process().describe(),
        }
    }
}
