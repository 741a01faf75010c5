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
use super::{Initialisation, check_blocks, default_steps, is_zero, new_blocks};
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

#[cfg(test)]
mod tests {
    use burn::module::{Module, ModuleVisitor, Param};
    use burn::optim::GradientsParams;
    use burn::tensor::{Device, TensorData};

    use super::super::tests::{BATCH, CLASSES, batch, config, negative_log_softmax, rows, scalar};
    use super::super::{Method, Parts};
    use super::*;
    use crate::config::HeadConfig;
    use crate::dropout::Dropout;
    use crate::model::NoProp;

    const STEPS: usize = 4;
    const ETA: f64 = 0.3;

    fn blocks() -> ModelConfig {
        ModelConfig {
            head: HeadConfig {
                batch_norm: true,
                ..config().head
            },
            ..config()
        }
    }

    fn model(config: &ModelConfig, readout: BlockReadout, device: &Device) -> NoProp {
        let method = Method::Dt(Dt {
            steps: STEPS,
            form: DiscreteForm::Shifted,
            eta: ETA,
            readout,
            ..Default::default()
        });
        NoProp::new(&method, config, 2, device).unwrap()
    }

    fn parts(model: &NoProp) -> &DtParts {
        match &model.parts {
            Parts::Dt(parts) => parts,
            other => panic!("not NoProp-DT: {other:?}"),
        }
    }

    fn of_block(block: usize, device: &Device) -> Batch {
        Batch {
            block: Some(block),
            ..batch(&blocks(), device)
        }
    }

    /// All terms in f64 on the host, from the output of the network. On the autodiff device, so that
    /// BatchNorm normalises by the batch, as in training.
    #[test]
    fn terms_are_those_of_equation_8() {
        let device = Device::flex().autodiff();
        let model = model(&blocks(), BlockReadout::Linear, &device);
        let w = rows(&model.class_embedding.weight.val());
        let alpha_bar = |k: usize| {
            (core::f64::consts::FRAC_PI_2 * (k + 1) as f64 / (STEPS + 2) as f64)
                .sin()
                .powi(2)
        };
        let snr = |k: usize| alpha_bar(k) / (1.0 - alpha_bar(k));
        for block in 0..STEPS {
            let batch = of_block(block, &device);
            let loss = model.loss(batch.clone());

            let latents = |k: usize, noise: &Tensor<2>| {
                let noise = rows(noise);
                let at = |i: usize, j: usize| {
                    alpha_bar(k).sqrt() * w[i % CLASSES][j]
                        + (1.0 - alpha_bar(k)).sqrt() * noise[i][j]
                };
                let values: Vec<f32> = (0..BATCH * 4).map(|n| at(n / 4, n % 4) as f32).collect();
                Tensor::<2>::from_data(TensorData::new(values, [BATCH, 4]), &device)
            };
            let z = latents(block, &batch.draws.noise);
            let images = batch.images.clone();
            let logits = parts(&model).blocks[block].train_logits(images, z, &mut Dropout::Off);
            let u_hat = rows(&model.class_embedding.expectation(logits));
            let head = &parts(&model).output_head;
            let logits = rows(&head.forward(latents(STEPS, &batch.draws.noise_1)));

            let (mut ce, mut kl, mut error) = (0.0, 0.0, 0.0);
            for i in 0..BATCH {
                let u = &w[i % CLASSES];
                let norm: f64 = u.iter().map(|u| u * u).sum();
                let spread = 1.0 - alpha_bar(0);
                kl +=
                    0.5 * (alpha_bar(0) * norm + 4.0 * (spread - 1.0 - spread.ln())) / BATCH as f64;
                ce += negative_log_softmax(&logits[i], i % CLASSES) / BATCH as f64;
                error += (0..4).map(|j| (u_hat[i][j] - u[j]).powi(2)).sum::<f64>() / BATCH as f64;
            }
            let weight = 0.5 * STEPS as f64 * ETA * (snr(block + 1) - snr(block));
            let found = [&loss.ce, &loss.kl, &loss.denoise].map(scalar);
            // f32 networks against f64 sums: about ten roundings of numbers of order 1 to 10.
            for (found, expected) in found.into_iter().zip([ce, kl, weight * error]) {
                assert!(
                    (found - expected).abs() < 1e-5 * expected.max(1.0),
                    "{found} {expected}"
                );
            }
            assert!((scalar(&loss.total) - found.iter().sum::<f64>()).abs() < 1e-4);
        }
    }

    /// How many parameters of a module have a gradient, and how many have none.
    struct Count<'a>(&'a GradientsParams, usize, usize);

    impl ModuleVisitor for Count<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if param.is_require_grad() {
                match self.0.get::<D>(param.id) {
                    Some(_) => self.1 += 1,
                    None => self.2 += 1,
                }
            }
        }
    }

    #[test]
    fn a_block_gets_no_gradient_from_the_loss_of_another() {
        let device = Device::flex().autodiff();
        let model = model(&blocks(), BlockReadout::Linear, &device);
        for trained in 0..STEPS {
            let loss = model.loss(of_block(trained, &device));
            let gradients = GradientsParams::from_grads(loss.total.backward(), &model);
            for (block, module) in parts(&model).blocks.iter().enumerate() {
                let mut count = Count(&gradients, 0, 0);
                module.visit(&mut count);
                let Count(_, with, without) = count;
                assert!(with + without > 20);
                // Absent, not merely zero: the graph of a loss does not contain the other blocks.
                let expected = if block == trained {
                    (with, 0)
                } else {
                    (0, without)
                };
                assert_eq!(
                    (with, without),
                    expected,
                    "block {block}, loss of {trained}"
                );
            }
            let mut shared = Count(&gradients, 0, 0);
            parts(&model).output_head.visit(&mut shared);
            assert_eq!((shared.1, shared.2), (2, 0));
        }
    }

    #[test]
    fn the_head_takes_the_same_step_without_a_block() {
        let device = Device::flex().autodiff();
        let config = ModelConfig {
            class_embedding: crate::embedding::ClassEmbeddingConfig::OneHot,
            ..blocks()
        };
        let model = model(&config, BlockReadout::Linear, &device);
        let of_block = |block| {
            model.loss(Batch {
                block,
                ..batch(&config, &device)
            })
        };
        let (alone, whole) = (of_block(None), of_block(Some(1)));
        assert_eq!(scalar(&alone.denoise), 0.0);
        let gradient = |loss: Loss| {
            let gradients = GradientsParams::from_grads(loss.total.backward(), &model);
            let head = &parts(&model).output_head;
            let gradient = gradients.get::<2>(head.weight.id).unwrap();
            gradient.into_data().try_to_vec::<f32>().unwrap()
        };
        // No tolerance: the same operations.
        assert_eq!(gradient(alone), gradient(whole));
    }

    /// Eq. 14–16 in f64 on the host: ỹ = softmax(head(z)) W, then distances to the rows of W.
    #[test]
    fn the_posterior_head_goes_by_distance() {
        let device = Device::flex();
        let model = model(&blocks(), BlockReadout::Posterior, &device);
        let z = batch(&blocks(), &device).draws.noise;
        let w = rows(&model.class_embedding.weight.val());
        let head = rows(&parts(&model).output_head.forward(z.clone()));
        let features = model.prepare(Tensor::zeros([BATCH, STEPS * 5], &device));
        let found = rows(&model.readout(&features, z));
        let normalised = |logits: &[f64]| -> Vec<f64> {
            let all = (0..CLASSES).map(|class| (-negative_log_softmax(logits, class)).exp());
            all.collect()
        };
        for i in 0..BATCH {
            let shares = normalised(&head[i]);
            let point: Vec<f64> = (0..4)
                .map(|j| (0..CLASSES).map(|c| shares[c] * w[c][j]).sum())
                .collect();
            let expected: Vec<f64> = (0..CLASSES)
                .map(|c| (0..4).map(|j| (point[j] - w[c][j]).powi(2)).sum::<f64>())
                .map(|distance| -distance / (2.0 * 0.3 * 0.3))
                .collect();
            for (a, b) in normalised(&found[i]).iter().zip(normalised(&expected)) {
                // Logits of order 10 to 100 in f32.
                assert!((a - b).abs() < 1e-4, "{a} {b}");
            }
        }
    }
}
