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
    /// The sampler does not serve the process that the model was trained on.
    #[error(
        "the sampler {sampler} cannot walk a model of method {method}, which is {process}; \
         choose {choices}"
    )]
    Sampler {
        /// Name of the sampler.
        sampler: &'static str,
        /// Name of the method.
        method: &'static str,
        /// What the method's process is, in words.
        process: &'static str,
        /// Names of the samplers that serve it.
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
        /// T that was asked for.
        steps: usize,
    },
    /// The sampler claims to serve the process, and cannot begin a walk of it.
    #[error(
        "the sampler {0} says that it serves this model's process and cannot begin a walk of it; \
         mend its `processes` or its `start`"
    )]
    Start(&'static str),
    /// A walk of no steps was asked for.
    #[error("T = 0 steps were asked for; a walk has at least one step")]
    NoSteps,
    /// The temperature is no number from 0 on.
    #[error("the temperature is {0}, expected a finite number from 0 on")]
    Temperature(String),
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
         expected the model.safetensors of a run; weights of PyTorch have to be imported first"
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
        "only blocks {trained} of 1-{all} are trained; merge this file with those of the other blocks first"
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

/// An image that cannot be classified.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ClassifyError {
    /// The pixels are not whole images of the model's size.
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
    /// The device failed, or computed no numbers.
    #[error("the device failed while computing: {0}")]
    Device(String),
}
