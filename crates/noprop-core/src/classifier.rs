//! A trained network that classifies pixels: weights, normalisation, class names, and how it is asked.

use burn::tensor::{Device, Tensor, TensorData};

use crate::accuracy::predicted_class;
use crate::error::{ClassifyError, WalkError, WeightsError};
use crate::inference::{Inference, Views};
use crate::model::NoProp;
use crate::network::Features;
use crate::normalization::Normalization;
use crate::sampler::Walk;
use crate::weights::{self, ModelCard};

/// A trained network with everything that is needed to classify images: its card, and the
/// way in which it is asked ([`Inference`]).
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
    inference: Inference,
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
    /// The class probabilities that each latent alone gives ([`NoProp::latent_beliefs`]), each `[m]`.
    pub probabilities: Vec<Vec<f32>>,
}

impl Classifier {
    /// Loads the bytes of a weights file to `device`. The classifier is asked as the card recommends, or by
    /// one default walk of its method where the card recommends nothing.
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
    /// When only some blocks of the model are trained, or the card recommends a walk that the model cannot
    /// make.
    pub fn new(model: NoProp, card: ModelCard) -> Result<Self, WeightsError> {
        card.check_complete()?;
        let inference = card.inference_or_usual();
        let sound = inference.check_recommended(&card.method);
        sound.map_err(WeightsError::Metadata)?;
        Ok(Self {
            inference,
            model,
            card,
        })
    }

    /// This classifier, asked in another way.
    ///
    /// # Errors
    /// When the walk does not suit the method of the model, or its temperature is out of range.
    pub fn with_inference(self, inference: Inference) -> Result<Self, WalkError> {
        inference.check(&self.card.method)?;
        let votes = inference.votes.max(1);
        let inference = Inference { votes, ..inference };
        Ok(Self { inference, ..self })
    }

    /// This classifier with another walk.
    ///
    /// # Errors
    /// When `walk` does not suit the method of the model, or its temperature is out of range.
    pub fn with_walk(self, walk: Walk) -> Result<Self, WalkError> {
        let inference = self.inference;
        self.with_inference(Inference { walk, ..inference })
    }

    /// This classifier with `votes` walks of each image (at least 1), whose mean probabilities decide. The
    /// walks have the seed of the classifier's walk and the seeds after it. A single walk from noise draws a
    /// class from p(y|x) rather than choosing the likeliest class. The features are computed once, so more
    /// walks cost little.
    pub fn with_votes(mut self, votes: usize) -> Self {
        self.inference.votes = votes.max(1);
        self
    }

    /// This classifier with these views of each image. Features and walks are computed for each view.
    pub fn with_views(mut self, views: Views) -> Self {
        self.inference.views = views;
        self
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

    /// The way in which the classifier is asked.
    pub fn inference(&self) -> Inference {
        self.inference
    }

    /// The walk from z_0 to z_1.
    pub fn walk(&self) -> Walk {
        self.inference.walk
    }

    /// The number of walks of each image, whose mean probabilities decide.
    pub fn votes(&self) -> usize {
        self.inference.votes
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

    /// Records the walk of one image, whose pixels are as for [`Self::classify`]. It is one walk of the image
    /// itself, whatever the votes and the views.
    ///
    /// # Errors
    /// When the number of pixels is not that of one image.
    pub fn record(&self, pixels: &[u8]) -> Result<RecordedWalk, ClassifyError> {
        let features = self.features(self.check_one(pixels)?)?;
        let (model, walk) = (&self.model, &self.inference.walk);
        let z_0 = model.initial_latents(walk, 0, 1);
        let mut states = vec![z_0.clone()];
        model.walk_from(&features, z_0, walk, 0, &mut |_, z| states.push(z.clone()))?;
        let latents = Tensor::cat(states, 0);
        let probabilities = model.latent_beliefs(&features, latents.clone(), walk);
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

    /// The features of n images from their pixels, one after the other, without other views.
    ///
    /// # Errors
    /// When the number of pixels is not that of one or more images.
    pub fn features(&self, pixels: &[u8]) -> Result<Features, ClassifyError> {
        Ok(self.model.features(self.images(pixels)?))
    }

    fn one_image(&self, pixels: &[u8]) -> Result<Tensor<2>, ClassifyError> {
        let images = self.images(self.check_one(pixels)?)?;
        Ok(self.probabilities(&self.view_features(images), 0)?)
    }

    /// `pixels` again, which must be one image.
    fn check_one<'a>(&self, pixels: &'a [u8]) -> Result<&'a [u8], ClassifyError> {
        let shape = self.image_shape();
        if pixels.len() != shape.iter().product::<usize>() {
            return Err(ClassifyError::Pixels {
                found: pixels.len(),
                shape,
            });
        }
        Ok(pixels)
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
pub(crate) mod tests;
