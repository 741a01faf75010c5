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
        let correct = self.workers.map(self.batches.len(), |i| {
            let right = self.predicted(i, sampling).equal(self.batches[i].1.clone());
            right.int().sum().into_scalar::<i64>() as usize
        });
        Accuracy {
            correct: correct.iter().sum(),
            total: self.total,
        }
    }

    /// The same for the images of each of `classes` classes.
    pub fn accuracy_per_class(&self, sampling: Sampling, classes: usize) -> Vec<Accuracy> {
        let pairs = self.workers.map(self.batches.len(), |i| {
            let values =
                |tensor: Tensor<1, Int>| tensor.into_data().iter::<i64>().collect::<Vec<_>>();
            let labels = values(self.batches[i].1.clone());
            let predicted = values(self.predicted(i, sampling));
            labels.into_iter().zip(predicted).collect::<Vec<_>>()
        });
        let mut of_class = vec![
            Accuracy {
                correct: 0,
                total: 0
            };
            classes
        ];
        for (label, predicted) in pairs.into_iter().flatten() {
            if let Some(accuracy) = of_class.get_mut(label as usize) {
                accuracy.total += 1;
                accuracy.correct += usize::from(label == predicted);
            }
        }
        of_class
    }

    /// Predicted classes of a batch, `[b]`.
    fn predicted(&self, batch: usize, sampling: Sampling) -> Tensor<1, Int> {
        let (features, _) = &self.batches[batch];
        let z_1 = sampling.run(self.model, features, batch * BATCH);
        self.model
            .readout(features, z_1)
            .argmax(1)
            .flatten::<1>(0, 1)
    }
}
