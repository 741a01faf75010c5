//! The noise schedule γ(t) and what follows from it (paper appendix B, eq. 65–67).
//!
//! SNR(t) = exp(−γ(t)), ᾱ(t) = σ(−γ(t)); γ falls from γ₁ at t = 0 (noise) to γ₀ at t = 1 (clean):
//!
//! ```text
//! γ̄(t) = (γ̃(t) − γ̃(0)) / (γ̃(1) − γ̃(0))      exactly 0 … 1
//! γ(t)  = γ₀ + (γ₁ − γ₀)(1 − γ̄(t))
//! γ′(t) = −(γ₁ − γ₀) γ̃′(t) / (γ̃(1) − γ̃(0))
//! SNR′(t) = −γ′(t) exp(−γ(t))
//! ```
//!
//! NoProp-CT and the reference have a [`NoiseSchedule`] in continuous time, NoProp-DT a fixed table of
//! T steps ([`CosineSchedule`]), flow matching a path of its own ([`FlowPath`]).
//!
//! γ̃ is a two-layer network with positive weights, hence increasing; its derivative is written
//! out, so training needs first-order differentiation only.

mod cosine;
mod flow;
mod gates;
mod learned;
mod reference;

use burn::module::{Module, Param};
use burn::tensor::activation::{log_sigmoid, sigmoid};
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

pub use cosine::{CosineForm, CosineSchedule};
pub use flow::FlowPath;
pub use gates::Gates;
pub use learned::LearnedSchedule;
pub use reference::ReferenceSchedule;

use crate::error::ConfigError;

/// The noise schedule of NoProp-CT, with its initial values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ScheduleConfig {
    /// The paper's, with γ₀, γ₁ and γ̃ learned; monotone by construction.
    Learned {
        /// Initial γ at t = 1, the clean end.
        #[serde(default = "default_gamma_0")]
        gamma_0: f64,
        /// Initial γ at t = 0, the noise end.
        #[serde(default = "default_gamma_1")]
        gamma_1: f64,
        /// Hidden units of γ̃.
        #[serde(default = "default_hidden")]
        hidden: usize,
    },
    /// γ̄(t) = t with fixed ends.
    Linear {
        /// γ at t = 1, the clean end.
        #[serde(default = "default_gamma_0")]
        gamma_0: f64,
        /// γ at t = 0, the noise end.
        #[serde(default = "default_gamma_1")]
        gamma_1: f64,
    },
}

fn default_gamma_0() -> f64 {
    -7.0
}

fn default_gamma_1() -> f64 {
    7.0
}

/// Hidden units of a learned γ̃ where none are given.
pub(crate) fn default_hidden() -> usize {
    64
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self::Learned {
            gamma_0: default_gamma_0(),
            gamma_1: default_gamma_1(),
            hidden: default_hidden(),
        }
    }
}

impl ScheduleConfig {
    /// Hidden units of γ̃; 0 where γ̃ is not learned.
    pub(crate) fn hidden(&self) -> usize {
        match *self {
            Self::Learned { hidden, .. } => hidden,
            Self::Linear { .. } => 0,
        }
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        match *self {
            Self::Learned {
                gamma_0,
                gamma_1,
                hidden,
            } => {
                check_ends(gamma_0, gamma_1)?;
                ConfigError::at_least("method.schedule.hidden", hidden, 1, "at least 1")
            }
            Self::Linear { gamma_0, gamma_1 } => check_ends(gamma_0, gamma_1),
        }
    }

    /// The schedule with its initial parameters, which `seed` decides.
    pub fn init(&self, seed: u64, device: &Device) -> NoiseSchedule {
        match *self {
            Self::Learned {
                gamma_0,
                gamma_1,
                hidden,
            } => {
                NoiseSchedule::Learned(LearnedSchedule::new(gamma_0, gamma_1, hidden, seed, device))
            }
            Self::Linear { gamma_0, gamma_1 } => {
                NoiseSchedule::Linear(LinearSchedule { gamma_0, gamma_1 })
            }
        }
    }
}

/// Checks the two ends of γ.
pub(crate) fn check_ends(gamma_0: f64, gamma_1: f64) -> Result<(), ConfigError> {
    // Beyond ±30 the complement of ᾱ is below f32's resolution.
    let in_range = |g: f64| (-30.0..=30.0).contains(&g);
    if in_range(gamma_0) && in_range(gamma_1) && gamma_1 > gamma_0 {
        return Ok(());
    }
    Err(ConfigError::value(
        "method.schedule",
        format!("gamma_0 = {gamma_0}, gamma_1 = {gamma_1}"),
        "gamma_0 < gamma_1, both between -30 and 30",
    ))
}

/// Everything that is known of a noise process at some times; all fields `[n, 1]`.
#[derive(Debug, Clone)]
pub struct SchedulePoint {
    /// The times t.
    pub t: Tensor<2>,
    /// ᾱ(t), the share of signal in the variance of z_t.
    pub alpha_bar: Tensor<2>,
    /// 1 − ᾱ(t), computed without cancellation.
    pub sigma_squared: Tensor<2>,
    /// λ(t) = log SNR(t) = −γ(t).
    pub log_snr: Tensor<2>,
    /// SNR′(t).
    pub snr_prime: Tensor<2>,
}

impl SchedulePoint {
    /// z_t = √ᾱ u + √(1−ᾱ) ε: `u`, `noise` `[n, d]` → `[n, d]` (eq. 5 and 9).
    pub fn diffuse(&self, u: Tensor<2>, noise: Tensor<2>) -> Tensor<2> {
        self.alpha_bar.clone().sqrt() * u + self.sigma_squared.clone().sqrt() * noise
    }

    /// What is known at time number `k` alone: every field `[1, 1]`.
    pub fn row(&self, k: usize) -> Self {
        let row = |field: &Tensor<2>| field.clone().narrow(0, k, 1);
        Self {
            t: row(&self.t),
            alpha_bar: row(&self.alpha_bar),
            sigma_squared: row(&self.sigma_squared),
            log_snr: row(&self.log_snr),
            snr_prime: row(&self.snr_prime),
        }
    }

    fn from_gamma(t: Tensor<2>, gamma: Tensor<2>, gamma_prime: Tensor<2>) -> Self {
        Self {
            t,
            alpha_bar: sigmoid(gamma.clone().neg()),
            sigma_squared: sigmoid(gamma.clone()),
            snr_prime: gamma_prime.neg() * gamma.clone().neg().exp(),
            log_snr: gamma.neg(),
        }
    }
}

/// A noise schedule in continuous time.
#[derive(Module, Debug)]
pub enum NoiseSchedule {
    /// γ₀, γ₁ and γ̃ are learned, monotone by construction.
    Learned(LearnedSchedule),
    /// γ is linear in t, with fixed ends.
    Linear(LinearSchedule),
    /// The reference's formulas.
    Reference(ReferenceSchedule),
}

/// γ̄(t) = t with fixed ends: no parameters.
#[derive(Module, Debug)]
pub struct LinearSchedule {
    gamma_0: f64,
    gamma_1: f64,
}

impl LinearSchedule {
    fn at(&self, t: Tensor<2>) -> SchedulePoint {
        let gap = self.gamma_1 - self.gamma_0;
        let prime = t.clone().zeros_like().sub_scalar(gap);
        let gamma = t.clone().mul_scalar(-gap).add_scalar(self.gamma_1);
        SchedulePoint::from_gamma(t, gamma, prime)
    }
}

impl NoiseSchedule {
    /// The process at times `t`, `[n, 1]`, each in [0, 1].
    pub fn at(&self, t: Tensor<2>) -> SchedulePoint {
        match self {
            Self::Learned(schedule) => schedule.at(t),
            Self::Linear(schedule) => schedule.at(t),
            Self::Reference(schedule) => schedule.at(t),
        }
    }

    /// Times 0 = t_0 < … < t_T = 1 at which λ runs evenly from λ(0) to λ(1): `[steps + 1, 1]`.
    ///
    /// γ has no closed inverse; between knots it is close enough to a line that λ(t_k) is even to
    /// about 1e-5, and whoever needs λ(t_k) must ask [`Self::at`] for the exact one.
    pub fn times_even_in_log_snr(&self, steps: usize, device: &Device) -> Tensor<2> {
        self.times_at_log_snr(even_times(steps, device)).0
    }

    /// The times at which λ is at the shares `share` `[n, 1]` of its way from λ(0) to λ(1), and dt/dshare
    /// there; both `[n, 1]`. λ is taken as a line between knots, in both alike: for uniform shares the
    /// second is the reciprocal of the density of the first, exactly.
    pub fn times_at_log_snr(&self, share: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        const KNOTS: usize = 1024;
        let device = &share.device();
        let knots = self.at(even_times(KNOTS, device)).log_snr;
        let first = knots.clone().narrow(0, 0, 1);
        let range = knots.clone().narrow(0, KNOTS, 1) - first.clone();
        let wanted = first + range.clone() * share;

        let below = wanted
            .clone()
            .greater_equal(knots.clone().transpose())
            .int()
            .sum_dim(1)
            .sub_scalar(1)
            .clamp(0, KNOTS as i64 - 1)
            .flatten::<1>(0, 1);
        let left = knots.clone().select(0, below.clone());
        let right = knots.select(0, below.clone().add_scalar(1));
        // Where the reference's clamp makes λ flat, any time between the knots will do.
        let gap = (right - left.clone()).clamp_min(1e-9);
        let part = ((wanted - left) / gap.clone()).clamp(0.0, 1.0);
        let t = (below.float().unsqueeze_dim::<2>(1) + part).div_scalar(KNOTS as f64);
        (t, range / gap.mul_scalar(KNOTS as f64))
    }
}

/// The times 0, 1/T, …, 1: `[steps + 1, 1]`.
pub fn even_times(steps: usize, device: &Device) -> Tensor<2> {
    let t: Vec<f32> = (0..=steps).map(|k| k as f32 / steps as f32).collect();
    Tensor::from_data(TensorData::new(t, [steps + 1, 1]), device)
}

/// KL(q(z_0|y) ‖ N(0, I)) of each row of `u` `[n, d]`, in closed form → `[n, 1]`:
/// ½[ᾱ₀(‖u‖² − d) − d ln(1−ᾱ₀)], with `log_snr_0` = λ(0) `[1, 1]`.
pub fn kl_to_standard_normal(u: Tensor<2>, log_snr_0: Tensor<2>) -> Tensor<2> {
    let d = u.dims()[1] as f64;
    let alpha_bar_0 = sigmoid(log_snr_0.clone());
    let log_sigma_squared_0 = log_sigmoid(log_snr_0.neg());
    let norm = u.square().sum_dim(1);
    (alpha_bar_0 * norm.sub_scalar(d) - log_sigma_squared_0.mul_scalar(d)).mul_scalar(0.5)
}

fn scalar(value: f64, device: &Device) -> Param<Tensor<1>> {
    Param::from_tensor(Tensor::from_data([value as f32], device))
}

#[cfg(test)]
mod tests;
