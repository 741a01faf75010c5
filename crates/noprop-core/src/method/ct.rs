//! NoProp-CT, diffusion in continuous time. Its loss is (paper eq. 9):
//!
//! L = −log p̂_out(y|z_1) + KL(q(z_0|y) ‖ N(0,I)) + ½ η SNR′(t) ‖û_θ(z_t, x, t) − u_y‖²,
//! t ~ U[0,1], z_t ~ q(z_t|y), z_1 ~ q(z_1|y). ‖·‖² sums over the d coordinates.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::batch::{Batch, Loss, TimeSampling, cross_entropy};
use super::{Initialisation, one};
use crate::embedding::ClassEmbedding;
use crate::error::ConfigError;
use crate::network::{Shared, inner_product_head};
use crate::noise::initialised;
use crate::schedule::{NoiseSchedule, ScheduleConfig, kl_to_standard_normal};

/// The settings of NoProp-CT.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ct {
    /// The weight η of the denoising term; 1 in the paper.
    #[serde(default = "one")]
    pub eta: f64,
    /// The limit of the weight SNR′(t) in the denoising term; the paper has none. Without a limit the times
    /// near t = 1, where z_t reveals the label, outweigh the early times, where the image matters, by orders
    /// of magnitude (compare Min-SNR, arXiv:2303.09556).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_weight: Option<f64>,
    /// The distribution of the times of a batch.
    #[serde(default, skip_serializing_if = "TimeSampling::is_uniform")]
    pub time_sampling: TimeSampling,
    /// The noise schedule: γ(t), and with it ᾱ(t) and SNR(t).
    #[serde(default)]
    pub schedule: ScheduleConfig,
}

impl Default for Ct {
    fn default() -> Self {
        Self {
            eta: 1.0,
            max_weight: None,
            time_sampling: TimeSampling::Uniform,
            schedule: ScheduleConfig::default(),
        }
    }
}

impl Ct {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::positive("method.eta", self.eta)?;
        if let Some(limit) = self.max_weight {
            ConfigError::positive("method.max_weight", limit)?;
        }
        self.schedule.validate()
    }
}

/// The parts of a NoProp-CT network.
#[derive(Module, Debug)]
pub struct CtParts {
    /// The backbone and the denoiser.
    pub network: Shared,
    /// The noise schedule γ(t).
    pub schedule: NoiseSchedule,
    /// The output head: the linear layer of p̂_out on z_1.
    pub output_head: Linear,
    #[module(skip)]
    settings: Ct,
}

impl CtParts {
    pub(super) fn new(settings: &Ct, start: Initialisation<'_>) -> Self {
        let Initialisation {
            config,
            embeddings,
            seed,
            device,
        } = start;
        initialised(device, seed, || Self {
            network: Shared::new(config, config.classes, device),
            schedule: settings.schedule.init(seed, device),
            output_head: inner_product_head(embeddings, config.classes, device),
            settings: settings.clone(),
        })
    }

    /// The loss of eq. 9 for `batch`.
    pub(super) fn loss(&self, class_embedding: &ClassEmbedding, batch: Batch) -> Loss {
        let Batch {
            images,
            labels,
            draws,
            mut dropout,
            ..
        } = batch;
        let device = images.device();
        let u_y = class_embedding.embed(labels.clone());
        // The two ends of the process in one evaluation: row 0 is t = 0, row 1 is t = 1.
        let ends = TensorData::new(vec![0_f32, 1.0], [2, 1]);
        let ends = self.schedule.at(Tensor::from_data(ends, &device));

        let (t, inverse_density) = match self.settings.time_sampling {
            TimeSampling::Importance => {
                let (t, rate) = self.schedule.times_at_log_snr(draws.t);
                // The distribution of the times is not to be trained, so neither tensor has a gradient.
                (t.detach(), Some(rate.detach()))
            }
            _ => (draws.t, None),
        };
        let now = self.schedule.at(t.clone());
        let z_t = now.diffuse(u_y.clone(), draws.noise);
        let features = self.network.features(images, &mut dropout);
        let estimate = class_embedding.estimate(self.network.output(&features, z_t, t));
        let error = (estimate.u_hat - u_y.clone()).square().sum_dim(1);
        let weight = match self.settings.max_weight {
            Some(limit) => now.snr_prime.clamp_max(limit),
            None => now.snr_prime,
        };
        let weight = match inverse_density {
            Some(factor) => weight * factor,
            None => weight,
        };
        let denoise = (weight * error).mean().mul_scalar(0.5 * self.settings.eta);

        let z_1 = ends.row(1).diffuse(u_y.clone(), draws.noise_1);
        let ce = cross_entropy(self.output_head.forward(z_1), labels);

        let kl = kl_to_standard_normal(u_y, ends.row(0).log_snr).mean();
        Loss::new(ce, kl, denoise)
    }
}
