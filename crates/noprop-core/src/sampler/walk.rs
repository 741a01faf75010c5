//! A walk in progress, as the steppers see it.

use burn::tensor::{Device, Tensor, TensorData};

use super::{SamplerKind, Sampling};
use crate::model::{Features, NoProp};
use crate::noise::{NoiseSource, ancestral_streams};
use crate::schedule::SchedulePoint;

/// Where ancestral noise comes from.
pub(super) enum StepNoise {
    /// One stream per image.
    Streams(Vec<NoiseSource>),
    /// That of all steps, `[T, b, d]`.
    Given(Box<Tensor<3>>),
}

impl StepNoise {
    /// That of the images `first .. first + count`.
    pub(super) fn of(sampling: Sampling, first: usize, count: usize) -> Self {
        Self::Streams(match sampling.kind {
            SamplerKind::Ancestral => ancestral_streams(sampling.seed, first, count),
            _ => Vec::new(),
        })
    }
}

/// What every step needs: the model, the features, and the process at the times t_k.
pub(super) struct Walk<'a> {
    pub(super) model: &'a NoProp,
    pub(super) features: &'a Features,
    /// `[T + 1, 1]`.
    pub(super) times: Tensor<2>,
    /// Fields `[T + 1, 1]`.
    pub(super) grid: SchedulePoint,
    pub(super) steps: usize,
    noise: StepNoise,
    device: Device,
    /// Whether the denoiser is given the latents of other images.
    pub(super) is_swapped: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        model: &'a NoProp,
        features: &'a Features,
        sampling: Sampling,
        noise: StepNoise,
    ) -> Self {
        let device = features.fused.device();
        let times = sampling
            .kind
            .times(&model.schedule, sampling.steps, &device);
        Self {
            model,
            features,
            grid: model.schedule.at(times.clone()),
            times,
            steps: sampling.steps,
            noise,
            device,
            is_swapped: false,
        }
    }

    /// û(z, t_k), `[b, d]`; in NoProp-DT that of the block which makes step k.
    pub(super) fn u_hat(&self, z: Tensor<2>, k: usize) -> Tensor<2> {
        let z = self.seen(z);
        if !self.model.blocks.is_empty() {
            return self.model.denoise_block(self.features, k, z).u_hat;
        }
        let t = Self::at(&self.times, k);
        self.model.denoise(self.features, z, t).u_hat
    }

    /// What the denoiser is given for the latents `z` `[b, d]`.
    pub(super) fn seen(&self, z: Tensor<2>) -> Tensor<2> {
        let count = z.dims()[0];
        if !self.is_swapped || count < 2 {
            return z;
        }
        let last = z.clone().narrow(0, count - 1, 1);
        Tensor::cat(vec![last, z.narrow(0, 0, count - 1)], 0)
    }

    /// Entry k of a field of the grid, `[1, 1]`.
    pub(super) fn at(field: &Tensor<2>, k: usize) -> Tensor<2> {
        field.clone().narrow(0, k, 1)
    }

    /// Standard normal noise `[b, dim]` of the step from t_k.
    pub(super) fn draw(&mut self, k: usize, dim: usize) -> Tensor<2> {
        match &mut self.noise {
            StepNoise::Given(noise) => (**noise).clone().narrow(0, k, 1).squeeze_dim(0),
            StepNoise::Streams(streams) => {
                let values: Vec<f32> = streams
                    .iter_mut()
                    .flat_map(|source| source.normal(dim))
                    .collect();
                Tensor::from_data(TensorData::new(values, [streams.len(), dim]), &self.device)
            }
        }
    }
}
