//! Accuracy of a model over a split, for any number of samplers and T. The backbone runs once.

use burn::tensor::{Int, Tensor};
use noprop_core::sampler::Sampling;
use noprop_core::{Features, NoProp};
use noprop_data::DeviceSplit;
use serde::{Deserialize, Serialize};

use crate::workers::Workers;

/// Images that go through the network together.
const BATCH: usize = 500;

/// So many of so many are right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Correct predictions.
    pub correct: usize,
    /// Images.
    pub total: usize,
}

impl Accuracy {
    /// The share in percent.
    pub fn percent(&self) -> f64 {
        100.0 * self.correct as f64 / self.total.max(1) as f64
    }

    /// Wilson's 95 % interval, in percent (Wilson 1927).
    pub fn wilson(&self) -> (f64, f64) {
        const Z: f64 = 1.959_963_984_540_054;
        let n = self.total.max(1) as f64;
        let p = self.correct as f64 / n;
        let centre = p + Z * Z / (2.0 * n);
        let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        let scale = 100.0 / (1.0 + Z * Z / n);
        ((centre - half) * scale, (centre + half) * scale)
    }
}

/// Features and labels of a split, ready to be sampled from again and again.
pub struct Evaluator<'a> {
    model: &'a NoProp,
    workers: &'a Workers,
    batches: Vec<(Features, Tensor<1, Int>)>,
    total: usize,
}

impl<'a> Evaluator<'a> {
    /// Runs the backbone over `split`. `model` must be off the autodiff device.
    pub fn new(model: &'a NoProp, split: &DeviceSplit, workers: &'a Workers) -> Self {
        let total = split.len();
        let batches = workers.map(total.div_ceil(BATCH), |i| {
            let indices: Vec<usize> = (i * BATCH..((i + 1) * BATCH).min(total)).collect();
            let (images, labels) = split.batch(&indices);
            (model.features(images), labels)
        });
        Self {
            model,
            workers,
            batches,
            total,
        }
    }

    /// Accuracy of one walk from noise to label per image.
    pub fn accuracy(&self, sampling: Sampling) -> Accuracy {
        let correct = self.workers.map(self.batches.len(), |i| {
            let (features, labels) = &self.batches[i];
            let z_1 = sampling.run(self.model, features, i * BATCH);
            let predicted = self
                .model
                .readout(features, z_1)
                .argmax(1)
                .flatten::<1>(0, 1);
            let right = predicted.equal(labels.clone()).int().sum();
            right.into_scalar::<i64>() as usize
        });
        Accuracy {
            correct: correct.iter().sum(),
            total: self.total,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_is_the_published_interval() {
        // 81 of 263: 0.2553 … 0.3662 (Newcombe 1998, table I, method 3).
        let (low, high) = Accuracy {
            correct: 81,
            total: 263,
        }
        .wilson();
        assert!(
            (low - 25.53).abs() < 0.005 && (high - 36.62).abs() < 0.005,
            "{low} {high}"
        );
    }
}
