//! The accuracy of a classifier on many images, for any number of walks. The backbone runs once.

use burn::tensor::activation::softmax;
use burn::tensor::{Int, Tensor};
use noprop_core::{Accuracy, Classifier, Features, Walk, WalkError};
use noprop_data::{DeviceSplit, Split};

use crate::error::TrainError;
use crate::workers::Workers;

/// The largest number of images that go through the network together.
const BATCH: usize = 128;

/// The features and labels of images, from which walks can start again and again.
///
/// The answer for an image is the class with the largest mean probability over its votes. The votes are
/// [`Classifier::votes`] walks with consecutive seeds, of which the first is the seed of the given walk.
pub struct Evaluator<'a> {
    classifier: &'a Classifier,
    workers: &'a Workers,
    batches: Vec<(Features, Tensor<1, Int>)>,
    /// The number of images of each batch but the last.
    batch: usize,
}

impl<'a> Evaluator<'a> {
    /// Runs the backbone of `classifier` over the images of `split`, normalised as its card says.
    ///
    /// # Errors
    /// When the images have another shape than the classifier's [`image_shape`](Classifier::image_shape).
    pub fn new(
        classifier: &'a Classifier,
        split: &Split,
        workers: &'a Workers,
    ) -> Result<Self, TrainError> {
        let expected = classifier.image_shape();
        if split.shape != expected {
            let found = split.shape;
            return Err(TrainError::SplitShape { expected, found });
        }
        let channels = classifier.card().model.input[0];
        let device = classifier.model().device();
        let split = DeviceSplit::new(split, classifier.normalization(), channels, &device);
        Ok(Self::on_device(classifier, &split, workers))
    }

    /// Runs the backbone of `classifier` over images that are on its device already, in the shape that its model takes.
    pub fn on_device(
        classifier: &'a Classifier,
        split: &DeviceSplit,
        workers: &'a Workers,
    ) -> Self {
        let total = split.len();
        // If there are only a few images, they are shared among all workers, too.
        let batch = total.div_ceil(workers.count()).clamp(1, BATCH);
        let batches = workers.map(total.div_ceil(batch), |i| {
            let indices: Vec<usize> = (i * batch..((i + 1) * batch).min(total)).collect();
            let (images, labels) = split.batch(&indices);
            (classifier.model().features(images), labels)
        });
        Self {
            classifier,
            workers,
            batches,
            batch,
        }
    }

    /// Waits until the features are computed; after [`Self::new`] a GPU may still be computing them.
    pub fn wait(&self) {
        for (features, _) in &self.batches {
            features.fused.clone().sum().into_data();
        }
    }

    /// The share of images for which `walk` ends at their label.
    ///
    /// # Errors
    /// When `walk` does not suit the model.
    pub fn accuracy(&self, walk: &Walk) -> Result<Accuracy, WalkError> {
        Ok(share_of_right(&self.outcomes(walk)?))
    }

    /// The accuracy over the images of each class, in the order of [`Classifier::classes`].
    ///
    /// # Errors
    /// When `walk` does not suit the model.
    pub fn accuracy_per_class(&self, walk: &Walk) -> Result<Vec<Accuracy>, WalkError> {
        let outcomes = self.outcomes(walk)?;
        let of = |class| share_of_right(outcomes.iter().filter(|outcome| outcome.label == class));
        Ok((0..self.classifier.classes().len()).map(of).collect())
    }

    /// The label and the answer of each image, in the order of the split.
    ///
    /// # Errors
    /// When `walk` does not suit the model.
    pub fn outcomes(&self, walk: &Walk) -> Result<Vec<Outcome>, WalkError> {
        let model = self.classifier.model();
        self.outcomes_of(walk, |walk, features, first| {
            model.walk(features, walk, first)
        })
    }

    /// The accuracy when the denoiser is given the latent of another image at every step of `walk`. The accuracy that
    /// remains does not depend on the latents.
    ///
    /// # Errors
    /// When `walk` does not suit the model.
    pub fn accuracy_on_swapped_latents(&self, walk: &Walk) -> Result<Accuracy, WalkError> {
        let model = self.classifier.model();
        let outcomes = self.outcomes_of(walk, |walk, features, first| {
            model.walk_on_swapped_latents(features, walk, first)
        });
        Ok(share_of_right(&outcomes?))
    }

    /// The outcomes of all images. `z_1_of` walks a batch of images, given the walk, the features and the index of its
    /// first image.
    fn outcomes_of(
        &self,
        walk: &Walk,
        z_1_of: impl Fn(&Walk, &Features, usize) -> Result<Tensor<2>, WalkError> + Sync,
    ) -> Result<Vec<Outcome>, WalkError> {
        let model = self.classifier.model();
        let outcomes = self.workers.map(self.batches.len(), |i| {
            let (features, labels) = &self.batches[i];
            let of_vote = |vote: usize| {
                let walk = walk.with_seed(walk.seed.wrapping_add(vote as u64));
                let z_1 = z_1_of(&walk, features, i * self.batch)?;
                Ok(softmax(model.readout(features, z_1), 1))
            };
            let mut sum = of_vote(0)?;
            for vote in 1..self.classifier.votes() {
                sum = sum + of_vote(vote)?;
            }
            let predicted = on_host(sum.argmax(1).flatten(0, 1));
            let pairs = on_host(labels.clone()).into_iter().zip(predicted);
            let outcomes = pairs.map(|(label, predicted)| Outcome { label, predicted });
            Ok(outcomes.collect::<Vec<_>>())
        });
        let outcomes: Result<Vec<_>, WalkError> = outcomes.into_iter().collect();
        Ok(outcomes?.concat())
    }
}

/// The label of an image, and the class that its walks predict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The right class.
    pub label: usize,
    /// The class that was predicted.
    pub predicted: usize,
}

impl Outcome {
    /// Whether the prediction is right.
    pub fn is_right(&self) -> bool {
        self.label == self.predicted
    }
}

fn on_host(classes: Tensor<1, Int>) -> Vec<usize> {
    let classes = classes.into_data();
    classes.iter::<i64>().map(|class| class as usize).collect()
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

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use noprop_core::weights::ModelCard;
    use noprop_core::{Method, ModelConfig, NoProp, Normalization};

    use super::*;

    /// An untrained classifier of images of 8×8 pixels, with two votes.
    fn classifier() -> Classifier {
        let card = ModelCard {
            method: Method::default(),
            model: ModelConfig {
                input: [3, 8, 8],
                embed_dim: 8,
                ..Default::default()
            },
            normalization: Normalization {
                mean: vec![0.5],
                std: vec![0.25],
            },
            classes: (0..10).map(|i| i.to_string()).collect(),
            dataset: "noise".into(),
            blocks: None,
        };
        let model = NoProp::new(&card.method, &card.model, 1, &Device::flex()).unwrap();
        Classifier::new(model, card).unwrap().with_votes(2)
    }

    #[test]
    fn it_answers_as_the_classifier_does() {
        let classifier = classifier();
        for image in 0..4_u8 {
            // z_0 depends on the position of an image, so each image is the first of its split.
            let pixels: Vec<u8> = (0..64).map(|i| i * (image + 1)).collect();
            let split = Split::new([&pixels[..], &[0; 64]].concat(), vec![3, 7], [1, 8, 8], 10);
            let workers = Workers::new(1).unwrap();
            let evaluator = Evaluator::new(&classifier, &split.unwrap(), &workers).unwrap();
            let outcomes = evaluator.outcomes(&classifier.walk()).unwrap();
            let expected = classifier.classify(&pixels).unwrap().class;
            assert_eq!((outcomes[0].label, outcomes[0].predicted), (3, expected));

            let accuracy = evaluator.accuracy(&classifier.walk()).unwrap();
            let classes = evaluator.accuracy_per_class(&classifier.walk()).unwrap();
            assert_eq!(
                (accuracy.total, classes[3].total, classes[0].total),
                (2, 1, 0)
            );
            let correct = classes.iter().map(|class| class.correct).sum::<usize>();
            assert_eq!(accuracy.correct, correct);
        }
    }

    #[test]
    fn images_of_another_size_are_refused() {
        let classifier = classifier();
        let split = Split::new(vec![0; 3 * 64], vec![0], [3, 8, 8], 10).unwrap();
        let error = Evaluator::new(&classifier, &split, &Workers::new(1).unwrap()).err();
        let text = error.unwrap().to_string();
        assert!(text.contains("1×8×8") && text.contains("3×8×8"), "{text}");
    }
}
