//! The accuracy of a classifier on many images, for any number of walks. The backbone runs once.

use core::convert::Infallible;

use burn::tensor::{Int, Tensor};
use noprop_core::{Accuracy, Classifier, ViewFeatures, Walk, WalkError, Walks};
use noprop_data::{DeviceSplit, Split};

use crate::error::TrainError;
use crate::workers::Workers;

/// The largest number of images that go through the network together.
const BATCH: usize = 128;

/// The features and labels of images, from which walks can start again and again.
///
/// The answer for an image is the class with the largest probability that the classifier gives: the mean over
/// its views, and over as many walks as [`Classifier::votes`] says, from the seed of the walk that is asked for
/// and those after it.
pub struct Evaluator<'a> {
    classifier: &'a Classifier,
    workers: &'a Workers,
    batches: Vec<(ViewFeatures, Tensor<1, Int>)>,
    /// Images of each batch but the last.
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
            (classifier.view_features(images), labels)
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
        for (views, _) in &self.batches {
            for (_, features) in views.with_weights() {
                features.fused.clone().sum().into_data();
            }
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
        self.outcomes_of(&Walks::new(*walk, self.classifier.votes()))
    }

    /// The accuracy of these walks, whatever the classifier's walk and votes.
    ///
    /// # Errors
    /// When the walk does not suit the model.
    pub fn accuracy_of(&self, walks: &Walks) -> Result<Accuracy, WalkError> {
        Ok(share_of_right(&self.outcomes_of(walks)?))
    }

    /// The accuracy of the blocks `blocks` (from 0) of a NoProp-DT network together, at z = 0 and without a walk;
    /// `None` if the network has no such blocks.
    pub fn accuracy_of_blocks(&self, blocks: &[usize]) -> Option<Accuracy> {
        let classifier = self.classifier;
        let outcomes = self.outcomes_by(|features, _| {
            let probabilities = classifier.probabilities_of_blocks(features, blocks);
            probabilities.ok_or(())
        });
        Some(share_of_right(&outcomes.ok()?))
    }

    /// The accuracy without any walk: that of the estimate at z_0 = 0 and t = 0.
    pub fn accuracy_without_walk(&self) -> Accuracy {
        let classifier = self.classifier;
        let Ok(outcomes) = self.outcomes_by(|features, _| {
            Ok::<_, Infallible>(classifier.probabilities_without_walk(features))
        });
        share_of_right(&outcomes)
    }

    fn outcomes_of(&self, walks: &Walks) -> Result<Vec<Outcome>, WalkError> {
        self.outcomes_by(|features, first| self.classifier.probabilities_by(features, walks, first))
    }

    /// The outcomes where `probabilities_of` gives the class probabilities of the images with these features, of
    /// which the first has this index.
    fn outcomes_by<E: Send>(
        &self,
        probabilities_of: impl Fn(&ViewFeatures, usize) -> Result<Tensor<2>, E> + Sync,
    ) -> Result<Vec<Outcome>, E> {
        let outcomes = self.workers.map(self.batches.len(), |i| {
            let (features, labels) = &self.batches[i];
            let probabilities = probabilities_of(features, i * self.batch)?;
            let predicted = on_host(probabilities.argmax(1).flatten(0, 1));
            let pairs = on_host(labels.clone()).into_iter().zip(predicted);
            let outcomes = pairs.map(|(label, predicted)| Outcome { label, predicted });
            Ok(outcomes.collect::<Vec<_>>())
        });
        let outcomes: Result<Vec<_>, E> = outcomes.into_iter().collect();
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
    use noprop_core::{Method, ModelConfig, NoProp, Normalization, SeenLatents, Views};

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
            inference: None,
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
    fn it_answers_as_the_classifier_does_on_views_and_without_a_walk() {
        let workers = Workers::new(1).unwrap();
        let pixels: Vec<u8> = (0..3 * 64).map(|i| i as u8).collect();
        let split = Split::new(pixels.clone(), vec![0, 1, 2], [1, 8, 8], 10).unwrap();
        for views in Views::ALL {
            let classifier = classifier().with_views(views);
            let evaluator = Evaluator::new(&classifier, &split, &workers).unwrap();
            let features = classifier.view_features(classifier.images(&pixels).unwrap());
            let expected =
                |probabilities: Tensor<2>| on_host(probabilities.argmax(1).flatten(0, 1));
            let predicted = |outcomes: Vec<Outcome>| -> Vec<usize> {
                outcomes.iter().map(|outcome| outcome.predicted).collect()
            };
            let outcomes = evaluator.outcomes(&classifier.walk()).unwrap();
            let probabilities = classifier.probabilities(&features, 0).unwrap();
            assert_eq!(predicted(outcomes), expected(probabilities), "{views}");

            let without = expected(classifier.probabilities_without_walk(&features));
            let right = without.iter().enumerate().filter(|(i, class)| i == *class);
            assert_eq!(evaluator.accuracy_without_walk().correct, right.count());
            let walks = Walks {
                seen: SeenLatents::Zero,
                ..Walks::new(classifier.walk(), 1)
            };
            let zero = classifier.probabilities_by(&features, &walks, 0).unwrap();
            let right = expected(zero);
            let right = right.iter().enumerate().filter(|(i, class)| i == *class);
            let accuracy = evaluator.accuracy_of(&walks).unwrap();
            assert_eq!(accuracy.correct, right.count());
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
