//! The context of a walk: the network, features, times and noise that the steps of a sampler use.

use burn::tensor::{Device, Tensor, TensorData};

use super::Walk;
use crate::embedding::ClassEmbedding;
use crate::error::WalkError;
use crate::network::{Features, Process};
use crate::noise::{NoiseSource, ancestral_streams};
use crate::schedule::SchedulePoint;

/// The source of the noise that a sampler adds in its steps.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant)] // One value per walk; boxing would only obscure it.
pub enum StepNoise {
    /// A stream of random numbers for each image.
    Streams(Vec<NoiseSource>),
    /// The given noise of all steps, `[T, b, d]`.
    Given(Tensor<3>),
}

impl StepNoise {
    /// The streams of the images `first .. first + count`.
    pub fn streams(seed: u64, first: usize, count: usize) -> Self {
        Self::Streams(ancestral_streams(seed, first, count))
    }

    /// Draws the standard normal noise `[b, d]` of step `k` for latents `z` `[b, d]`.
    pub fn draw(&mut self, k: usize, z: &Tensor<2>) -> Tensor<2> {
        match self {
            Self::Given(noise) => noise.clone().narrow(0, k, 1).squeeze_dim(0),
            Self::Streams(streams) => {
                let [b, d] = z.dims();
                let values = streams.iter_mut().flat_map(|source| source.normal(d));
                let values = TensorData::new(values.collect::<Vec<f32>>(), [b, d]);
                Tensor::from_data(values, &z.device())
            }
        }
    }
}

/// The latents that the denoiser sees in every step of a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SeenLatents {
    /// The latents of the walk.
    #[default]
    Own,
    /// For each image the latent of the previous image of the batch; for the first image that of the last.
    OfAnotherImage,
    /// Zeros.
    Zero,
}

/// The context of a walk of a batch: the network with its process, the features, the times t_0 … t_T and the
/// noise.
pub struct WalkContext<'a> {
    walk: Walk,
    process: Process<'a>,
    class_embedding: &'a ClassEmbedding,
    features: &'a Features,
    /// The times t_0 … t_T, `[T + 1, 1]`.
    times: Tensor<2>,
    noise: StepNoise,
    /// The latents that the denoiser sees.
    seen: SeenLatents,
}

impl<'a> WalkContext<'a> {
    /// The context of `walk`, which must suit the process.
    pub(crate) fn new(
        walk: Walk,
        process: Process<'a>,
        class_embedding: &'a ClassEmbedding,
        features: &'a Features,
        noise: StepNoise,
    ) -> Self {
        Self {
            walk,
            process,
            class_embedding,
            features,
            times: walk.times(process, &features.fused.device()),
            noise,
            seen: SeenLatents::Own,
        }
    }

    /// This context with a denoiser that sees these latents.
    pub(crate) fn seeing(self, seen: SeenLatents) -> Self {
        Self { seen, ..self }
    }

    /// Walks from `z` = z_0 `[b, d]`, and calls `observe(k, z)` after each step k = 1 … T.
    pub(crate) fn run(
        &self,
        mut z: Tensor<2>,
        observe: &mut dyn FnMut(usize, &Tensor<2>),
    ) -> Result<Tensor<2>, WalkError> {
        let sampler = self.walk.sampler;
        let Some(mut stepper) = (sampler.start)(self) else {
            return Err(WalkError::Start(sampler.name));
        };
        for k in 0..self.walk.steps {
            z = stepper.step(k, z);
            observe(k + 1, &z);
        }
        Ok(z)
    }

    /// The number of steps T.
    pub fn steps(&self) -> usize {
        self.walk.steps
    }

    /// The times t_0 … t_T, `[T + 1, 1]`.
    pub fn times(&self) -> Tensor<2> {
        self.times.clone()
    }

    /// The device that computes.
    pub fn device(&self) -> Device {
        self.features.fused.device()
    }

    /// The process of the network.
    pub fn process(&self) -> Process<'a> {
        self.process
    }

    /// The features of the images.
    pub fn features(&self) -> &'a Features {
        self.features
    }

    /// The class embeddings W_Embed.
    pub fn class_embedding(&self) -> &'a ClassEmbedding {
        self.class_embedding
    }

    /// The noise of the images of the walk.
    pub fn noise(&self) -> StepNoise {
        self.noise.clone()
    }

    /// The estimate û `[b, d]` at latents `z` `[b, d]` at the beginning of step `k`, from block k of a
    /// network with blocks or from the denoiser at t_k.
    pub fn u_hat(&self, k: usize, z: Tensor<2>) -> Tensor<2> {
        self.u_hat_at(k, z, self.times.clone().narrow(0, k, 1))
    }

    /// The estimate û `[b, d]` at latents `z` `[b, d]` and time `t` `[1, 1]`, from block `k` of a network
    /// with blocks or from the denoiser at `t`.
    pub fn u_hat_at(&self, k: usize, z: Tensor<2>, t: Tensor<2>) -> Tensor<2> {
        let z = self.seen(z);
        let estimate = self
            .process
            .estimate(self.class_embedding, self.features, z, k, t);
        estimate.u_hat
    }

    /// The noise process at t_0 … t_T, with every field `[T + 1, 1]`; `None` for processes without diffusion.
    pub fn diffusion(&self) -> Option<SchedulePoint> {
        match self.process {
            Process::Diffusion(model) => Some(model.schedule.at(self.times.clone())),
            Process::Discrete(model) => Some(model.schedule.at(self.times.clone())),
            Process::Flow(..) | Process::Gated(..) | Process::Direct(_) => None,
        }
    }

    /// The latents `[b, d]` that the denoiser sees for the latents `z` `[b, d]`: `z` itself, unless
    /// [`SeenLatents`] says otherwise.
    pub fn seen(&self, z: Tensor<2>) -> Tensor<2> {
        let count = z.dims()[0];
        match self.seen {
            SeenLatents::OfAnotherImage if count > 1 => {
                let last = z.clone().narrow(0, count - 1, 1);
                Tensor::cat(vec![last, z.narrow(0, 0, count - 1)], 0)
            }
            SeenLatents::Own | SeenLatents::OfAnotherImage => z,
            SeenLatents::Zero => z.zeros_like(),
        }
    }
}
