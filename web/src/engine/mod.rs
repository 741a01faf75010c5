//! The engine: the model behind the page. It answers the requests of `noprop-protocol` and uses nothing of the
//! browser.
//!
//! The tensors of an answer are read from the device together ([`JoinedRead`]). With the fused solver there
//! are two reads, first the features and then the result of the solver, since the solver has a device of its
//! own.

mod accuracy;
mod check;
mod field;
#[cfg(feature = "gpu")]
mod fused;
mod joined_read;
mod self_test;
mod walk;

use burn::tensor::Device;
use noprop_core::schedule::even_times;
use noprop_core::{Classifier, Features, NoProp, ProcessKind, Sampler, ViewFeatures, Walk};

pub use accuracy::AccuracyRun;
pub use field::Plane;
pub use self_test::self_test;

use joined_read::JoinedRead;
use noprop_protocol::{self as protocol, Backend, Recommended};

/// A failure as a sentence for the user.
pub type Failure = String;

/// A classifier on a device, with the fused solver where one was opened.
pub struct Engine {
    backend: Backend,
    classifier: Classifier,
    device: Device,
    /// The fused solver, if it was opened.
    #[cfg(feature = "gpu")]
    fused: Option<fused::Fused>,
    /// The pixels and features of the last image. Most requests change the walk, not the image.
    last: Option<(Vec<u8>, Features)>,
}

/// The description of the model for [`noprop_protocol::Ready`].
pub struct Description {
    /// The class embeddings `[m, d]`.
    pub embeddings: Vec<f32>,
    /// Whether the class embeddings are the unit vectors.
    pub one_hot: bool,
    /// The latent dimension d.
    pub latent_dim: usize,
    /// The number of parameters.
    pub parameters: usize,
    /// λ = log SNR at the 101 times 0, 0.01, …, 1; empty where the method has no noise schedule.
    pub log_snr: Vec<f32>,
    /// Whether the walks of the model go along t rather than λ, as those of flow matching.
    pub is_flow: bool,
    /// The samplers that serve the model.
    pub samplers: Vec<Sampler>,
    /// The only number of steps T in which the model walks, one step for each block; `None` if the model walks in any.
    pub steps: Option<u32>,
    /// The walk, votes and views that the weights recommend, if they recommend any.
    pub recommended: Option<Recommended>,
}

impl Engine {
    /// An engine for the model in the bytes of a weights file.
    ///
    /// # Errors
    /// When the bytes are not weights of NoProp, are damaged, or lack trained blocks.
    pub fn new(bytes: Vec<u8>, backend: Backend, device: Device) -> Result<Self, Failure> {
        let classifier = Classifier::load(bytes, &device).map_err(|e| e.to_string())?;
        Ok(Self {
            backend,
            classifier,
            device,
            #[cfg(feature = "gpu")]
            fused: None,
            last: None,
        })
    }

    /// Opens the fused solver, which from then on makes the walks that it serves.
    ///
    /// # Errors
    /// When the fused solver cannot be opened; the engine then goes on walking by tensor operations.
    #[cfg(feature = "gpu")]
    pub async fn fuse(&mut self, bytes: Vec<u8>) -> Result<(), Failure> {
        self.fused = Some(fused::Fused::open(bytes).await?);
        Ok(())
    }

    /// The backend that computes.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// The names of the classes.
    pub fn classes(&self) -> &[String] {
        self.classifier.classes()
    }

    /// The shape of an image: channels, height, width. It has one channel for a model that repeats grey images in
    /// three channels.
    pub fn shape(&self) -> [usize; 3] {
        self.classifier.image_shape()
    }

    fn model(&self) -> &NoProp {
        self.classifier.model()
    }

    /// The number of values of an image.
    fn image_size(&self) -> usize {
        self.shape().iter().product()
    }

    /// Describes the model to the page.
    ///
    /// # Errors
    /// When the device fails.
    pub async fn describe(&self) -> Result<Description, Failure> {
        let model = self.model();
        let embeddings = model.class_embedding.weight.val();
        let [m, d] = embeddings.dims();
        let times = even_times(100, &self.device);
        let log_snr = model.schedule_at(times).map(|at| at.log_snr);
        let mut joined = JoinedRead::default();
        joined.add(embeddings);
        joined.add_if_any(log_snr);
        let [embeddings, log_snr] = joined.read().await?;
        let unit = |i: usize, j: usize| f32::from(u8::from(i == j));
        let one_hot = m == d && (0..m * d).all(|k| embeddings[k] == unit(k / d, k % d));
        Ok(Description {
            embeddings,
            one_hot,
            latent_dim: d,
            parameters: burn::module::Module::num_params(model),
            log_snr,
            is_flow: model.method().process() == ProcessKind::Flow,
            samplers: Sampler::serving(model.method().process()).collect(),
            steps: model.method().blocks().map(|steps| steps as u32),
            recommended: self
                .classifier
                .card()
                .inference
                .map(|inference| Recommended {
                    walk: protocol::Walk {
                        sampler: inference.walk.sampler,
                        steps: inference.walk.steps as u32,
                        seed: inference.walk.seed,
                        temperature: inference.walk.temperature,
                    },
                    votes: inference.votes as u32,
                    views: inference.views,
                }),
        })
    }

    /// The features of `pixels`, one image or several `[n, c, h, w]`.
    fn features(&self, pixels: &[u8]) -> Result<Features, Failure> {
        self.classifier.features(pixels).map_err(|e| e.to_string())
    }

    /// The features of the recommended views of several images `[n, c, h, w]`.
    fn view_features(&self, pixels: &[u8]) -> Result<ViewFeatures, Failure> {
        let images = self.classifier.images(pixels).map_err(|e| e.to_string())?;
        Ok(self.classifier.view_features(images))
    }

    /// The features of one image `[c, h, w]`. They are remembered for the next call with the same pixels.
    fn features_of(&mut self, pixels: &[u8]) -> Result<Features, Failure> {
        if pixels.len() != self.image_size() {
            let [channels, height, width] = self.shape();
            return Err(format!(
                "an image has {channels}×{height}×{width} = {} numbers, {} were given",
                self.image_size(),
                pixels.len()
            ));
        }
        if let Some((last, features)) = &self.last
            && last == pixels
        {
            return Ok(features.clone());
        }
        let features = self.features(pixels)?;
        self.last = Some((pixels.to_vec(), features.clone()));
        Ok(features)
    }
}

/// The walk that a request asks for, as a walk of `noprop-core`.
fn requested(walk: &protocol::Walk) -> Walk {
    Walk {
        sampler: walk.sampler,
        steps: walk.steps.max(1) as usize,
        seed: walk.seed,
        temperature: walk.temperature,
    }
}
