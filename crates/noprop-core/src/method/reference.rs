//! The two scripts of yhgon/NoProp (`nopropct_mnist.py`, `noprop_simple.py`), kept as they are:
//!
//! * z_t = ᾱ u + √(1−ᾱ) ε, where the paper has √ᾱ u;
//! * KL = ½ ‖u‖², where the closed form has ½[ᾱ₀(‖u‖² − d) − d ln(1−ᾱ₀)];
//! * the cross-entropy is of the whole denoiser at (x, z_1, t = 1), not of a head on z_1.
//!
//! One thing differs: the reference runs the backbone twice on the same batch. Outputs and
//! gradients are the same when it runs once, as here; BatchNorm's running averages then move
//! once per step, not twice.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, Loss, cross_entropy};
use super::{Initialisation, one};
use crate::config::ModelConfig;
use crate::embedding::{ClassEmbedding, ClassEmbeddingConfig};
use crate::error::ConfigError;
use crate::network::{Features, Shared};
use crate::noise::initialised;
use crate::schedule::{
    NoiseSchedule, ReferenceSchedule, SchedulePoint, check_ends, default_hidden,
};

/// The settings of a script of the reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// Initial γ at t = 1, the clean end.
    pub gamma_0: f64,
    /// Initial γ at t = 0, the noise end.
    pub gamma_1: f64,
    /// Hidden units of γ̃.
    #[serde(default = "default_hidden")]
    pub hidden: usize,
    /// Weight η of the denoising term; 1 in the reference.
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

/// The parts of a network of the reference.
#[derive(Module, Debug)]
pub struct ReferenceParts {
    /// Backbone and denoiser.
    pub network: Shared,
    /// γ(t), always a [`ReferenceSchedule`].
    pub schedule: NoiseSchedule,
    #[module(skip)]
    eta: f64,
    #[module(skip)]
    readout: Readout,
}

/// How the class is read off z_1.
#[derive(Debug, Clone, Copy)]
enum Readout {
    /// The largest coordinate of z_1 (`nopropct_mnist.py`).
    ArgmaxZ,
    /// The denoiser's logits at (x, z_1, t = 1) (`noprop_simple.py`).
    Denoiser,
}

impl ReferenceParts {
    /// `nopropct_mnist.py`: ᾱ = σ(−γ), clamped to [10⁻⁵, 1 − 10⁻⁵].
    pub(super) fn mnist(settings: &Reference, start: Initialisation<'_>) -> Self {
        Self::new(settings, start, 1.0, 1e-5, Readout::ArgmaxZ)
    }

    /// `noprop_simple.py`: ᾱ = σ(−γ/2), clamped to [0.01, 0.99].
    pub(super) fn simple(settings: &Reference, start: Initialisation<'_>) -> Self {
        Self::new(settings, start, 0.5, 0.01, Readout::Denoiser)
    }

    fn new(
        settings: &Reference,
        start: Initialisation<'_>,
        scale: f64,
        clamp: f64,
        readout: Readout,
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

    /// Class logits `[b, m]` of final latents `z_1` `[b, d]`.
    pub(super) fn readout(&self, features: &Features, z_1: Tensor<2>) -> Tensor<2> {
        match self.readout {
            Readout::ArgmaxZ => z_1,
            Readout::Denoiser => {
                let one = Tensor::ones([1, 1], &z_1.device());
                self.network.output(features, z_1, one)
            }
        }
    }

    /// The reference's loss for one batch.
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

fn diffuse(point: &SchedulePoint, u: Tensor<2>, noise: Tensor<2>) -> Tensor<2> {
    point.alpha_bar.clone() * u + point.sigma_squared.clone().sqrt() * noise
}
