//! The values of the loss, and the reports of a step and of an epoch.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// The number of steps from one read of the loss from the device to the next.
pub const LOG_INTERVAL: usize = 20;

/// The terms of a loss, each a mean over images.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct LossValues {
    /// The sum of the terms.
    pub total: f32,
    /// The cross-entropy −log p̂_out(y | z_1).
    pub ce: f32,
    /// The Kullback–Leibler divergence of q(z_0 | y) from N(0, I).
    pub kl: f32,
    /// The denoising term.
    pub denoise: f32,
}

impl LossValues {
    /// Reads the terms in a tensor `[4]` from its device.
    pub(crate) fn read(terms: Tensor<1>) -> Self {
        let terms = terms.into_data().iter::<f32>().collect::<Vec<_>>();
        Self {
            total: terms[0],
            ce: terms[1],
            kl: terms[2],
            denoise: terms[3],
        }
    }

    /// The sum of two losses, term by term.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            total: self.total + other.total,
            ce: self.ce + other.ce,
            kl: self.kl + other.kl,
            denoise: self.denoise + other.denoise,
        }
    }

    /// The mean loss per step, if `self` is the sum of the losses of `steps` steps.
    pub(crate) fn per_step(self, steps: usize) -> Self {
        let n = steps.max(1) as f32;
        Self {
            total: self.total / n,
            ce: self.ce / n,
            kl: self.kl / n,
            denoise: self.denoise / n,
        }
    }
}

/// The report of an optimiser step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StepReport {
    /// The epoch that the step belongs to, from 1.
    pub epoch: usize,
    /// The step within the epoch, from 1.
    pub step: usize,
    /// The block that the step trained, from 1, if NoProp-DT trained one block alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<usize>,
    /// The learning rate of the step.
    pub lr: f64,
    /// The mean loss of the steps since the last read of the loss. The loss is read from the device every
    /// [`LOG_INTERVAL`](crate::LOG_INTERVAL) steps; other reports have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<LossValues>,
}

/// The report of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EpochReport {
    /// The epoch, from 1.
    pub epoch: usize,
    /// The mean loss of the steps of the epoch.
    pub loss: LossValues,
    /// The total loss of the first step of the training. Absent where a step of NoProp-DT trains one block alone,
    /// since the losses of different blocks cannot be compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_loss: Option<f32>,
    /// The number of images that its steps saw.
    pub images: usize,
}

impl EpochReport {
    /// The loss of the first step, if this is not the first epoch and the mean loss of this epoch is above it.
    pub fn loss_above_first(&self) -> Option<f32> {
        let first = self.first_loss?;
        (self.epoch > 1 && self.loss.total > first).then_some(first)
    }
}
