//! The model behind the page: requests in, answers out, no browser in sight.
//!
//! Every answer reads from the device once: its parts are joined before. The fused solver reads
//! twice, the features and then its own result, since it has a device of its own.

mod accuracy;
mod check;
mod device_walk;
mod field;
#[cfg(feature = "gpu")]
mod fused;
mod image_walk;
mod parts;
mod self_test;

use burn::tensor::{Device, Tensor};
use noprop_core::schedule::even_times;
use noprop_core::{Classifier, Features, NoProp, ProcessKind, Sampler, Walk};

pub use accuracy::AccuracyRun;
pub use field::Plane;
pub use self_test::self_test;

use noprop_protocol::{self as protocol, Backend};
use parts::Parts;

/// Sentence for people.
pub type Failure = String;

/// A model on a device.
pub struct Engine {
    backend: Backend,
    classifier: Classifier,
    device: Device,
    /// Whole walks in one dispatch, where the device can.
    #[cfg(feature = "gpu")]
    fused: Option<fused::Fused>,
    /// Features of the last image, by its pixels: dragging a slider changes the walk, not the image.
    last: Option<(Vec<u8>, Features)>,
}

/// What [`noprop_protocol::Ready`] says of the model.
pub struct Description {
    /// Class embeddings `[m, d]`.
    pub embeddings: Vec<f32>,
    /// Whether they are the unit vectors.
    pub one_hot: bool,
    /// d.
    pub latent_dim: usize,
    /// Number of parameters.
    pub parameters: usize,
    /// λ at 101 times.
    pub log_snr: Vec<f32>,
    /// Whether it is flow matching's, whose walks go along t rather than λ.
    pub is_flow: bool,
    /// The samplers that walk it.
    pub samplers: Vec<Sampler>,
    /// T, where it walks in that many steps only.
    pub steps: Option<u32>,
}

impl Engine {
    /// The model in the bytes of a weights file.
    ///
    /// # Errors
    /// When they are not weights of ours, or lack blocks.
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

    /// Opens the fused solver, which then does the walks that it can.
    ///
    /// # Errors
    /// When the adapter cannot do it; the engine walks by tensor operations then.
    #[cfg(feature = "gpu")]
    pub async fn fuse(&mut self, bytes: Vec<u8>) -> Result<(), Failure> {
        self.fused = Some(fused::Fused::open(bytes).await?);
        Ok(())
    }

    /// What computes.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Names of the classes.
    pub fn classes(&self) -> &[String] {
        self.classifier.classes()
    }

    /// Shape of an image: channels, height, width. Grey images stay grey for a model of three channels.
    pub fn shape(&self) -> [usize; 3] {
        self.classifier.image_shape()
    }

    fn model(&self) -> &NoProp {
        self.classifier.model()
    }

    /// Numbers of an image.
    fn image_size(&self) -> usize {
        self.shape().iter().product()
    }

    /// What the page shows of the model.
    ///
    /// # Errors
    /// When the device fails.
    pub async fn describe(&self) -> Result<Description, Failure> {
        let model = self.model();
        let embeddings = model.class_embedding.weight.val();
        let [m, d] = embeddings.dims();
        let times = even_times(100, &self.device);
        let log_snr = model.schedule_at(times).map(|at| at.log_snr);
        let mut parts = Parts::default();
        parts.add(embeddings);
        parts.add_if_any(log_snr);
        let [embeddings, log_snr] = parts.read().await?;
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
        })
    }

    /// Features of `pixels`, one image or several `[n, c, h, w]`.
    fn features(&self, pixels: &[u8]) -> Result<Features, Failure> {
        self.classifier.features(pixels).map_err(|e| e.to_string())
    }

    /// Features of one image, from memory if it is the last one.
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

/// The walk that a request asks for.
fn asked(walk: &protocol::Walk) -> Walk {
    Walk {
        sampler: walk.sampler,
        steps: walk.steps.max(1) as usize,
        seed: walk.seed,
        temperature: walk.temperature,
    }
}
