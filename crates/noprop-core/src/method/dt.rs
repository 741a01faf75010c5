//! NoProp-DT, diffusion in T steps with a block for each. The loss of block t is (paper eq. 8):
//!
//! L_t = −log p̂_out(y|z_T) + KL(q(z_0|y) ‖ N(0,I)) + (T/2) η (SNR(t) − SNR(t−1)) ‖û_{θ_t}(z_{t−1}, x) − u_y‖²,
//! z_T ~ q(z_T|y), z_{t−1} ~ q(z_{t−1}|y). ‖·‖² sums over the d coordinates.
//!
//! The settings [`Dt`] change the last term as those of NoProp-CT do (`ct.rs`): the error ℓ in place of
//! ½ ‖û − u_y‖², the weight in place of T (SNR(t) − SNR(t−1)), and a skip connection for the part of the logits
//! that z_{t−1} decides.
//!
//! Since z_{t−1} is drawn from q(z_{t−1}|y) and not computed by the blocks before t, the loss of a block has
//! no gradient in other blocks.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, Loss, cross_entropy};
use super::ct::{DenoisingLoss, Weighting, check_smoothing};
use super::initialisation::{Initialisation, check_blocks, new_blocks};
use super::{default_steps, is_zero};
use crate::block::Block;
use crate::config::ModelConfig;
use crate::embedding::ClassEmbedding;
use crate::error::ConfigError;
use crate::network::DiscreteModel;
use crate::schedule::{DiscreteForm, DiscreteSchedule, kl_to_standard_normal};

/// The settings of NoProp-DT.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dt {
    /// The number of steps T, which is the number of blocks.
    #[serde(default = "default_steps")]
    pub steps: usize,
    /// The form of the noise schedule.
    #[serde(default)]
    pub form: DiscreteForm,
    /// The weight η of the denoising term; 0.1 in the paper.
    #[serde(default = "tenth")]
    pub eta: f64,
    /// The error ℓ of an estimate in the denoising term.
    #[serde(default)]
    pub loss: DenoisingLoss,
    /// The weight of the denoising term: T (SNR(t) − SNR(t−1)) as in the paper, or 1 with "flat".
    #[serde(default)]
    pub weight: Weighting,
    /// The share s of label smoothing in a cross-entropy loss, as in NoProp-CT.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub label_smoothing: f64,
    /// Whether the logits of a block are the sum of its output and of the part that z_{t−1} decides, which is
    /// known in closed form ([`ClassEmbedding::latent_logits`]).
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub skip: bool,
    /// The readout of the class from z_T.
    #[serde(default, skip_serializing_if = "BlockReadout::is_default")]
    pub readout: BlockReadout,
}

fn tenth() -> f64 {
    0.1
}

impl Default for Dt {
    fn default() -> Self {
        Self {
            steps: default_steps(),
            form: DiscreteForm::default(),
            eta: tenth(),
            loss: DenoisingLoss::default(),
            weight: Weighting::default(),
            label_smoothing: 0.0,
            skip: false,
            readout: BlockReadout::default(),
        }
    }
}

/// The readout of the class from z_T, the latents after the last block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlockReadout {
    /// The logits of the output head, a linear layer on z_T.
    #[default]
    Linear,
    /// The distances of a point ỹ to the class embeddings: p̂(y|z) ∝ exp(−‖ỹ − u_y‖²/(2σ²)), where ỹ is the
    /// mean of the class embeddings under the probabilities of the output head (eq. 14–16).
    Posterior,
}

impl BlockReadout {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The class logits `[b, m]` of latents `z` `[b, d]` with the output head `head`.
    pub(super) fn logits(
        self,
        head: &Linear,
        class_embedding: &ClassEmbedding,
        z: Tensor<2>,
    ) -> Tensor<2> {
        let logits = head.forward(z);
        match self {
            Self::Linear => logits,
            Self::Posterior => class_embedding.nearness(class_embedding.expectation(logits)),
        }
    }
}

impl Dt {
    pub(super) fn validate(&self, model: &ModelConfig) -> Result<(), ConfigError> {
        ConfigError::positive("method.eta", self.eta)?;
        check_smoothing(self.label_smoothing, self.loss)?;
        check_blocks(self.steps, model)
    }
}

/// The parts of a NoProp-DT network.
#[derive(Module, Debug)]
pub struct DtParts {
    /// The blocks, one for each step, in the order of the walk.
    pub blocks: Vec<Block>,
    /// The noise schedule ᾱ_0 < … < ᾱ_T.
    pub schedule: DiscreteSchedule,
    /// The output head: the linear layer of p̂_out on z_T.
    pub output_head: Linear,
    #[module(skip)]
    settings: Dt,
}

impl DtParts {
    pub(super) fn new(settings: &Dt, start: Initialisation<'_>) -> Self {
        let schedule = DiscreteSchedule::new(settings.steps, settings.form);
        Self {
            blocks: new_blocks(settings.steps, start),
            output_head: start.output_head(schedule.snr(settings.steps)),
            schedule,
            settings: settings.clone(),
        }
    }

    /// The class logits `[b, m]` that the readout gives for latents `z` `[b, d]` after the last block.
    pub(super) fn readout(&self, class_embedding: &ClassEmbedding, z: Tensor<2>) -> Tensor<2> {
        let readout = self.settings.readout;
        readout.logits(&self.output_head, class_embedding, z)
    }

    /// The denoising blocks.
    pub(super) fn model(&self) -> DiscreteModel<'_> {
        DiscreteModel {
            blocks: &self.blocks,
            schedule: &self.schedule,
            skip: self.settings.skip,
        }
    }

    /// The loss of eq. 8 for `batch` and its block. If the batch names no block, the denoising term is zero,
    /// and only the output head is trained. A process that trains some of the blocks needs this: it takes
    /// every step of the output head, so that the heads of all processes come out equal.
    pub(super) fn loss(&self, class_embedding: &ClassEmbedding, batch: Batch) -> Loss {
        let Batch {
            images,
            labels,
            draws,
            mut dropout,
            block,
        } = batch;
        let u_y = class_embedding.embed(labels.clone());
        let steps = self.blocks.len();

        // Block t = `block` + 1 receives z_{t−1}.
        let denoise = match block {
            Some(block) => {
                let now = self.schedule.at(self.times(block, draws.t));
                let z = now.diffuse(u_y.clone(), draws.noise);
                let own = self.blocks[block].train_logits(images, z.clone(), &mut dropout);
                let logits = match self.settings.skip {
                    true => own.clone() + class_embedding.latent_logits(z, &now),
                    false => own.clone(),
                };
                let error = self.settings.loss.of(
                    logits,
                    own,
                    class_embedding,
                    labels.clone(),
                    self.settings.label_smoothing,
                );
                let weight = match self.settings.weight {
                    Weighting::Snr => {
                        steps as f64 * (self.schedule.snr(block + 1) - self.schedule.snr(block))
                    }
                    Weighting::Flat => 1.0,
                };
                error.mean().mul_scalar(self.settings.eta * weight)
            }
            None => Tensor::zeros([1], &u_y.device()),
        };

        let z_last = self.draw(steps, u_y.clone(), draws.noise_1);
        let ce = cross_entropy(self.readout(class_embedding, z_last), labels);

        let log_snr_0 = Tensor::full([1, 1], libm::log(self.schedule.snr(0)), &u_y.device());
        let kl = kl_to_standard_normal(u_y, log_snr_0).mean();
        Loss::new(ce, kl, denoise)
    }

    /// The times at which block `block` (from 0) is trained: its first time, `[1, 1]`, or times spread by
    /// `uniform` numbers `[b, 1]` over its range.
    fn times(&self, block: usize, uniform: Tensor<2>) -> Tensor<2> {
        let steps = self.blocks.len() as f64;
        match self.schedule.has_ranges() {
            true => uniform.add_scalar(block as f64).div_scalar(steps),
            false => Tensor::full([1, 1], block as f64 / steps, &uniform.device()),
        }
    }

    /// The latents z_k ~ q(z_k|y) = N(√ᾱ_k u_y, (1 − ᾱ_k) I), `[b, d]` (eq. 5), from `u_y` and standard
    /// normal `noise`.
    fn draw(&self, k: usize, u_y: Tensor<2>, noise: Tensor<2>) -> Tensor<2> {
        let (signal, variance) = self.schedule.shares(k);
        u_y.mul_scalar(libm::sqrt(signal)) + noise.mul_scalar(libm::sqrt(variance))
    }
}
