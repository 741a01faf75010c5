//! Accuracy of a model over a split, for any number of samplers and T. The backbone runs once.

use burn::tensor::{Int, Tensor};
use noprop_core::sampler::Sampling;
use noprop_core::{Accuracy, Features, NoProp};
use noprop_data::DeviceSplit;

use crate::workers::Workers;

/// Images that go through the network together.
const BATCH: usize = 500;

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
        let right = self.right(sampling);
        Accuracy {
            correct: right.iter().filter(|right| **right).count(),
            total: self.total,
        }
    }

    /// For each image, whether its walk ends at its label.
    pub fn right(&self, sampling: Sampling) -> Vec<bool> {
        let right = self.workers.map(self.batches.len(), |i| {
            let (features, labels) = &self.batches[i];
            let z_1 = sampling.run(self.model, features, i * BATCH);
            let predicted = self
                .model
                .readout(features, z_1)
                .argmax(1)
                .flatten::<1>(0, 1);
            let right = predicted.equal(labels.clone()).into_data();
            right.iter::<bool>().collect::<Vec<bool>>()
        });
        right.concat()
    }
}
