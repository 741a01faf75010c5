//! The class probabilities of a classifier: the mean over the views of an image and over several walks.

use core::convert::Infallible;

use burn::tensor::Tensor;
use burn::tensor::activation::softmax;

use crate::classifier::Classifier;
use crate::error::WalkError;
use crate::inference::{Inference, ignores_seed};
use crate::network::{Features, Process};
use crate::sampler::{SeenLatents, Walk};

/// The features of some images and of their other views.
#[derive(Debug, Clone)]
pub struct ViewFeatures {
    /// The weight and the features of each view. The first view is the image itself.
    views: Vec<(f64, Features)>,
}

/// Several walks of each image, whose mean class probabilities decide.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Walks {
    /// The first walk. The others have the seeds after its seed.
    pub walk: Walk,
    /// The number of walks, at least 1.
    pub votes: usize,
    /// The latents that the denoiser sees in every step.
    pub seen: SeenLatents,
}

impl Classifier {
    /// The features of the classifier's views of normalised images `[n, c, h, w]`.
    pub fn view_features(&self, images: Tensor<4>) -> ViewFeatures {
        let views = self.inference().views.of(images).into_iter();
        ViewFeatures {
            views: views
                .map(|(weight, view)| (weight, self.model().features(view)))
                .collect(),
        }
    }

    /// The class probabilities `[n, m]` of n images with these features, on the device: the mean over views
    /// and votes. `first` is the index of the first image; the index of an image decides its z_0.
    ///
    /// # Errors
    /// When the walk does not suit the model.
    pub fn probabilities(
        &self,
        features: &ViewFeatures,
        first: usize,
    ) -> Result<Tensor<2>, WalkError> {
        let Inference { walk, votes, .. } = self.inference();
        self.probabilities_by(features, &Walks::new(walk, votes), first)
    }

    /// The class probabilities `[n, m]` as [`Self::probabilities`] gives them, by other walks than the
    /// classifier's. Votes that cannot differ ([`ignores_seed`]) are walked once.
    ///
    /// # Errors
    /// When the walk does not suit the model.
    pub fn probabilities_by(
        &self,
        features: &ViewFeatures,
        walks: &Walks,
        first: usize,
    ) -> Result<Tensor<2>, WalkError> {
        let votes = walks.different_votes();
        features.mean(|features| {
            let of_vote = |vote: usize| {
                let seed = walks.walk.seed.wrapping_add(vote as u64);
                let walk = walks.walk.with_seed(seed);
                let z_1 = self
                    .model()
                    .walk_seeing(features, &walk, first, walks.seen)?;
                Ok(softmax(self.model().readout(features, z_1), 1))
            };
            let mut sum = of_vote(0)?;
            for vote in 1..votes {
                sum = sum + of_vote(vote)?;
            }
            Ok(match votes {
                1 => sum,
                votes => sum / votes as f64,
            })
        })
    }

    /// The class probabilities `[n, m]` of the estimate at z_0 = 0 and t = 0, the mean over the views. They
    /// need no walk: the network is evaluated once.
    pub fn probabilities_without_walk(&self, features: &ViewFeatures) -> Tensor<2> {
        let d = self.model().config().latent_dim();
        let of_view = |features: &Features| {
            let z_0 = Tensor::zeros([features.len(), d], &self.model().device());
            softmax(self.model().estimate(features, z_0, 0.0).logits, 1)
        };
        let Ok(mean) = features.mean(|features| Ok::<_, Infallible>(of_view(features)));
        mean
    }
}

impl Classifier {
    /// The class probabilities `[n, m]` that the blocks `blocks` (from 0) of a NoProp-DT network give together at
    /// z = 0, without a walk: softmax of the mean of their outputs, and the mean over the views. `None` if the
    /// network has no such blocks, or none is chosen.
    pub fn probabilities_of_blocks(
        &self,
        features: &ViewFeatures,
        blocks: &[usize],
    ) -> Option<Tensor<2>> {
        let Process::Discrete(model) = self.model().process() else {
            return None;
        };
        let d = self.model().config().latent_dim();
        let of_view = |features: &Features| {
            let z = Tensor::zeros([features.len(), d], &self.model().device());
            let outputs = blocks
                .iter()
                .map(|&block| model.own_logits(features, z.clone(), block));
            let sum = outputs.reduce(|sum, output| sum + output).ok_or(())?;
            Ok::<_, ()>(softmax(sum.div_scalar(blocks.len() as f64), 1))
        };
        features.mean(of_view).ok()
    }
}

impl ViewFeatures {
    /// The features of the images themselves.
    pub fn of_images(&self) -> &Features {
        &self.views[0].1
    }

    /// The weight and the features of each view.
    pub fn with_weights(&self) -> impl Iterator<Item = (f64, &Features)> {
        self.views
            .iter()
            .map(|(weight, features)| (*weight, features))
    }

    /// The weighted mean over the views of what `of_view` gives.
    fn mean<E>(&self, of_view: impl Fn(&Features) -> Result<Tensor<2>, E>) -> Result<Tensor<2>, E> {
        let (weight, features) = &self.views[0];
        let first = of_view(features)?;
        if self.views.len() == 1 {
            return Ok(first);
        }
        let mut mean = first.mul_scalar(*weight);
        for (weight, features) in &self.views[1..] {
            mean = mean + of_view(features)?.mul_scalar(*weight);
        }
        Ok(mean)
    }
}

impl Walks {
    /// `votes` walks, beginning with `walk`.
    pub fn new(walk: Walk, votes: usize) -> Self {
        Self {
            walk,
            votes,
            seen: SeenLatents::Own,
        }
    }

    /// The number of walks that can differ from each other.
    pub fn different_votes(&self) -> usize {
        match ignores_seed(&self.walk) {
            true => 1,
            false => self.votes.max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::classifier::tests::classifier;
    use crate::inference::Views;
    use crate::method::{Dt, Method};
    use crate::noise::{NoiseSource, Purpose};
    use crate::sampler::{ANCESTRAL, DDIM};

    /// Two normalised images of 8×8 pixels.
    fn images() -> Tensor<4> {
        let values = NoiseSource::new(4, Purpose::Sampling, 0).normal(2 * 3 * 64);
        Tensor::from_data(TensorData::new(values, [2, 3, 8, 8]), &Device::flex())
    }

    fn values(tensor: Tensor<2>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().collect()
    }

    #[test]
    fn views_are_averaged_with_their_weights() {
        let plain = classifier(Method::default());
        for views in Views::ALL {
            let classifier = plain.clone().with_views(views);
            let features = classifier.view_features(images());
            let found = values(classifier.probabilities(&features, 0).unwrap());
            let mut expected = vec![0.0; found.len()];
            for (weight, view) in views.of(images()) {
                let of_view = plain.probabilities(&plain.view_features(view), 0).unwrap();
                for (sum, p) in expected.iter_mut().zip(values(of_view)) {
                    *sum += weight as f32 * p;
                }
            }
            for (a, b) in found.iter().zip(&expected) {
                // A few roundings of probabilities.
                assert!((a - b).abs() < 1e-6, "{views}: {a} {b}");
            }
        }
    }

    #[test]
    fn walks_from_the_mean_are_equal_and_walked_once() {
        let walk = Walk {
            temperature: 0.0,
            ..Walk::new(DDIM, 5)
        };
        assert_eq!(Walks::new(walk, 16).different_votes(), 1);
        let classifier = classifier(Method::default());
        let features = classifier.view_features(images());
        let of = |walks: Walks| values(classifier.probabilities_by(&features, &walks, 0).unwrap());
        let one = of(Walks::new(walk, 1));
        assert_eq!(one, of(Walks::new(walk.with_seed(9), 16)));
        // Ancestral sampling draws noise in its steps, whatever the temperature.
        let random = Walk {
            sampler: ANCESTRAL,
            ..walk
        };
        assert_eq!(Walks::new(random, 16).different_votes(), 16);
        assert_ne!(
            of(Walks::new(random, 1)),
            of(Walks::new(random.with_seed(9), 1))
        );
    }

    #[test]
    fn what_the_denoiser_sees_decides() {
        let classifier = classifier(Method::default());
        let features = classifier.view_features(images());
        let of = |seen| {
            let walks = Walks {
                seen,
                ..Walks::new(Walk::new(DDIM, 5), 1)
            };
            values(classifier.probabilities_by(&features, &walks, 0).unwrap())
        };
        let own = of(SeenLatents::Own);
        let swapped = of(SeenLatents::OfAnotherImage);
        let zero = of(SeenLatents::Zero);
        assert!(own != swapped && own != zero && swapped != zero);
    }

    #[test]
    fn without_a_walk_the_estimate_at_the_start_decides() {
        let classifier = classifier(Method::default());
        let features = classifier.view_features(images());
        let z_0 = Tensor::zeros([2, 10], &Device::flex());
        let model = classifier.model();
        let estimate = model.estimate(features.of_images(), z_0, 0.0);
        let found = values(classifier.probabilities_without_walk(&features));
        assert_eq!(found, values(softmax(estimate.logits, 1)));
    }

    /// The softmax of the mean of the logits of two blocks at z = 0, on the host in f64.
    #[test]
    fn blocks_together_are_the_mean_of_their_logits() {
        let blocks = classifier(Method::Dt(Dt::default()));
        let features = blocks.view_features(images());
        let z = Tensor::zeros([2, 10], &Device::flex());
        let logits = [2, 7].map(|block| {
            let t = Tensor::zeros([1, 1], &Device::flex());
            let features = features.of_images();
            let estimate = blocks
                .model()
                .estimate_at_step(features, z.clone(), block, t);
            values(estimate.logits)
        });
        let found = blocks.probabilities_of_blocks(&features, &[2, 7]).unwrap();
        let found = values(found);
        for image in 0..2 {
            let weight = |class: usize| {
                let at = image * 10 + class;
                (0.5 * (f64::from(logits[0][at]) + f64::from(logits[1][at]))).exp()
            };
            let total: f64 = (0..10).map(weight).sum();
            for class in 0..10 {
                // f32 logits of order 1.
                let error = f64::from(found[image * 10 + class]) - weight(class) / total;
                assert!(error.abs() < 1e-6, "{error}");
            }
        }
        assert!(blocks.probabilities_of_blocks(&features, &[]).is_none());
        let shared = classifier(Method::default());
        let features = shared.view_features(images());
        assert!(shared.probabilities_of_blocks(&features, &[0]).is_none());
    }
}
