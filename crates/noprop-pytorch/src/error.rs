//! The errors of reading and writing weights of PyTorch.

use noprop_core::{ConfigError, WeightsError};
use thiserror::Error;

/// Weights that cannot be read or written.
#[derive(Debug, Error)]
pub enum PytorchError {
    /// The bytes are neither a `.pt` nor a `.safetensors` file, or a damaged one.
    #[error("{0}; save it again with torch.save (PyTorch 1.6 or newer) or safetensors")]
    Damaged(String),
    /// The pickle asks for something other than a dictionary of tensors.
    #[error(
        "the pickle in it uses {0}, and only dictionaries of tensors, numbers and text are read; \
         save model.state_dict() alone"
    )]
    Forbidden(String),
    /// The file is undamaged, but it holds no state dict of a known model.
    #[error("{0}")]
    Content(String),
    /// The tensors tell which model they belong to, but not the whole configuration of this model.
    #[error("{0}, so the configuration of the model must be given")]
    Incomplete(String),
    /// The tensors belong to a ResNet of torchvision, which is a backbone and no model to import.
    #[error("this is a ResNet of torchvision, a backbone without the rest of a model")]
    BackboneOnly,
    /// The tensors are not those of the model.
    #[error("{0}")]
    Mismatch(String),
    /// The model's weights cannot be made or serialised.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The configuration of the model contradicts itself.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// The beginning of a text from a file, for a message: without line breaks and other control characters.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut beginning: String = text.chars().take(LONGEST).collect();
    if beginning.len() < text.len() {
        beginning.push('…');
    }
    beginning.escape_debug().to_string()
}
