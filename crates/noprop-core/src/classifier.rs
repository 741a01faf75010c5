//! A trained network that classifies pixels: weights, normalisation, class names and a walk.

use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor, TensorData};

use crate::accuracy::predicted_class;
use crate::error::{ClassifyError, WalkError, WeightsError};
use crate::model::NoProp;
use crate::network::Features;
use crate::normalization::Normalization;
use crate::sampler::Walk;
use crate::weights::{self, ModelCard};

/// A trained network with everything that is needed to classify images: its card, a walk, and a number of votes.
///
/// ```
/// use burn::tensor::Device;
/// use noprop_core::Classifier;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let weights = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/mnist.safetensors");
/// let classifier = Classifier::load(std::fs::read(weights)?, &Device::flex())?;
/// let prediction = classifier.classify(&[0; 28 * 28])?;
/// println!("{}", classifier.classes()[prediction.class]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Classifier {
    model: NoProp,
    card: ModelCard,
    walk: Walk,
    votes: usize,
}

/// The answer for one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The likeliest class, a position in [`Classifier::classes`].
    pub class: usize,
    /// The probability of each class, `[m]`, read off z_1.
    pub probabilities: Vec<f32>,
}

/// The recorded walk of one image from z_0 at t = 0 to z_1 at t = 1. All lists have T + 1 entries.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedWalk {
    /// The times t_0 … t_T.
    pub times: Vec<f32>,
    /// The share of signal ᾱ in the variance of z at these times; empty if the method has no noise schedule.
    pub alpha_bar: Vec<f32>,
    /// The latents z at these times, each `[d]`.
    pub latents: Vec<Vec<f32>>,
    /// The class probabilities of the estimate û at each latent, each `[m]`.
    pub beliefs: Vec<Vec<f32>>,
    /// The class probabilities that the readout gives for each latent, each `[m]`.
    pub probabilities: Vec<Vec<f32>>,
}

impl Classifier {
    /// Loads the bytes of a weights file to `device`. The classifier walks by the default walk of its method.
    ///
    /// # Errors
    /// When the bytes are not weights of NoProp, are damaged, or lack trained blocks.
    pub fn load(bytes: Vec<u8>, device: &Device) -> Result<Self, WeightsError> {
        let (model, card) = weights::from_bytes(bytes, device)?;
        Self::new(model, card)
    }

    /// A classifier of the network `model` with its card. `model` must be off the autodiff device
    /// ([`burn::module::Module::valid`]).
    ///
    /// # Errors
    /// When only some blocks of the model are trained.
    pub fn new(model: NoProp, card: ModelCard) -> Result<Self, WeightsError> {
        card.check_complete()?;
        Ok(Self {
            walk: card.method.default_walk(),
            model,
            card,
            votes: 1,
        })
    }

    /// This classifier with another walk.
    ///
    /// # Errors
    /// When `walk` does not suit the method of the model.
    pub fn with_walk(self, walk: Walk) -> Result<Self, WalkError> {
        self.card.method.check_walk(&walk)?;
        Ok(Self { walk, ..self })
    }

    /// This classifier with `votes` walks of each image (at least 1), whose mean probabilities decide. The
    /// walks have the seed of the classifier's walk and the seeds after it. A single walk from noise draws a
    /// class from p(y|x) rather than choosing the likeliest class. The features are computed once, so more
    /// walks cost little.
    pub fn with_votes(self, votes: usize) -> Self {
        Self {
            votes: votes.max(1),
            ..self
        }
    }

    /// The network.
    pub fn model(&self) -> &NoProp {
        &self.model
    }

    /// The card of the weights file: method, architecture, normalisation, class names.
    pub fn card(&self) -> &ModelCard {
        &self.card
    }

    /// The names of the classes.
    pub fn classes(&self) -> &[String] {
        &self.card.classes
    }

    /// The normalisation of pixels.
    pub fn normalization(&self) -> &Normalization {
        &self.card.normalization
    }

    /// The walk from z_0 to z_1.
    pub fn walk(&self) -> Walk {
        self.walk
    }

    /// The number of walks of each image, whose mean probabilities decide.
    pub fn votes(&self) -> usize {
        self.votes
    }

    /// The shape of an image: channels, height, width. A model whose normalisation has one channel takes grey
    /// images and repeats them in all of its channels.
    pub fn image_shape(&self) -> [usize; 3] {
        let [_, height, width] = self.card.model.input;
        [self.card.normalization.channels(), height, width]
    }

    /// Classifies one image. Its pixels are `[channels, height, width]`, row-major, 0 … 255, of the shape of
    /// [`Self::image_shape`].
    ///
    /// # Errors
    /// When the number of pixels is not that of one image.
    pub fn classify(&self, pixels: &[u8]) -> Result<Prediction, ClassifyError> {
        let probabilities = self.one_image(pixels)?.into_data();
        Ok(Prediction::new(probabilities.iter::<f32>().collect()))
    }

    /// Classifies one image as [`Self::classify`] does, also in a browser, where a device can only be read
    /// asynchronously.
    ///
    /// # Errors
    /// When the number of pixels is not that of one image, or the device fails.
    pub async fn classify_async(&self, pixels: &[u8]) -> Result<Prediction, ClassifyError> {
        let data = self.one_image(pixels)?.into_data_async().await;
        let data = data.map_err(|error| ClassifyError::Device(error.to_string()))?;
        Ok(Prediction::new(data.iter::<f32>().collect()))
    }

    /// Records the walk of one image, whose pixels are as for [`Self::classify`]. It is one walk, whatever
    /// the number of votes.
    ///
    /// # Errors
    /// When the number of pixels is not that of one image.
    pub fn record(&self, pixels: &[u8]) -> Result<RecordedWalk, ClassifyError> {
        let features = self.one(pixels)?;
        let (model, walk) = (&self.model, &self.walk);
        let z_0 = model.initial_latents(walk, 0, 1);
        let mut states = vec![z_0.clone()];
        model.walk_from(&features, z_0, walk, 0, &mut |_, z| states.push(z.clone()))?;
        let count = states.len();
        let latents = Tensor::cat(states, 0);
        let probabilities = softmax(model.readout(&features.repeat(count), latents.clone()), 1);
        let beliefs = model.beliefs(&features, latents.clone(), walk);
        let times = model.times(walk);
        let alpha_bar = model.schedule_at(times.clone()).map(|at| at.alpha_bar);
        Ok(RecordedWalk {
            times: flat(times),
            alpha_bar: alpha_bar.map(flat).unwrap_or_default(),
            latents: rows(latents),
            beliefs: rows(beliefs),
            probabilities: rows(probabilities),
        })
    }

    /// The normalised images `[n, c, h, w]` of the pixels of n images, one after the other.
    ///
    /// # Errors
    /// When the number of pixels is not that of one or more images.
    pub fn images(&self, pixels: &[u8]) -> Result<Tensor<4>, ClassifyError> {
        let shape = self.image_shape();
        let size: usize = shape.iter().product();
        if pixels.is_empty() || !pixels.len().is_multiple_of(size) {
            return Err(ClassifyError::Pixels {
                found: pixels.len(),
                shape,
            });
        }
        let device = self.model.device();
        let [c, h, w] = shape;
        let values: Vec<f32> = pixels.iter().map(|&pixel| f32::from(pixel)).collect();
        let values = TensorData::new(values, [pixels.len() / size, c, h, w]);
        let [mean, std] = self.card.normalization.tensors(&device);
        let images = (Tensor::from_data(values, &device) - mean) / std;
        Ok(match self.card.model.input[0] {
            channels if channels == c => images,
            channels => images.repeat_dim(1, channels),
        })
    }

    /// The features of n images from their pixels, one after the other.
    ///
    /// # Errors
    /// When the number of pixels is not that of one or more images.
    pub fn features(&self, pixels: &[u8]) -> Result<Features, ClassifyError> {
        Ok(self.model.features(self.images(pixels)?))
    }

    /// The class probabilities `[n, m]` of n images with these features, on the device: the mean over the
    /// votes. `first` is the index of the first image; the index of an image decides its z_0.
    ///
    /// # Errors
    /// When the walk does not suit the model.
    pub fn probabilities(&self, features: &Features, first: usize) -> Result<Tensor<2>, WalkError> {
        let of_vote = |vote: usize| {
            let walk = self
                .walk
                .with_seed(self.walk.seed.wrapping_add(vote as u64));
            let z_1 = self.model.walk(features, &walk, first)?;
            Ok(softmax(self.model.readout(features, z_1), 1))
        };
        let mut sum = of_vote(0)?;
        for vote in 1..self.votes {
            sum = sum + of_vote(vote)?;
        }
        Ok(match self.votes {
            1 => sum,
            votes => sum / votes as f64,
        })
    }

    fn one_image(&self, pixels: &[u8]) -> Result<Tensor<2>, ClassifyError> {
        Ok(self.probabilities(&self.one(pixels)?, 0)?)
    }

    /// The features of `pixels`, which must be one image.
    fn one(&self, pixels: &[u8]) -> Result<Features, ClassifyError> {
        let shape = self.image_shape();
        if pixels.len() != shape.iter().product::<usize>() {
            return Err(ClassifyError::Pixels {
                found: pixels.len(),
                shape,
            });
        }
        self.features(pixels)
    }
}

impl Prediction {
    /// The prediction with these class probabilities `[m]`.
    fn new(probabilities: Vec<f32>) -> Self {
        Self {
            class: predicted_class(&probabilities),
            probabilities,
        }
    }
}

fn flat(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

fn rows(tensor: Tensor<2>) -> Vec<Vec<f32>> {
    let width = tensor.dims()[1];
    let values = flat(tensor);
    values.chunks(width).map(<[f32]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ModelConfig;
    use crate::method::{Dt, Method};
    use crate::sampler::{DDIM, EULER};

    fn card(method: Method) -> ModelCard {
        ModelCard {
            method,
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
            dataset: "dots".into(),
            blocks: None,
        }
    }

    fn classifier(method: Method) -> Classifier {
        let card = card(method);
        let model = NoProp::new(&card.method, &card.model, 1, &Device::flex()).unwrap();
        Classifier::new(model, card).unwrap()
    }

    #[test]
    fn a_wrong_number_of_pixels_is_an_error() {
        let classifier = classifier(Method::default());
        assert_eq!(classifier.image_shape(), [1, 8, 8]);
        for count in [0, 63, 65, 128] {
            let error = classifier.classify(&vec![0; count]).unwrap_err();
            let text = error.to_string();
            assert!(text.contains("64") && text.contains("1x8x8"), "{text}");
        }
    }

    #[test]
    fn grey_pixels_are_normalised_and_repeated() {
        let classifier = classifier(Method::default());
        let pixels: Vec<u8> = (0..64).map(|i| i * 4).collect();
        let images = classifier.images(&pixels).unwrap();
        assert_eq!(images.dims(), [1, 3, 8, 8]);
        let values = images.into_data().try_to_vec::<f32>().unwrap();
        for (k, value) in values.iter().enumerate() {
            let expected = (f32::from(pixels[k % 64]) / 255.0 - 0.5) / 0.25;
            // Two roundings on numbers below 3.
            assert!((value - expected).abs() < 1e-6, "{value} {expected}");
        }
    }

    #[test]
    fn votes_are_the_mean_of_walks_from_seeds_in_a_row() {
        let pixels = [7; 64];
        let walk = Walk::new(DDIM, 5);
        let of = |seed, votes| {
            let classifier = classifier(Method::default());
            let walk = walk.with_seed(seed);
            let classifier = classifier.with_walk(walk).unwrap().with_votes(votes);
            classifier.classify(&pixels).unwrap().probabilities
        };
        let (first, second, both) = (of(3, 1), of(4, 1), of(3, 2));
        assert_ne!(first, second);
        for ((a, b), mean) in first.iter().zip(&second).zip(&both) {
            // Two roundings of probabilities.
            assert!(((a + b) / 2.0 - mean).abs() < 1e-6);
        }
    }

    #[test]
    fn a_recorded_walk_ends_at_the_prediction() {
        for method in [Method::default(), Method::Dt(Dt::default())] {
            let classifier = classifier(method);
            let recorded = classifier.record(&[9; 64]).unwrap();
            let states = classifier.walk().steps + 1;
            for list in [
                recorded.latents.len(),
                recorded.beliefs.len(),
                recorded.probabilities.len(),
                recorded.times.len(),
                recorded.alpha_bar.len(),
            ] {
                assert_eq!(list, states);
            }
            let prediction = classifier.classify(&[9; 64]).unwrap();
            let last = &recorded.probabilities[states - 1];
            for (a, b) in last.iter().zip(&prediction.probabilities) {
                // One row or many rows of a product sum in another order.
                assert!((a - b).abs() < 1e-5, "{a} {b}");
            }
        }
    }

    #[test]
    fn what_cannot_walk_is_an_error() {
        let blocks = classifier(Method::Dt(Dt::default()));
        let error = blocks.clone().with_walk(Walk::new(EULER, 10)).unwrap_err();
        assert!(error.to_string().contains("ddim or ancestral"), "{error}");
        let error = blocks.with_walk(Walk::new(DDIM, 9)).unwrap_err();
        assert!(error.to_string().contains("T = 10"), "{error}");
        let mut incomplete = card(Method::Dt(Dt::default()));
        incomplete.blocks = Some("1-3".parse().unwrap());
        let model = NoProp::new(&incomplete.method, &incomplete.model, 1, &Device::flex()).unwrap();
        assert!(Classifier::new(model, incomplete).is_err());
    }
}
