//! A walk in progress, as the steppers see it.

use burn::tensor::{Device, Tensor, TensorData};

use super::{SamplerKind, Sampling};
use crate::model::{Features, NoProp};
use crate::noise::{NoiseSource, Purpose};
use crate::schedule::SchedulePoint;

/// What every step needs: the model, the features, and the process at the times t_k.
pub(super) struct Walk<'a> {
    pub(super) model: &'a NoProp,
    pub(super) features: &'a Features,
    /// `[T + 1, 1]`.
    pub(super) times: Tensor<2>,
    /// Fields `[T + 1, 1]`.
    pub(super) grid: SchedulePoint,
    pub(super) steps: usize,
    /// One stream of ancestral noise per image.
    noise: Vec<NoiseSource>,
    device: Device,
    /// Whether the denoiser is given the latents of other images.
    pub(super) is_swapped: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        model: &'a NoProp,
        features: &'a Features,
        sampling: Sampling,
        first: usize,
    ) -> Self {
        let device = features.fused.device();
        let noise = if sampling.kind == SamplerKind::Ancestral {
            let stream =
                |i| NoiseSource::new(sampling.seed, Purpose::Ancestral, (first + i) as u64);
            (0..features.len()).map(stream).collect()
        } else {
            Vec::new()
        };
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

    /// Standard normal noise `[b, d]`, each image from its own stream.
    pub(super) fn draw(&mut self, dim: usize) -> Tensor<2> {
        let values: Vec<f32> = self
            .noise
            .iter_mut()
            .flat_map(|source| source.normal(dim))
            .collect();
        Tensor::from_data(
            TensorData::new(values, [self.noise.len(), dim]),
            &self.device,
        )
    }
}
