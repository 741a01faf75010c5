//! The events that [`Trainer::run`](crate::Trainer::run) reports to its listener, and the answers of the listener.

use noprop_core::{Accuracy, Inference, Sampler, Views};
use serde::Serialize;

use crate::checkpoint::Checkpoint;
use crate::report::{EpochReport, StepReport};

/// Something that happened while [`Trainer::run`](crate::Trainer::run) was training. Serialised, an event is
/// one object whose `event` names the variant.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum TrainEvent {
    /// Training starts, or resumes after `step` steps.
    Started {
        /// Number of steps that were done before.
        step: usize,
        /// Number of steps of an epoch.
        steps_per_epoch: usize,
        /// Number of epochs in all.
        epochs: usize,
        /// Number of trainable parameters and BatchNorm statistics.
        parameters: usize,
        /// Number of threads over which a batch is sharded.
        threads: usize,
    },
    /// A step is done.
    Step(StepReport),
    /// An epoch of training is done.
    Epoch(EpochReport),
    /// The mean loss of an epoch, from the second one on, is above that of the first step of the training. The loss
    /// may stay finite although nothing is learned, for example where the learning rate is far too large. Where the
    /// loss varies much from step to step, as that of eq. 9 does, the event may also appear in a sound training.
    NotFallen {
        /// The epoch, from 1.
        epoch: usize,
        /// The mean loss of its steps.
        loss: f32,
        /// The loss of the first step of the training.
        first: f32,
    },
    /// An evaluation is done.
    Evaluated {
        /// The epoch after which it was made, from 1.
        epoch: usize,
        /// The images that were classified.
        split: HeldOut,
        /// The sampler of the walks.
        sampler: Sampler,
        /// The number of steps T of a walk.
        steps: usize,
        /// The factor on z_0.
        temperature: f32,
        /// The walks of each image.
        votes: usize,
        /// The views of each image.
        views: Views,
        /// The share of images that were classified rightly.
        accuracy: Accuracy,
    },
    /// A checkpoint was made, from which training can continue.
    Checkpointed {
        /// The state.
        #[serde(skip)]
        checkpoint: Box<Checkpoint>,
        /// Epochs that are completed.
        epoch: usize,
        /// Steps that were done in all.
        step: usize,
    },
    /// Training is complete.
    Finished {
        /// Epochs that were trained.
        epochs: usize,
    },
}

impl TrainEvent {
    /// The warning that the loss has not fallen, if `report` gives reason for it.
    pub(crate) fn not_fallen(report: &EpochReport) -> Option<Self> {
        Some(Self::NotFallen {
            epoch: report.epoch,
            loss: report.loss.total,
            first: report.loss_above_first()?,
        })
    }

    /// The event of an evaluation by `inference`.
    pub(crate) fn evaluated(
        epoch: usize,
        split: HeldOut,
        inference: &Inference,
        accuracy: Accuracy,
    ) -> Self {
        Self::Evaluated {
            epoch,
            split,
            sampler: inference.walk.sampler,
            steps: inference.walk.steps,
            temperature: inference.walk.temperature,
            votes: inference.votes,
            views: inference.views,
            accuracy,
        }
    }
}

/// The images that are not trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldOut {
    /// Training images that are held out, to choose by.
    Validation,
    /// The test images.
    Test,
}

/// The listener's answer to an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Hand out a checkpoint and return.
    Stop,
}
