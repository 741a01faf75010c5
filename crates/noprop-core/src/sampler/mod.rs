//! From z_0 ~ N(0, I) at t = 0 to z_1 at t = 1 in T steps.
//!
//! A new sampler is one file with a `Stepper`, and one arm in `SamplerKind::stepper`.

mod ancestral;
mod ddim;
mod flow;
mod gated;
mod lambda;
mod reference;
mod walk;

use core::fmt;
use core::str::FromStr;

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

pub use lambda::{LONGEST_STEP, velocity};
use walk::{StepNoise, Walk};

use crate::config::ModelConfig;
use crate::error::ConfigError;
use crate::model::{Features, NoProp};
use crate::noise::initial_latents;
use crate::schedule::{NoiseSchedule, even_times};

/// Which sampler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SamplerKind {
    /// Exponential-integrator step of the probability-flow ODE; exact where û is constant.
    #[default]
    Ddim,
    /// Euler's method: on the probability-flow ODE in λ = log SNR, for flow matching on dz/dt = v.
    Euler,
    /// Heun's method on the same.
    Heun,
    /// The generative process itself (eq. 3), with its noise.
    Ancestral,
    /// Euler's method on the reference's ODE dz/dt = (û − z)/(1 − ᾱ).
    ReferenceEuler,
    /// Heun's method on the same; explodes where T is small.
    ReferenceHeun,
}

impl SamplerKind {
    /// Every sampler, in the order of tables.
    pub const ALL: [Self; 6] = [
        Self::Ddim,
        Self::Euler,
        Self::Heun,
        Self::Ancestral,
        Self::ReferenceEuler,
        Self::ReferenceHeun,
    ];

    /// Evaluations of the denoiser per step.
    pub fn evaluations_per_step(self) -> usize {
        match self {
            Self::Heun | Self::ReferenceHeun => 2,
            _ => 1,
        }
    }

    /// Whether this is one of the reference's samplers, kept to show what they do.
    pub fn is_reference(self) -> bool {
        matches!(self, Self::ReferenceEuler | Self::ReferenceHeun)
    }

    /// Whether it can walk models of this configuration.
    ///
    /// # Errors
    /// When the model is of flow matching, which has no noise to sample and no ᾱ, and the sampler
    /// needs them; when it is of NoProp-DT, which has no times between its steps, and the sampler
    /// asks for them; or of the baseline on its blocks, whose walk has no noise.
    pub fn check(self, model: &ModelConfig) -> Result<(), ConfigError> {
        let walks_flows = matches!(self, Self::Ddim | Self::Euler | Self::Heun);
        if model.schedule.is_flow() && !walks_flows {
            return Err(ConfigError::Combination(format!(
                "the sampler {self} walks a diffusion process, and this model is of flow matching; \
                 choose euler, heun or ddim"
            )));
        }
        if model.schedule.is_gated() && self != Self::Ddim {
            return Err(ConfigError::Combination(format!(
                "the sampler {self} needs a noise schedule, and this model (trained by back-propagation) has a walk \
                 of its own without noise; choose ddim"
            )));
        }
        if model.blocks().is_some() && !matches!(self, Self::Ddim | Self::Ancestral) {
            return Err(ConfigError::Combination(format!(
                "the sampler {self} solves an equation in continuous time, and this model (NoProp-DT) has \
                 a block for each step; choose ddim or ancestral"
            )));
        }
        Ok(())
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ddim => "ddim",
            Self::Euler => "euler",
            Self::Heun => "heun",
            Self::Ancestral => "ancestral",
            Self::ReferenceEuler => "reference-euler",
            Self::ReferenceHeun => "reference-heun",
        }
    }

    /// The times t_0 = 0, …, t_T = 1 of a walk of `steps` steps, `[steps + 1, 1]`: k/T, but for
    /// Euler and Heun on diffusion, whose λ runs evenly.
    pub fn times(self, schedule: &NoiseSchedule, steps: usize, device: &Device) -> Tensor<2> {
        self.stepper(schedule).times(schedule, steps, device)
    }

    fn stepper(self, schedule: &NoiseSchedule) -> &'static dyn Stepper {
        match self {
            Self::Ddim | Self::Euler if schedule.is_flow() => &flow::Euler,
            Self::Heun if schedule.is_flow() => &flow::Heun,
            Self::Ddim if matches!(schedule, NoiseSchedule::Gated(_)) => &gated::Gated,
            Self::Ddim => &ddim::Ddim,
            Self::Euler => &lambda::Euler,
            Self::Heun => &lambda::Heun,
            Self::Ancestral => &ancestral::Ancestral,
            Self::ReferenceEuler => &reference::Euler,
            Self::ReferenceHeun => &reference::Heun,
        }
    }
}

impl fmt::Display for SamplerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for SamplerKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| {
                let names: Vec<_> = Self::ALL.iter().map(|kind| kind.name()).collect();
                format!(
                    "no sampler is called {text:?}, expected one of {}",
                    names.join(", ")
                )
            })
    }
}

/// One step of a sampler, from t_k to t_{k+1}.
trait Stepper: Sync {
    /// The times t_0 = 0, …, t_T = 1, `[steps + 1, 1]`.
    fn times(&self, _schedule: &NoiseSchedule, steps: usize, device: &Device) -> Tensor<2> {
        even_times(steps, device)
    }

    /// z at t_{k+1} from `z` `[b, d]` at t_k.
    fn step(&self, walk: &mut Walk<'_>, k: usize, z: Tensor<2>) -> Tensor<2>;
}

/// How to sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampling {
    /// The sampler.
    pub kind: SamplerKind,
    /// T, at least 1.
    pub steps: usize,
    /// Seed of z_0 and of the ancestral noise.
    pub seed: u64,
}

impl Sampling {
    /// Whether it can walk models of this configuration.
    ///
    /// # Errors
    /// As [`SamplerKind::check`], and when a NoProp-DT model has another number of blocks than T.
    pub fn check(&self, model: &ModelConfig) -> Result<(), ConfigError> {
        self.kind.check(model)?;
        match model.blocks() {
            Some(blocks) if blocks != self.steps => Err(ConfigError::Combination(format!(
                "this model (NoProp-DT) has {blocks} blocks, one for each step, so it walks in T = {blocks} \
                 steps and no other number; T = {} was asked for",
                self.steps
            ))),
            _ => Ok(()),
        }
    }

    /// z_0 `[count, d]` of images `first .. first + count`, bit-identical on every device.
    pub fn initial(&self, model: &NoProp, first: usize, count: usize) -> Tensor<2> {
        let d = model.config().latent_dim();
        let values = initial_latents(self.seed, first, count, d);
        Tensor::from_data(TensorData::new(values, [count, d]), &model.device())
    }

    /// Walks images `first ..` from their own z_0 to z_1 `[b, d]`. Nothing is read back.
    pub fn run(&self, model: &NoProp, features: &Features, first: usize) -> Tensor<2> {
        let z_0 = self.initial(model, first, features.len());
        self.run_from(model, features, z_0, first, &mut |_, _| {})
    }

    /// As [`Self::run`], but at every step the denoiser is given the latent of another image of the batch,
    /// the one before. Where it does not look at z, nothing changes.
    pub fn run_on_swapped_latents(
        &self,
        model: &NoProp,
        features: &Features,
        first: usize,
    ) -> Tensor<2> {
        let z_0 = self.initial(model, first, features.len());
        let noise = StepNoise::of(*self, first, features.len());
        let mut walk = Walk::new(model, features, *self, noise);
        walk.is_swapped = true;
        self.walk(walk, z_0, &mut |_, _| {})
    }

    /// Walks from `z_0` `[b, d]`, and calls `observe(k, z)` after each step k = 1 … T.
    ///
    /// `model` must be off the autodiff device ([`burn::module::Module::valid`]). `first` is the
    /// index of the first image; ancestral noise depends on it.
    ///
    /// # Panics
    /// When [`Self::check`] refuses the model.
    pub fn run_from(
        &self,
        model: &NoProp,
        features: &Features,
        z_0: Tensor<2>,
        first: usize,
        observe: &mut dyn FnMut(usize, &Tensor<2>),
    ) -> Tensor<2> {
        let noise = StepNoise::of(*self, first, features.len());
        self.walk(Walk::new(model, features, *self, noise), z_0, observe)
    }

    /// As [`Self::run_from`], with the ancestral noise `noise` `[T, b, d]` instead of our own
    /// generator's; the other samplers do not look at it. [`crate::noise::ancestral_noise`] is what
    /// [`Self::run_from`] draws.
    pub fn run_with_noise(
        &self,
        model: &NoProp,
        features: &Features,
        z_0: Tensor<2>,
        noise: Tensor<3>,
        observe: &mut dyn FnMut(usize, &Tensor<2>),
    ) -> Tensor<2> {
        let noise = StepNoise::Given(Box::new(noise));
        self.walk(Walk::new(model, features, *self, noise), z_0, observe)
    }

    fn walk(
        &self,
        mut walk: Walk<'_>,
        z_0: Tensor<2>,
        observe: &mut dyn FnMut(usize, &Tensor<2>),
    ) -> Tensor<2> {
        let stepper = self.kind.stepper(&walk.model.schedule);
        let mut z = z_0;
        for k in 0..self.steps {
            z = stepper.step(&mut walk, k, z);
            observe(k + 1, &z);
        }
        z
    }
}

#[cfg(test)]
mod dt_tests;
#[cfg(test)]
mod tests;
