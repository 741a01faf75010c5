//! The model behind the page: requests in, answers out, no browser in sight.
//!
//! Every answer reads from the device once: its parts are joined before. The fused solver reads
//! twice, the features and then its own result, since it has a device of its own.

mod accuracy;
mod belief;
mod check;
mod field;
#[cfg(feature = "gpu")]
mod fused;
mod parts;
mod self_test;
mod trace;
mod walked;

use burn::tensor::{Device, Tensor};
use noprop_core::sampler::Sampling;
use noprop_core::schedule::{NoiseSchedule, even_times};
use noprop_core::weights::{self, ModelCard};
use noprop_core::{Features, NoProp, SamplerKind};
use noprop_data::{DeviceSplit, Normalization, Split};

pub use accuracy::AccuracyRun;
pub use field::Plane;
pub use self_test::self_test;

use noprop_protocol::{Backend, Walk};
use parts::Parts;

/// Sentence for people.
pub type Failure = String;

/// A model on a device.
pub struct Engine {
    backend: Backend,
    model: NoProp,
    card: ModelCard,
    normalization: Normalization,
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
    pub samplers: Vec<SamplerKind>,
    /// T, where it walks in that many steps only.
    pub steps: Option<u32>,
}

impl Engine {
    /// The model in the bytes of a weights file.
    ///
    /// # Errors
    /// When they are not weights of ours, or lack blocks.
    pub fn new(bytes: Vec<u8>, backend: Backend, device: Device) -> Result<Self, Failure> {
        let (model, card) = weights::from_bytes(bytes, &device).map_err(|e| e.to_string())?;
        card.check_complete().map_err(|e| e.to_string())?;
        let normalization = Normalization {
            mean: card.mean.clone(),
            std: card.std.clone(),
        };
        Ok(Self {
            backend,
            model,
            card,
            normalization,
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
        &self.card.classes
    }

    /// Shape of an image: channels, height, width. Grey images stay grey for a model of three channels.
    pub fn shape(&self) -> [usize; 3] {
        let [_, height, width] = self.card.model.input;
        [self.card.mean.len(), height, width]
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
        let embeddings = self.model.class_embedding.weight.val();
        let [m, d] = embeddings.dims();
        let log_snr = self
            .model
            .schedule
            .at(even_times(100, &self.device))
            .log_snr;
        let mut parts = Parts::default();
        parts.add(embeddings);
        parts.add(log_snr);
        let [embeddings, log_snr] = parts.read().await?;
        let unit = |i: usize, j: usize| f32::from(u8::from(i == j));
        let one_hot = m == d && (0..m * d).all(|k| embeddings[k] == unit(k / d, k % d));
        Ok(Description {
            embeddings,
            one_hot,
            latent_dim: d,
            parameters: burn::module::Module::num_params(&self.model),
            log_snr,
            is_flow: matches!(self.model.schedule, NoiseSchedule::Flow(_)),
            samplers: self.samplers(),
            steps: self.model.config().blocks().map(|steps| steps as u32),
        })
    }

    /// The samplers that walk the model.
    fn samplers(&self) -> Vec<SamplerKind> {
        let config = self.model.config();
        let walks = |kind: &SamplerKind| kind.check(config).is_ok();
        SamplerKind::ALL.into_iter().filter(walks).collect()
    }

    /// Features of `pixels`, one image or several `[n, c, h, w]`.
    fn features(&self, pixels: &[u8]) -> Result<Features, Failure> {
        let n = pixels.len() / self.image_size();
        let split =
            Split::new(pixels.to_vec(), vec![0; n], self.shape(), 1).map_err(|e| e.to_string())?;
        let channels = self.card.model.input[0];
        let split = DeviceSplit::new(&split, &self.normalization, channels, &self.device);
        let all: Vec<usize> = (0..n).collect();
        Ok(self.model.features(split.batch(&all).0))
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

    /// z_0 of images `first .. first + count`, scaled by the walk's temperature.
    fn initial(&self, walk: &Walk, first: usize, count: usize) -> Tensor<2> {
        sampling(walk)
            .initial(&self.model, first, count)
            .mul_scalar(walk.temperature)
    }
}

fn sampling(walk: &Walk) -> Sampling {
    Sampling {
        kind: walk.sampler,
        steps: walk.steps.max(1) as usize,
        seed: walk.seed,
    }
}
