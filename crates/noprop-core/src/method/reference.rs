//! Methods "reference-mnist" and "reference-simple": the formulas of the two scripts `nopropct_mnist.py` and
//! `noprop_simple.py` of yhgon/NoProp, the reference, which differ from the paper:
//!
//! * z_t = ᾱ u + √(1−ᾱ) ε, where the paper has √ᾱ u;
//! * KL = ½ ‖u‖², where the closed form has ½[ᾱ₀(‖u‖² − d) − d ln(1−ᾱ₀)];
//! * the cross-entropy is of the whole denoiser at (x, z_1, t = 1), not of a head on z_1.
//!
//! One difference from the reference remains: it runs the backbone twice on each batch. Running it once, as
//! here, gives equal outputs and gradients, but the running averages of BatchNorm move once in each step
//! rather than twice.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, Loss, cross_entropy};
use super::initialisation::Initialisation;
use super::one;
use crate::config::ModelConfig;
use crate::embedding::{ClassEmbedding, ClassEmbeddingConfig};
use crate::error::ConfigError;
use crate::network::{DiffusionModel, Features, Shared};
use crate::noise::initialised;
use crate::schedule::{
    NoiseSchedule, ReferenceSchedule, SchedulePoint, check_ends, default_hidden,
};

/// The settings of a reference method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// The initial value of γ at t = 1, the clean end.
    pub gamma_0: f64,
    /// The initial value of γ at t = 0, the noise end.
    pub gamma_1: f64,
    /// The number of hidden units of γ̃.
    #[serde(default = "default_hidden")]
    pub hidden: usize,
    /// The weight η of the denoising term; 1 in the reference.
    #[serde(default = "one")]
    pub eta: f64,
}

impl Reference {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        check_ends(self.gamma_0, self.gamma_1)?;
        ConfigError::at_least("method.hidden", self.hidden, 1, "at least 1")?;
        ConfigError::positive("method.eta", self.eta)
    }

    pub(super) fn validate_mnist(&self, model: &ModelConfig) -> Result<(), ConfigError> {
        if model.class_embedding != ClassEmbeddingConfig::OneHot {
            return Err(ConfigError::Combination(
                "method \"reference-mnist\" reads the class off the coordinates of z_1; \
                 it needs class_embedding kind \"one-hot\""
                    .into(),
            ));
        }
        self.validate()
    }
}

/// The parts of a network of a reference method.
#[derive(Module, Debug)]
pub struct ReferenceParts {
    /// The backbone and the denoiser.
    pub network: Shared,
    /// The noise schedule γ(t), always a [`ReferenceSchedule`].
    pub schedule: NoiseSchedule,
    #[module(skip)]
    eta: f64,
    #[module(skip)]
    readout: ReferenceReadout,
}

/// The readout of the class from z_1.
#[derive(Debug, Clone, Copy)]
enum ReferenceReadout {
    /// The coordinates of z_1 as logits (`nopropct_mnist.py`).
    ArgmaxZ,
    /// The denoiser's logits at (x, z_1, t = 1) (`noprop_simple.py`).
    Denoiser,
}

impl ReferenceParts {
    /// The denoising network.
    pub(super) fn model(&self) -> DiffusionModel<'_> {
        DiffusionModel {
            shared: &self.network,
            schedule: &self.schedule,
            skip: false,
        }
    }

    /// The parts of `nopropct_mnist.py`: ᾱ = σ(−γ), clamped to [10⁻⁵, 1 − 10⁻⁵].
    pub(super) fn mnist(settings: &Reference, start: Initialisation<'_>) -> Self {
        Self::new(settings, start, 1.0, 1e-5, ReferenceReadout::ArgmaxZ)
    }

    /// The parts of `noprop_simple.py`: ᾱ = σ(−γ/2), clamped to [0.01, 0.99].
    pub(super) fn simple(settings: &Reference, start: Initialisation<'_>) -> Self {
        Self::new(settings, start, 0.5, 0.01, ReferenceReadout::Denoiser)
    }

    fn new(
        settings: &Reference,
        start: Initialisation<'_>,
        scale: f64,
        clamp: f64,
        readout: ReferenceReadout,
    ) -> Self {
        let Initialisation {
            config,
            seed,
            device,
            ..
        } = start;
        let Reference {
            gamma_0,
            gamma_1,
            hidden,
            eta,
        } = *settings;
        initialised(device, seed, || Self {
            network: Shared::new(config, config.classes, device),
            schedule: NoiseSchedule::Reference(ReferenceSchedule::new(
                gamma_0, gamma_1, hidden, scale, clamp, device,
            )),
            eta,
            readout,
        })
    }

    /// The class logits `[b, m]` that the readout gives for final latents `z_1` `[b, d]`.
    pub(super) fn readout(&self, features: &Features, z_1: Tensor<2>) -> Tensor<2> {
        match self.readout {
            ReferenceReadout::ArgmaxZ => z_1,
            ReferenceReadout::Denoiser => {
                let one = Tensor::ones([1, 1], &z_1.device());
                self.network.output(features, z_1, one)
            }
        }
    }

    /// The loss of the reference for `batch`.
    pub(super) fn loss(&self, class_embedding: &ClassEmbedding, batch: Batch) -> Loss {
        let Batch {
            images,
            labels,
            draws,
            mut dropout,
            ..
        } = batch;
        let u_y = class_embedding.embed(labels.clone());
        let features = self.network.features(images, &mut dropout);

        let now = self.schedule.at(draws.t.clone());
        let z_t = diffuse(&now, u_y.clone(), draws.noise);
        let logits = self.network.output(&features, z_t, draws.t.clone());
        let error = class_embedding.expectation(logits) - u_y.clone();
        let error = error.square().sum_dim(1);
        let denoise = (now.snr_prime * error).mean().mul_scalar(0.5 * self.eta);

        let one = draws.t.ones_like();
        let end = self.schedule.at(one.clone());
        let z_1 = diffuse(&end, u_y.clone(), draws.noise_1);
        let ce = cross_entropy(self.network.output(&features, z_1, one), labels);

        let kl = u_y.square().sum_dim(1).mean().mul_scalar(0.5);
        Loss::new(ce, kl, denoise)
    }
}

/// The latents z_t = ᾱ u + √(1−ᾱ) ε `[b, d]` of the reference, with ε = `noise`.
fn diffuse(point: &SchedulePoint, u: Tensor<2>, noise: Tensor<2>) -> Tensor<2> {
    point.alpha_bar.clone() * u + point.sigma_squared.clone().sqrt() * noise
}
