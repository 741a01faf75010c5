//! The complete state of training, as bytes; where they are kept is the caller's business.

use serde::{Deserialize, Serialize};

use crate::config::Recipe;
use crate::event::LossValues;

/// How far training has come. Orders and noise are functions of the seed and these counters, so
/// no generator state needs to be kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Epochs completed.
    pub epoch: usize,
    /// Steps done in the current epoch.
    pub step_in_epoch: usize,
    /// Steps done in all.
    pub step: usize,
    /// Sum of the losses of the current epoch, weighted by steps.
    pub loss_sum: LossValues,
    /// Steps whose losses are in that sum: in NoProp-DT those that train a block of this run.
    #[serde(default)]
    pub loss_steps: usize,
    /// The recipe, to refuse a checkpoint of another run.
    pub recipe: Recipe,
}

/// A state from which training continues as if it had never stopped.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// Counters and recipe.
    pub progress: Progress,
    /// Weights and BatchNorm statistics (burnpack).
    pub model: Vec<u8>,
    /// State of the optimiser (burnpack).
    pub optimizer: Vec<u8>,
    /// Averaged weights (burnpack), when the recipe asks for them.
    pub ema: Option<Vec<u8>>,
}
