//! What can be wrong with weights of PyTorch.

use noprop_core::{ConfigError, WeightsError};
use thiserror::Error;

/// Weights that cannot be read or written.
#[derive(Debug, Error)]
pub enum PytorchError {
    /// The bytes are neither a `.pt` nor a `.safetensors` file, or a damaged one.
    #[error("{0}; save it again with torch.save (PyTorch 1.6 or newer) or safetensors")]
    Damaged(String),
    /// The pickle asks for something else than a dictionary of tensors.
    #[error(
        "the pickle in it uses {0}, and only dictionaries of tensors, numbers and text are read; \
         save model.state_dict() alone"
    )]
    Forbidden(String),
    /// A dictionary, but of what?
    #[error("{0}")]
    Content(String),
    /// The tensors are not those of the model.
    #[error("{0}")]
    Mismatch(String),
    /// As for our own files.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// As for our own models.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl PytorchError {
    pub(crate) fn damaged(message: impl Into<String>) -> Self {
        Self::Damaged(message.into())
    }
}
