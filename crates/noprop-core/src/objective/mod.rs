//! What is minimised. A new objective is one file here and one arm in the enum.

mod adjoint;
mod backprop;
mod ct;
mod dt;
mod fm;
mod reference;
mod time_sampling;

pub use dt::readout_loss;
pub use time_sampling::TimeSampling;

#[cfg(feature = "train")]
use burn::optim::GradientsParams;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::config::{ModelConfig, Readout, at_least, value};
use crate::dropout::Dropout;
use crate::error::ConfigError;
use crate::model::NoProp;
use crate::noise::NoiseSource;
use crate::schedule::NoiseSchedule;

/// Which objective.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ObjectiveConfig {
    /// Continuous-time diffusion (eq. 9).
    Ct {
        /// Weight η of the denoising term; 1 in the paper.
        #[serde(default = "one")]
        eta: f64,
        /// Largest SNR′(t) that weights the denoising term; the paper has no limit. Without one
        /// the times near t = 1, where z_t gives the label away, outweigh by orders of magnitude
        /// the early times, where the image decides (cf. Min-SNR, arXiv:2303.09556).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_weight: Option<f64>,
        /// How the times of a batch are drawn.
        #[serde(default, skip_serializing_if = "TimeSampling::is_uniform")]
        time_sampling: TimeSampling,
    },
    /// Discrete-time diffusion with a block for each step (eq. 8).
    Dt {
        /// Weight η of the denoising term; 0.1 in the paper.
        #[serde(default = "tenth")]
        eta: f64,
    },
    /// Flow matching (eq. 10–13).
    Fm {
        /// Weight of the cross-entropy at z̃_1 where embeddings are learned; 1 in the paper.
        #[serde(default = "one")]
        anchor: f64,
    },
    /// A baseline: back-propagation through the blocks in a row (§4).
    Backprop {},
    /// A baseline: a neural ODE trained by the adjoint equation (§4).
    Adjoint {
        /// Euler steps from t = 0 to 1; 1000 in the paper.
        #[serde(default = "thousand")]
        steps: usize,
    },
    /// The reference's loss, to the letter.
    Reference {
        /// Weight η of the denoising term; 1 in the reference.
        #[serde(default = "one")]
        eta: f64,
    },
}

fn one() -> f64 {
    1.0
}

fn thousand() -> usize {
    1000
}

fn tenth() -> f64 {
    0.1
}

impl Default for ObjectiveConfig {
    fn default() -> Self {
        Self::Ct {
            eta: 1.0,
            max_weight: None,
            time_sampling: TimeSampling::Uniform,
        }
    }
}

/// One batch as the objective sees it.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Normalised images, `[b, c, h, w]`.
    pub images: Tensor<4>,
    /// Class indices, `[b]`.
    pub labels: Tensor<1, Int>,
    /// The random numbers of this batch.
    pub draws: Draws,
    /// What draws the masks of dropout.
    pub dropout: Dropout,
    /// The block that is trained, from 0; only NoProp-DT has more than one.
    pub block: usize,
}

/// Random numbers of a batch, drawn on the host so that they do not depend on the device.
#[derive(Debug, Clone)]
pub struct Draws {
    /// Times in [0, 1], `[b, 1]`; for [`TimeSampling::Importance`] their place between λ(0) and λ(1).
    pub t: Tensor<2>,
    /// ε of z_t, `[b, d]`; in NoProp-DT of z_{t−1}.
    pub noise: Tensor<2>,
    /// ε′ of z_1, `[b, d]`; in NoProp-DT of z_T.
    pub noise_1: Tensor<2>,
}

/// [`Draws`] on the host; a shard of a batch takes its rows.
#[derive(Debug, Clone)]
pub struct HostDraws {
    t: Vec<f32>,
    noise: Vec<f32>,
    noise_1: Vec<f32>,
    dim: usize,
}

impl HostDraws {
    /// The draws of a batch of `count` images with latents of dimension `dim`.
    pub fn new(source: &mut NoiseSource, count: usize, dim: usize) -> Self {
        Self {
            t: source.uniform(count),
            noise: source.normal(count * dim),
            noise_1: source.normal(count * dim),
            dim,
        }
    }

    /// The same with times as `sampling` asks for.
    pub fn with_times(mut self, sampling: TimeSampling) -> Self {
        self.t = sampling.spread(self.t);
        self
    }

    /// Rows `rows` on `device`.
    pub fn upload(&self, rows: core::ops::Range<usize>, device: &Device) -> Draws {
        let (n, d) = (rows.len(), self.dim);
        let latents = |values: &[f32]| {
            let values = values[rows.start * d..rows.end * d].to_vec();
            Tensor::from_data(TensorData::new(values, [n, d]), device)
        };
        Draws {
            t: Tensor::from_data(
                TensorData::new(self.t[rows.clone()].to_vec(), [n, 1]),
                device,
            ),
            noise: latents(&self.noise),
            noise_1: latents(&self.noise_1),
        }
    }
}

/// The loss of a batch; every field `[1]`, means over the batch.
#[derive(Debug, Clone)]
pub struct Loss {
    /// The sum, to be differentiated.
    pub total: Tensor<1>,
    /// −log p̂_out(y | z_1); of z_T in NoProp-DT, of z̃_1 in flow matching.
    pub ce: Tensor<1>,
    /// KL(q(z_0|y) ‖ N(0, I)); flow matching has none.
    pub kl: Tensor<1>,
    /// ½ η SNR′(t) ‖û − u_y‖², in NoProp-DT with T (SNR(t) − SNR(t−1)) for SNR′(t); in flow matching
    /// ‖v − (u_y − z_0)‖².
    pub denoise: Tensor<1>,
}

impl Loss {
    fn new(ce: Tensor<1>, kl: Tensor<1>, denoise: Tensor<1>) -> Self {
        Self {
            total: ce.clone() + kl.clone() + denoise.clone(),
            ce: ce.detach(),
            kl: kl.detach(),
            denoise: denoise.detach(),
        }
    }
}

impl ObjectiveConfig {
    /// Checks the values and that the model suits the objective.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn validate(&self, model: &ModelConfig) -> Result<(), ConfigError> {
        let refuse = |message: &str| Err(ConfigError::Combination(message.into()));
        let weight = match self {
            Self::Ct { eta, .. } | Self::Dt { eta } | Self::Reference { eta } => {
                Some(("objective.eta", eta))
            }
            Self::Fm { anchor } => Some(("objective.anchor", anchor)),
            Self::Backprop {} | Self::Adjoint { .. } => None,
        };
        if let Some((field, weight)) = weight
            && !(weight.is_finite() && *weight > 0.0)
        {
            return Err(value(field, weight, "a positive number"));
        }
        let (is_flow, is_gated) = (model.schedule.is_flow(), model.schedule.is_gated());
        if matches!(self, Self::Fm { .. } | Self::Adjoint { .. }) != is_flow {
            return refuse(
                "objective \"fm\" and schedule kind \"flow\" are the two halves of flow matching (with objective \
                 \"adjoint\", of a neural ODE); set both or neither",
            );
        }
        if matches!(self, Self::Backprop {}) != is_gated {
            return refuse(
                "objective \"backprop\" and schedule kind \"gated\" are the two halves of the baseline; set both \
                 or neither",
            );
        }
        if matches!(self, Self::Dt { .. }) != (model.blocks().is_some() && !is_gated) {
            return refuse(
                "objective \"dt\" and schedule kind \"cosine\" are the two halves of NoProp-DT; set both or neither",
            );
        }
        if matches!(self, Self::Fm { .. }) && model.readout != Readout::Nearest {
            return refuse(
                "flow matching ends at a class embedding; set model.readout to \"nearest\"",
            );
        }
        if let Self::Adjoint { steps } = *self {
            at_least("objective.steps", steps, 1, "at least 1")?;
            if model.readout != Readout::Linear {
                return refuse(
                    "objective \"adjoint\" trains a linear classifier on z(1); set model.readout to \"linear\"",
                );
            }
            if model.head.batch_norm {
                return refuse(
                    "the ODE of objective \"adjoint\" is solved without a batch's statistics; set \
                     model.head.batch_norm to false",
                );
            }
        }
        if let Self::Ct {
            max_weight: Some(limit),
            ..
        } = self
            && !(limit.is_finite() && *limit > 0.0)
        {
            return Err(value("objective.max_weight", limit, "a positive number"));
        }
        if matches!(self, Self::Ct { .. }) && model.readout != Readout::Linear {
            return Err(ConfigError::Combination(
                "objective \"ct\" trains a linear head on z_1; set model.readout to \"linear\" \
                 or choose objective \"reference\""
                    .into(),
            ));
        }
        if matches!(self, Self::Reference { .. }) && model.readout == Readout::Linear {
            return Err(ConfigError::Combination(
                "objective \"reference\" trains no linear head on z_1; set model.readout to \
                 \"denoiser\" or \"argmax-z\", or choose objective \"ct\""
                    .into(),
            ));
        }
        Ok(())
    }

    /// How the times of a batch are drawn.
    pub fn time_sampling(&self) -> TimeSampling {
        match *self {
            Self::Ct { time_sampling, .. } => time_sampling,
            _ => TimeSampling::Uniform,
        }
    }

    /// The loss of `batch`. The model's configuration must have passed [`Self::validate`].
    ///
    /// # Panics
    /// When it has not, and flow matching or NoProp-DT meets the schedule of another process.
    pub fn loss(&self, model: &NoProp, batch: Batch) -> Loss {
        match *self {
            Self::Ct {
                eta,
                max_weight,
                time_sampling,
            } => ct::loss(model, batch, eta, max_weight, time_sampling),
            Self::Fm { anchor } => match &model.schedule {
                NoiseSchedule::Flow(path) => fm::loss(model, path, batch, anchor),
                other => unreachable!("validated: flow matching on {other:?}"),
            },
            Self::Dt { eta } => match &model.schedule {
                NoiseSchedule::Cosine(steps) => dt::loss(model, steps, batch, eta),
                other => unreachable!("validated: NoProp-DT on {other:?}"),
            },
            Self::Backprop {} => match &model.schedule {
                NoiseSchedule::Gated(schedule) => backprop::loss(model, schedule, batch),
                other => unreachable!("validated: back-propagation on {other:?}"),
            },
            Self::Adjoint { steps } => adjoint::loss(model, batch, steps),
            Self::Reference { eta } => reference::loss(model, batch, eta),
        }
    }

    /// The gradients of `batch`'s loss, and the loss: by back-propagation of [`Self::loss`], but for
    /// [`Self::Adjoint`], which solves the adjoint equation instead. `model` must be on the autodiff device.
    ///
    /// # Panics
    /// As [`Self::loss`].
    #[cfg(feature = "train")]
    pub fn gradients(&self, model: &NoProp, batch: Batch) -> (GradientsParams, Loss) {
        if let Self::Adjoint { steps } = *self {
            return adjoint::gradients(model, batch, steps);
        }
        let loss = self.loss(model, batch);
        let gradients = GradientsParams::from_grads(loss.total.backward(), model);
        (gradients, loss)
    }

    /// The blocks that are trained each by a loss of its own, from 1; nothing where one loss reaches the
    /// whole model.
    pub fn blocks(&self, model: &ModelConfig) -> Option<usize> {
        match self {
            Self::Dt { .. } => model.blocks(),
            _ => None,
        }
    }
}

/// Mean of −log softmax(logits)[label]: `[b, m]`, `[b]` → `[1]`.
fn cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    log_softmax(logits, 1)
        .gather(1, labels.unsqueeze_dim::<2>(1))
        .mean()
        .neg()
}

#[cfg(test)]
mod tests;
