//! The walk from z_0 at t = 0 to z_1 at t = 1 in T steps.
//!
//! A [`Walk`] is a sampler, a number of steps and a seed; [`NoProp::walk`](crate::NoProp::walk) makes it. A
//! [`Sampler`] is the rule of one step. To add a sampler, write one file with a `pub const` of type
//! [`Sampler`] and a [`Stepper`], its `mod` and `use` lines here, and one line in [`SAMPLERS`]: the command
//! line, the help texts, the protocol and the page read that table. The page explains a step of it by its label
//! until `web/src/logic/samplers.rs` knows its formula.

mod ancestral;
mod context;
mod ddim;
mod direct;
mod ensemble;
mod euler;
mod gated;
mod heun;
mod ode;
mod reference;

use core::fmt;
use core::str::FromStr;

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use ancestral::ANCESTRAL;
pub use context::{SeenLatents, StepNoise, WalkContext};
pub use ddim::DDIM;
pub use direct::DIRECT;
pub use ensemble::ENSEMBLE;
pub use euler::EULER;
pub use gated::GATED;
pub use heun::HEUN;
pub use ode::{LONGEST_STEP, Ode, Slope, ode, probability_flow_velocity};
pub use reference::{REFERENCE_EULER, REFERENCE_HEUN};

use crate::error::WalkError;
use crate::network::{Process, ProcessKind};
use crate::noise::initial_latents;
use crate::schedule::even_times;

/// All samplers, in the order of help texts and menus.
pub const SAMPLERS: &[Sampler] = &[
    DDIM,
    EULER,
    HEUN,
    ANCESTRAL,
    ENSEMBLE,
    GATED,
    DIRECT,
    REFERENCE_EULER,
    REFERENCE_HEUN,
];

/// A sampler: the rule of one step of a walk from z_0 to z_1. It is a value, and a program may make samplers
/// of its own.
///
/// Recipes, the command line and the messages of the page name a sampler by its `name` and look it up in
/// [`SAMPLERS`].
#[derive(Clone, Copy)]
pub struct Sampler {
    /// The name in recipes and on the command line, in lower case.
    pub name: &'static str,
    /// The name in menus.
    pub label: &'static str,
    /// The number of evaluations of the denoiser in each step.
    pub evaluations_per_step: usize,
    /// The kinds of processes that the sampler serves.
    pub processes: &'static [ProcessKind],
    /// The variable in which the steps are even.
    pub steps: StepsEvenIn,
    /// Begins a walk; `None` if the sampler does not serve the process.
    pub start: for<'a> fn(&'a WalkContext<'a>) -> Option<Box<dyn Stepper + 'a>>,
}

/// The variable in which the steps of a walk are even.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepsEvenIn {
    /// The time t.
    Time,
    /// The variable in which the process has an ordinary differential equation: λ = log SNR for
    /// diffusion, t for a flow.
    Equation,
}

/// A walk in progress: it makes the steps of one sampler.
pub trait Stepper {
    /// The latents `[b, d]` at t_{k+1} from `z` `[b, d]` at t_k, for k = 0 … T − 1.
    fn step(&mut self, k: usize, z: Tensor<2>) -> Tensor<2>;
}

impl Sampler {
    /// Whether the sampler serves processes of this kind.
    pub fn serves(&self, process: ProcessKind) -> bool {
        self.processes.contains(&process)
    }

    /// The samplers that serve processes of this kind, in the order of [`SAMPLERS`].
    pub fn serving(process: ProcessKind) -> impl Iterator<Item = Self> {
        let all = SAMPLERS.iter().copied();
        all.filter(move |sampler| sampler.serves(process))
    }
}

impl fmt::Debug for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sampler").field(&self.name).finish()
    }
}

impl fmt::Display for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

impl PartialEq for Sampler {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Sampler {}

impl FromStr for Sampler {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = SAMPLERS.iter().find(|sampler| sampler.name == name);
        found.copied().ok_or_else(|| {
            let names: Vec<_> = SAMPLERS.iter().map(|sampler| sampler.name).collect();
            format!(
                "no sampler is called {name:?}, expected one of {}",
                names.join(", ")
            )
        })
    }
}

impl Serialize for Sampler {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

impl<'de> Deserialize<'de> for Sampler {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}

/// A walk: how to go from z_0 to z_1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Walk {
    /// The sampler.
    pub sampler: Sampler,
    /// The number of steps T, at least 1.
    pub steps: usize,
    /// The seed of z_0 and of the noise of ancestral sampling.
    pub seed: u64,
    /// The factor on z_0. With 1 walks start from N(0, I) as in the paper, with 0 from its mean.
    pub temperature: f32,
}

impl Walk {
    /// A walk of `steps` steps by `sampler`, with seed 0 and temperature 1.
    pub fn new(sampler: Sampler, steps: usize) -> Self {
        Self {
            sampler,
            steps,
            seed: 0,
            temperature: 1.0,
        }
    }

    /// This walk with another seed.
    pub fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Checks that this walk suits a model of the method called `method`, with a process of kind `process`
    /// and with this number of blocks, if it has blocks.
    pub(crate) fn check(
        &self,
        method: &'static str,
        process: ProcessKind,
        blocks: Option<usize>,
    ) -> Result<(), WalkError> {
        if !self.sampler.serves(process) {
            let choices: Vec<_> = Sampler::serving(process).map(|s| s.name).collect();
            return Err(WalkError::Sampler {
                sampler: self.sampler.name,
                method,
                process: process.describe(),
                choices: choices.join(" or "),
            });
        }
        if self.steps == 0 {
            return Err(WalkError::NoSteps);
        }
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            return Err(WalkError::Temperature(self.temperature.to_string()));
        }
        match blocks {
            Some(blocks) if blocks != self.steps => Err(WalkError::Steps {
                method,
                blocks,
                steps: self.steps,
            }),
            _ => Ok(()),
        }
    }

    /// The initial latents z_0 `[count, dim]` of the images `first .. first + count`, bit-identical on every
    /// device.
    pub fn initial_latents(
        &self,
        first: usize,
        count: usize,
        dim: usize,
        device: &Device,
    ) -> Tensor<2> {
        let mut values = initial_latents(self.seed, first, count, dim);
        values.iter_mut().for_each(|z| *z *= self.temperature);
        Tensor::from_data(TensorData::new(values, [count, dim]), device)
    }

    /// The times t_0 = 0, …, t_T = 1 of this walk of `process`, `[T + 1, 1]`.
    pub(crate) fn times(&self, process: Process<'_>, device: &Device) -> Tensor<2> {
        match (self.sampler.steps, process) {
            (StepsEvenIn::Equation, Process::Diffusion(model)) => {
                model.schedule.times_even_in_log_snr(self.steps, device)
            }
            _ => even_times(self.steps, device),
        }
    }
}

#[cfg(test)]
mod discrete_tests;
#[cfg(test)]
mod flow_tests;
#[cfg(test)]
mod tests;
