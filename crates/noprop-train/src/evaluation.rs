//! Accuracy of a model over a split, for any number of samplers and T. The backbone runs once.

use burn::tensor::activation::softmax;
use burn::tensor::{Int, Tensor};
use noprop_core::{Accuracy, Features, NoProp, Walk, WalkError};
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

    /// This evaluator with the mean class probabilities of `votes` walks for each image's answer, from the seed
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
    ///
    /// # Errors
    /// When `walk` does not suit the model.
    pub fn accuracy(&self, walk: &Walk) -> Result<Accuracy, WalkError> {
        Ok(share_of_right(&self.outcomes(walk)?))
    }

    /// Accuracy over the images of each of `classes` classes.
    ///
    /// # Errors
    /// When `walk` does not suit the model.
    pub fn accuracy_per_class(
        &self,
        walk: &Walk,
        classes: usize,
    ) -> Result<Vec<Accuracy>, WalkError> {
        let outcomes = self.outcomes(walk)?;
        let of = |class| share_of_right(outcomes.iter().filter(|outcome| outcome.label == class));
        Ok((0..classes).map(of).collect())
    }

    /// Where the walks of each image end, in the order of the split.
    ///
    /// # Errors
    /// When `walk` does not suit the model.
    pub fn outcomes(&self, walk: &Walk) -> Result<Vec<Outcome>, WalkError> {
        self.outcomes_of(walk, |walk, features, first| {
            self.model.walk(features, walk, first)
        })
    }

    /// Accuracy where at every step the denoiser is given the latent of another image.
    ///
    /// # Errors
    /// When `walk` does not suit the model.
    pub fn accuracy_on_swapped_latents(&self, walk: &Walk) -> Result<Accuracy, WalkError> {
        let outcomes = self.outcomes_of(walk, |walk, features, first| {
            self.model.walk_on_swapped_latents(features, walk, first)
        });
        Ok(share_of_right(&outcomes?))
    }

    fn outcomes_of(
        &self,
        walk: &Walk,
        end: impl Fn(&Walk, &Features, usize) -> Result<Tensor<2>, WalkError> + Sync,
    ) -> Result<Vec<Outcome>, WalkError> {
        let outcomes = self.workers.map(self.batches.len(), |i| {
            let (features, labels) = &self.batches[i];
            let of_vote = |vote: usize| {
                let walk = walk.with_seed(walk.seed.wrapping_add(vote as u64));
                let z_1 = end(&walk, features, i * self.batch)?;
                Ok(softmax(self.model.readout(features, z_1), 1))
            };
            let mut sum = of_vote(0)?;
            for vote in 1..self.votes {
                sum = sum + of_vote(vote)?;
            }
            let predicted = sum.argmax(1);
            let host = |tensor: Tensor<1, Int>| {
                let data = tensor.into_data();
                data.iter::<i64>().map(|k| k as usize).collect::<Vec<_>>()
            };
            let pairs = host(labels.clone())
                .into_iter()
                .zip(host(predicted.flatten(0, 1)));
            let outcomes = pairs.map(|(label, predicted)| Outcome { label, predicted });
            Ok(outcomes.collect::<Vec<_>>())
        });
        Ok(outcomes
            .into_iter()
            .collect::<Result<Vec<_>, WalkError>>()?
            .concat())
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
