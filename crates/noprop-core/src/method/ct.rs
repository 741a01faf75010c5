//! NoProp-CT, diffusion in continuous time. Its loss is (paper eq. 9):
//!
//! L = −log p̂_out(y|z_1) + KL(q(z_0|y) ‖ N(0,I)) + ½ η SNR′(t) ‖û_θ(z_t, x, t) − u_y‖²,
//! t ~ U[0,1], z_t ~ q(z_t|y), z_1 ~ q(z_1|y). ‖·‖² sums over the d coordinates.
//!
//! The settings [`Ct`] change the last term, the denoising term η w(t) ℓ(û_θ(z_t, x, t), y):
//!
//! | setting | formula | paper |
//! |---|---|---|
//! | `loss = "squared-error"` | ℓ = ½ ‖û − u_y‖² | yes |
//! | `loss = "cross-entropy"` | ℓ = −log p_θ(y \| z_t, x, t) ≥ ½ ‖û − u_y‖² for one-hot labels | |
//! | `weight = "snr"` | w = SNR′(t) = λ′ SNR | yes |
//! | the same with `max_snr = B` | w = λ′ min(SNR, B) | |
//! | `weight = "flat"` | w = λ′/(λ(1) − λ(0)), whose integral over t is 1 | |
//! | `skip = true` | logits = network + √ᾱ z·u_y/(1−ᾱ) − SNR ‖u_y‖²/2 | |
//! | `draws = K` | the mean over K pairs (t, ε) for each image, on one pass of the backbone | K = 1 |
//!
//! Where times are uniform in [0, 1], the integrals of all three weights over t depend on λ(0) and λ(1), not on
//! the course of λ between. A bound on SNR′ in place of SNR would not have this property: a learned schedule
//! could then lower the loss by bending γ alone.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::batch::{Batch, Loss, TimeSampling, cross_entropy, smoothed_cross_entropy};
use super::initialisation::Initialisation;
use super::{is_zero, one, one_draw};
use crate::embedding::ClassEmbedding;
use crate::error::ConfigError;
use crate::network::{DiffusionModel, Shared};
use crate::noise::initialised;
use crate::schedule::{NoiseSchedule, ScheduleConfig, SchedulePoint, kl_to_standard_normal};

/// The settings of NoProp-CT.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ct {
    /// The weight η of the denoising term; 1 in the paper.
    #[serde(default = "one")]
    pub eta: f64,
    /// The error ℓ of an estimate in the denoising term.
    #[serde(default)]
    pub loss: DenoisingLoss,
    /// The weight w(t) of the denoising term over time.
    #[serde(default)]
    pub weight: Weighting,
    /// The bound B on SNR in the weight λ′ min(SNR, B); the paper has none. Without a bound the times near
    /// t = 1, where z_t reveals the label, outweigh the early times, where the image matters, by orders of
    /// magnitude (compare Min-SNR, arXiv:2303.09556).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_snr: Option<f64>,
    /// The share s of label smoothing in a cross-entropy loss: s/m of the weight goes to each of the m
    /// classes. With `skip` the smoothed part is that of the network's own logits, since what z_t reveals
    /// about the label is exact.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub label_smoothing: f64,
    /// Whether the logits are the sum of the network's output and of the part that z_t decides, which is
    /// known in closed form ([`ClassEmbedding::latent_logits`]).
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub skip: bool,
    /// The number K of pairs (t, ε) for each image of a batch; 1 in the paper. They share one pass of the
    /// backbone, so more of them cost little.
    #[serde(default = "one_draw")]
    pub draws: usize,
    /// The distribution of the times of a batch.
    #[serde(default, skip_serializing_if = "TimeSampling::is_uniform")]
    pub time_sampling: TimeSampling,
    /// The noise schedule: γ(t), and with it ᾱ(t) and SNR(t).
    #[serde(default)]
    pub schedule: ScheduleConfig,
}

/// The error ℓ of an estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DenoisingLoss {
    /// Half the squared distance of û to the class embedding, ½ ‖û − u_y‖², as in the paper.
    #[default]
    SquaredError,
    /// The cross-entropy −log p_θ(y|z_t, x, t) of the label. It has the same optimum, bounds the squared error of
    /// one-hot labels from above, and its gradient does not vanish where the softmax saturates.
    CrossEntropy,
}

/// The weight w(t) of the denoising term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weighting {
    /// SNR′(t) as in the paper, or λ′ min(SNR, B) with a bound B.
    #[default]
    Snr,
    /// λ′/(λ(1) − λ(0)): every log signal-to-noise ratio λ counts equally.
    Flat,
}

impl DenoisingLoss {
    /// The error `[b, 1]` of class `logits` `[b, m]` for `labels` `[b]`. `own` are the logits without the part
    /// that z decides, `[b, m]`; label smoothing by the share `smoothing` is theirs.
    pub(super) fn of(
        self,
        logits: Tensor<2>,
        own: Tensor<2>,
        class_embedding: &ClassEmbedding,
        labels: Tensor<1, Int>,
        smoothing: f64,
    ) -> Tensor<2> {
        match self {
            Self::SquaredError => {
                let u_y = class_embedding.embed(labels);
                let difference = class_embedding.expectation(logits) - u_y;
                difference.square().sum_dim(1).mul_scalar(0.5)
            }
            Self::CrossEntropy => {
                smoothed_cross_entropy(log_softmax(logits, 1), own, labels, smoothing)
            }
        }
    }
}

impl Default for Ct {
    fn default() -> Self {
        Self {
            eta: 1.0,
            loss: DenoisingLoss::default(),
            weight: Weighting::default(),
            max_snr: None,
            label_smoothing: 0.0,
            skip: false,
            draws: 1,
            time_sampling: TimeSampling::Uniform,
            schedule: ScheduleConfig::default(),
        }
    }
}

impl Ct {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::positive("method.eta", self.eta)?;
        if let Some(limit) = self.max_snr {
            ConfigError::positive("method.max_snr", limit)?;
            if self.weight == Weighting::Flat {
                return Err(ConfigError::Combination(
                    "method.max_snr bounds the weight \"snr\", and method.weight is \"flat\"; leave one of \
                     them out"
                        .into(),
                ));
            }
        }
        check_smoothing(self.label_smoothing, self.loss)?;
        if !(1..=MOST_DRAWS).contains(&self.draws) {
            return Err(ConfigError::value(
                "method.draws",
                self.draws,
                "from 1 to 1024",
            ));
        }
        self.schedule.validate()
    }
}

/// The largest number of draws for each image.
const MOST_DRAWS: usize = 1024;

/// Checks that `smoothing` is a share, and zero for a loss without labels to smooth.
pub(super) fn check_smoothing(smoothing: f64, loss: DenoisingLoss) -> Result<(), ConfigError> {
    if !(0.0..1.0).contains(&smoothing) {
        let expected = "at least 0 and below 1";
        return Err(ConfigError::value(
            "method.label_smoothing",
            smoothing,
            expected,
        ));
    }
    if smoothing > 0.0 && loss == DenoisingLoss::SquaredError {
        return Err(ConfigError::Combination(
            "method.label_smoothing needs method.loss \"cross-entropy\"".into(),
        ));
    }
    Ok(())
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
            seed,
            device,
            ..
        } = start;
        initialised(device, seed, || Self {
            network: Shared::new(config, config.classes, device),
            schedule: settings.schedule.init(seed, device),
            output_head: start.output_head(settings.last_snr()),
            settings: settings.clone(),
        })
    }

    /// The denoising network.
    pub(super) fn model(&self) -> DiffusionModel<'_> {
        DiffusionModel {
            shared: &self.network,
            schedule: &self.schedule,
            skip: self.settings.skip,
        }
    }

    /// The loss of `batch`: that of eq. 9, with the denoising term that the settings ask for.
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
        // Each image has K rows in succession, on one pass of the backbone.
        let count = self.settings.draws;
        let features = self.network.features(images, &mut dropout).repeat(count);
        let labels_of_rows = repeat_labels(labels.clone(), count);
        let u_of_rows = class_embedding.embed(labels_of_rows.clone());

        let now = self.schedule.at(t.clone());
        let z_t = now.diffuse(u_of_rows, draws.noise);
        let own = self.network.output(&features, z_t.clone(), t);
        let logits = match self.settings.skip {
            true => own.clone() + class_embedding.latent_logits(z_t, &now),
            false => own.clone(),
        };
        let error = self.settings.loss.of(
            logits,
            own,
            class_embedding,
            labels_of_rows,
            self.settings.label_smoothing,
        );
        let weight = self.settings.weight_at(now, &ends);
        let weight = match inverse_density {
            Some(factor) => weight * factor,
            None => weight,
        };
        let denoise = (weight * error).mean().mul_scalar(self.settings.eta);

        let z_1 = ends.row(1).diffuse(u_y.clone(), draws.noise_1);
        let ce = cross_entropy(self.output_head.forward(z_1), labels);

        let kl = kl_to_standard_normal(u_y, ends.row(0).log_snr).mean();
        Loss::new(ce, kl, denoise)
    }
}

impl Ct {
    /// The weight w(t) `[n, 1]` at the noise process `now`; `ends` is the process at t = 0 and t = 1.
    fn weight_at(&self, now: SchedulePoint, ends: &SchedulePoint) -> Tensor<2> {
        match (self.weight, self.max_snr) {
            (Weighting::Snr, None) => now.snr_prime,
            (Weighting::Snr, Some(limit)) => now.log_snr_prime * now.log_snr.exp().clamp_max(limit),
            (Weighting::Flat, _) => {
                let range = ends.row(1).log_snr - ends.row(0).log_snr;
                now.log_snr_prime / range
            }
        }
    }

    /// The signal-to-noise ratio of z_1 before training.
    fn last_snr(&self) -> f64 {
        libm::exp(-self.schedule.gamma_0())
    }
}

/// The labels `[b]` with each of them repeated `count` times in succession, `[b·count]`.
fn repeat_labels(labels: Tensor<1, Int>, count: usize) -> Tensor<1, Int> {
    let b = labels.dims()[0];
    labels
        .unsqueeze_dim::<2>(1)
        .expand([b, count])
        .reshape([b * count])
}
