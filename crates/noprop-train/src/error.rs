//! What can go wrong in training.

use noprop_core::{ConfigError, WalkError, WeightsError};
use thiserror::Error;

/// Training cannot start or go on.
#[derive(Debug, Error)]
pub enum TrainError {
    /// The recipe is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Dataset and recipe do not fit.
    #[error("{0}")]
    Data(String),
    /// The weights to start from do not fit.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The walk of an evaluation does not suit the model.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// The loss became NaN or infinite.
    #[error(
        "the loss is {value} at epoch {epoch}, step {step}: training diverged; try a smaller train.lr, \
         train.clip_norm = 1.0, or train.warmup_steps = 200"
    )]
    Diverged {
        /// The loss.
        value: f32,
        /// Epoch, from 1.
        epoch: usize,
        /// Step within the epoch, from 1.
        step: usize,
    },
    /// A checkpoint of something else, or a damaged one.
    #[error("the checkpoint cannot be used: {0}")]
    Checkpoint(String),
    /// Threads for the shards could not be started.
    #[error("the worker threads cannot be started: {0}; try one thread")]
    Workers(String),
}
