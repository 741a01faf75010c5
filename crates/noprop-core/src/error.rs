//! The errors of this crate: of configurations, walks, weights and images.

use thiserror::Error;

use crate::block_range::BlockRange;

/// A model configuration that cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// A single value is out of its range.
    #[error("`{field}` is {found}, expected {expected}")]
    Value {
        /// The dotted name of the field, as in a recipe.
        field: &'static str,
        /// The value that the configuration has.
        found: String,
        /// The values that are allowed, in words.
        expected: &'static str,
    },
    /// Two values exclude each other; the message says which and what to set instead.
    #[error("{0}")]
    Combination(String),
}

impl ConfigError {
    /// The error that says that `field` is `found` where `expected` is allowed.
    pub(crate) fn value(field: &'static str, found: impl ToString, expected: &'static str) -> Self {
        Self::Value {
            field,
            found: found.to_string(),
            expected,
        }
    }

    /// Checks that `field` is at least `least`; `expected` says so in words.
    pub(crate) fn at_least(
        field: &'static str,
        found: usize,
        least: usize,
        expected: &'static str,
    ) -> Result<(), Self> {
        if found < least {
            return Err(Self::value(field, found, expected));
        }
        Ok(())
    }

    /// Checks that `field` is a positive, finite number.
    pub(crate) fn positive(field: &'static str, found: f64) -> Result<(), Self> {
        if found.is_finite() && found > 0.0 {
            return Ok(());
        }
        Err(Self::value(field, found, "a positive number"))
    }
}

/// A walk that a model cannot make.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WalkError {
    /// The sampler does not serve the process of the model.
    #[error(
        "the sampler {sampler} cannot walk a model of method {method}, which is {process}; \
         choose {choices}"
    )]
    Sampler {
        /// Name of the sampler.
        sampler: &'static str,
        /// Name of the method.
        method: &'static str,
        /// The process of the method, in words.
        process: &'static str,
        /// The names of the samplers that serve the process.
        choices: String,
    },
    /// A model with a block for each step was asked for another number of steps.
    #[error(
        "this model of method {method} has {blocks} blocks, one for each step, so it walks in \
         T = {blocks} steps and no other number; T = {steps} was asked for"
    )]
    Steps {
        /// Name of the method.
        method: &'static str,
        /// Number of blocks.
        blocks: usize,
        /// The number of steps T that was asked for.
        steps: usize,
    },
    /// The sampler lists the process among those that it serves, but cannot begin a walk of it.
    #[error(
        "the sampler {0} says that it serves this model's process and cannot begin a walk of it; \
         mend its `processes` or its `start`"
    )]
    Start(&'static str),
    /// A walk of no steps was asked for.
    #[error("T = 0 steps were asked for; a walk has at least one step")]
    NoSteps,
    /// The temperature is out of range.
    #[error(
        "the temperature is {0}, expected a number from 0 (walks start from the mean) to 4; 1 is noise"
    )]
    Temperature(String),
}

/// Weights that cannot be written or read.
#[derive(Debug, Error)]
pub enum WeightsError {
    /// The bytes are not a safetensors file, or are truncated.
    #[error(
        "not a readable safetensors file ({0}); it may be truncated: train again or copy it anew"
    )]
    Format(String),
    /// The safetensors file was not written by NoProp.
    #[error(
        "the file has no `{key}` entry in its metadata, so it was not written by NoProp; \
         expected the model.safetensors of a run folder (import weights of PyTorch first)"
    )]
    NotOurs {
        /// The metadata key that is missing.
        key: &'static str,
    },
    /// The file has another format version than this build reads.
    #[error(
        "the weights have format version {found}, this build reads version {expected}; update NoProp"
    )]
    Version {
        /// The version in the file.
        found: String,
        /// The version that this build writes and reads.
        expected: u32,
    },
    /// The card in the metadata does not parse or contradicts itself.
    #[error("the metadata of the weights is damaged: {0}")]
    Metadata(String),
    /// The tensors do not fit the configuration in the card.
    #[error("the tensors do not fit the model configuration: {0}")]
    Mismatch(String),
    /// The file holds only some trained blocks of a NoProp-DT model.
    #[error(
        "only blocks {trained} of 1-{all} are trained; merge this file with those of the other blocks first"
    )]
    Partial {
        /// The blocks that are trained.
        trained: BlockRange,
        /// The number of all blocks, T.
        all: usize,
    },
    /// The files to merge do not make one model; the message says why and what to do.
    #[error("{0}")]
    Merge(String),
    /// The configuration in the card is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// An image that cannot be classified.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ClassifyError {
    /// The number of pixels is not that of whole images of the model's size.
    #[error(
        "{found} pixels were given, expected {} for an image of {}x{}x{} (channels, height, width), or \
         a multiple of it for several images",
        shape.iter().product::<usize>(), shape[0], shape[1], shape[2]
    )]
    Pixels {
        /// Number of pixels that were given.
        found: usize,
        /// Channels, height and width of an image.
        shape: [usize; 3],
    },
    /// The walk does not suit the model.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// The device failed.
    #[error("the device failed while computing: {0}")]
    Device(String),
}
