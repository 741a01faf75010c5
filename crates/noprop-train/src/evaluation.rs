//! Accuracy of a model over a split, for any number of samplers and T. The backbone runs once.

use burn::tensor::{Int, Tensor};
use noprop_core::sampler::Sampling;
use noprop_core::{Accuracy, Features, NoProp};
use noprop_data::DeviceSplit;

use crate::workers::Workers;

/// Images that go through the network together, at most.
const BATCH: usize = 500;

/// Features and labels of a split, ready to be sampled from again and again.
pub struct Evaluator<'a> {
    model: &'a NoProp,
    workers: &'a Workers,
    batches: Vec<(Features, Tensor<1, Int>)>,
    /// Images of each batch but the last.
    batch: usize,
    total: usize,
}

impl<'a> Evaluator<'a> {
    /// Runs the backbone over `split`. `model` must be off the autodiff device.
    pub fn new(model: &'a NoProp, split: &DeviceSplit, workers: &'a Workers) -> Self {
        let total = split.len();
        // A few images, too, are shared among all workers.
        let batch = total.div_ceil(workers.count()).clamp(1, BATCH);
        let batches = workers.map(total.div_ceil(batch), |i| {
            let indices: Vec<usize> = (i * batch..((i + 1) * batch).min(total)).collect();
            let (images, labels) = split.batch(&indices);
            (model.features(images), labels)
        });
        Self {
            model,
            workers,
            batches,
            batch,
            total,
        }
    }

    /// Returns when the features are computed; a GPU may still be at it after [`Self::new`].
    pub fn wait(&self) {
        for (features, _) in &self.batches {
            features.fused.clone().sum().into_data();
        }
    }

    /// Accuracy of one walk from noise to label per image.
    pub fn accuracy(&self, sampling: Sampling) -> Accuracy {
        let correct = self.workers.map(self.batches.len(), |i| {
            let (features, labels) = &self.batches[i];
            let z_1 = sampling.run(self.model, features, i * self.batch);
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
