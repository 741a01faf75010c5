//! What the trainer tells those who listen.

use noprop_core::{Accuracy, Sampler};
use serde::{Deserialize, Serialize};

use crate::checkpoint::Checkpoint;

/// Loss terms, means over the images since the last report.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct LossValues {
    /// Sum of the terms.
    pub total: f32,
    /// Cross-entropy.
    pub ce: f32,
    /// Kullback–Leibler divergence of z_0.
    pub kl: f32,
    /// Denoising term.
    pub denoise: f32,
}

/// A thing that happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum TrainEvent {
    /// Training starts, or resumes after `step` steps.
    Started {
        /// Steps done before.
        step: usize,
        /// Steps of an epoch.
        steps_per_epoch: usize,
        /// Epochs in all.
        epochs: usize,
        /// Trainable parameters and BatchNorm statistics.
        parameters: usize,
        /// Shards of a batch.
        threads: usize,
    },
    /// A step is done.
    Step {
        /// Epoch, from 1.
        epoch: usize,
        /// Step within the epoch, from 1.
        step: usize,
        /// The block of NoProp-DT that it is about, from 1, where it is one.
        #[serde(skip_serializing_if = "Option::is_none")]
        block: Option<usize>,
        /// Learning rate of the step.
        lr: f64,
        /// Loss since the last report; read from the device now and then only.
        #[serde(skip_serializing_if = "Option::is_none")]
        loss: Option<LossValues>,
    },
    /// An epoch of training is done.
    Epoch {
        /// Epoch, from 1.
        epoch: usize,
        /// Loss over the epoch.
        loss: LossValues,
        /// Images seen in the epoch.
        images: usize,
    },
    /// An evaluation is done.
    Evaluated {
        /// Epoch, from 1.
        epoch: usize,
        /// `validation` or `test`.
        split: &'static str,
        /// The sampler.
        sampler: Sampler,
        /// T.
        steps: usize,
        /// The result.
        accuracy: Accuracy,
    },
    /// A state from which training can go on.
    Checkpointed {
        /// The state.
        #[serde(skip)]
        checkpoint: Box<Checkpoint>,
        /// Epochs completed.
        epoch: usize,
        /// Steps done in all.
        step: usize,
    },
    /// Training is complete.
    Finished {
        /// Epochs done.
        epochs: usize,
    },
}

/// What the listener wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Hand out a checkpoint and return.
    Stop,
}
