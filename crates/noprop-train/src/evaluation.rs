//! Accuracy of a model over a split, for any number of samplers and T. The backbone runs once.

use burn::tensor::activation::softmax;
use burn::tensor::{Int, Tensor};
use noprop_core::sampler::Sampling;
use noprop_core::{Accuracy, Features, NoProp};
use noprop_data::DeviceSplit;

use crate::workers::Workers;

/// Images that go through the network together, at most.
const BATCH: usize = 128;

/// Features and labels of a split, ready to be sampled from again and again.
pub struct Evaluator<'a> {
    model: &'a NoProp,
    workers: &'a Workers,
    batches: Vec<(Features, Tensor<1, Int>)>,
    /// Images of each batch but the last.
    batch: usize,
    /// Walks of each image, whose class probabilities are averaged.
    votes: usize,
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
            votes: 1,
        }
    }

    /// The same, but an image's class is the likeliest by the mean probabilities of `votes` walks, from the seed
    /// asked for and those after it. One walk draws a class from p(y|x) rather than choosing the likeliest; the
    /// features are there already, so more of them cost little.
    pub fn with_votes(self, votes: usize) -> Self {
        Self {
            votes: votes.max(1),
            ..self
        }
    }

    /// Returns when the features are computed; a GPU may still be at it after [`Self::new`].
    pub fn wait(&self) {
        for (features, _) in &self.batches {
            features.fused.clone().sum().into_data();
        }
    }

    /// Accuracy of the walks from noise to label.
    pub fn accuracy(&self, sampling: Sampling) -> Accuracy {
        share_of_right(&self.outcomes(sampling))
    }

    /// The same for the images of each of `classes` classes.
    pub fn accuracy_per_class(&self, sampling: Sampling, classes: usize) -> Vec<Accuracy> {
        let outcomes = self.outcomes(sampling);
        let of = |class| share_of_right(outcomes.iter().filter(|outcome| outcome.label == class));
        (0..classes).map(of).collect()
    }

    /// Where the walks of each image end, in the order of the split.
    pub fn outcomes(&self, sampling: Sampling) -> Vec<Outcome> {
        self.outcomes_of(sampling, |sampling, features, first| {
            sampling.run(self.model, features, first)
        })
    }

    /// Accuracy where at every step the denoiser is given the latent of another image.
    pub fn accuracy_on_swapped_latents(&self, sampling: Sampling) -> Accuracy {
        share_of_right(&self.outcomes_of(sampling, |sampling, features, first| {
            sampling.run_on_swapped_latents(self.model, features, first)
        }))
    }

    fn outcomes_of(
        &self,
        sampling: Sampling,
        walk: impl Fn(Sampling, &Features, usize) -> Tensor<2> + Sync,
    ) -> Vec<Outcome> {
        let outcomes = self.workers.map(self.batches.len(), |i| {
            let (features, labels) = &self.batches[i];
            let probabilities = (0..self.votes as u64).map(|vote| {
                let sampling = Sampling {
                    seed: sampling.seed.wrapping_add(vote),
                    ..sampling
                };
                let z_1 = walk(sampling, features, i * self.batch);
                softmax(self.model.readout(features, z_1), 1)
            });
            let sum = probabilities.reduce(|sum, one| sum + one);
            let predicted = sum.expect("one vote at least").argmax(1);
            let host = |tensor: Tensor<1, Int>| {
                let data = tensor.into_data();
                data.iter::<i64>().map(|k| k as usize).collect::<Vec<_>>()
            };
            let pairs = host(labels.clone())
                .into_iter()
                .zip(host(predicted.flatten(0, 1)));
            pairs
                .map(|(label, predicted)| Outcome { label, predicted })
                .collect::<Vec<_>>()
        });
        outcomes.concat()
    }
}

/// An image's label, and the class at which its walks end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The right class.
    pub label: usize,
    /// The class that was predicted.
    pub predicted: usize,
}

impl Outcome {
    /// Whether they are the same.
    pub fn is_right(&self) -> bool {
        self.label == self.predicted
    }
}

fn share_of_right<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Accuracy {
    let mut accuracy = Accuracy {
        correct: 0,
        total: 0,
    };
    for outcome in outcomes {
        accuracy.correct += usize::from(outcome.is_right());
        accuracy.total += 1;
    }
    accuracy
}
