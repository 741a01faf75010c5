//! What can be wrong with a configuration or with weights.

use thiserror::Error;

use crate::block_range::BlockRange;

/// A model configuration that cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// A single value is out of its range.
    #[error("`{field}` is {found}, expected {expected}")]
    Value {
        /// Dotted name of the field, as in a recipe.
        field: &'static str,
        /// What the configuration holds.
        found: String,
        /// What it may hold.
        expected: &'static str,
    },
    /// Two values that exclude each other.
    #[error("{0}")]
    Combination(String),
}

/// Weights that cannot be written or read.
#[derive(Debug, Error)]
pub enum WeightsError {
    /// Not a safetensors file, or a truncated one.
    #[error(
        "not a readable safetensors file ({0}); it may be truncated: train again or copy it anew"
    )]
    Format(String),
    /// A safetensors file of something else.
    #[error(
        "the file has no `{key}` entry in its metadata, so it was not written by NoProp; \
         expected a model.safetensors of a run folder; `noprop import` reads weights of PyTorch"
    )]
    NotOurs {
        /// The metadata key that is missing.
        key: &'static str,
    },
    /// Written by a later version.
    #[error(
        "the weights have format version {found}, this build reads version {expected}; update NoProp"
    )]
    Version {
        /// Version in the file.
        found: String,
        /// Version that this build writes.
        expected: u32,
    },
    /// The metadata holds a configuration that does not parse.
    #[error("the metadata of the weights is damaged: {0}")]
    Metadata(String),
    /// The tensors are not those of the configuration.
    #[error("the tensors do not fit the model configuration: {0}")]
    Mismatch(String),
    /// Some blocks are trained elsewhere.
    #[error(
        "only blocks {trained} of 1-{all} are trained; join them with the other ones by `noprop merge`"
    )]
    Partial {
        /// Those that are.
        trained: BlockRange,
        /// T.
        all: usize,
    },
    /// Parts that do not make one model.
    #[error("{0}")]
    Merge(String),
    /// The configuration itself is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
}
