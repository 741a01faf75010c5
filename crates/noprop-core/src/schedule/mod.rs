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
//! Flow matching has a path of its own instead ([`FlowSchedule`]), and NoProp-DT a fixed table of T steps
//! ([`CosineSchedule`]); a model's schedule thus says of which process the model is.
//!
//! γ̃ is a two-layer network with positive weights, hence increasing; its derivative is written
//! out, so training needs first-order differentiation only.

mod cosine;
mod flow;
mod learned;
mod linear;
mod reference;

use burn::module::{Module, Param};
use burn::tensor::activation::{log_sigmoid, sigmoid};
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::config::{at_least, value};
use crate::error::ConfigError;

pub use cosine::{CosineForm, CosineSchedule};
pub use flow::FlowSchedule;
pub use learned::LearnedSchedule;
pub use linear::LinearSchedule;
pub use reference::ReferenceSchedule;

/// Which schedule, with its initial values.
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
    /// The reference's: unconstrained γ̃, ᾱ = σ(−`scale`·γ), clamped. Kept to reproduce its logs.
    Reference {
        /// Initial γ at t = 1, the clean end.
        gamma_0: f64,
        /// Initial γ at t = 0, the noise end.
        gamma_1: f64,
        /// Hidden units of γ̃.
        #[serde(default = "default_hidden")]
        hidden: usize,
        /// Factor on γ inside the sigmoid: 1 in `nopropct_mnist.py`, ½ in `noprop_simple.py`.
        scale: f64,
        /// ᾱ is clamped to [`clamp`, 1 − `clamp`].
        clamp: f64,
    },
    /// The straight path of flow matching (NoProp-FM): z_t = t u + (1 − t) z_0 + σ ε.
    Flow {
        /// Standard deviation σ around the path, which the paper does not give; 0 is conditional
        /// optimal transport.
        #[serde(default)]
        sigma: f64,
    },
    /// The fixed cosine schedule of NoProp-DT, whose every step is a block of its own.
    Cosine {
        /// Steps T, and blocks.
        #[serde(default = "default_steps")]
        steps: usize,
        /// Which cosine.
        #[serde(default)]
        form: CosineForm,
    },
}

fn default_gamma_0() -> f64 {
    -7.0
}
fn default_gamma_1() -> f64 {
    7.0
}
fn default_steps() -> usize {
    10
}
fn default_hidden() -> usize {
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

/// Most blocks that a model may have.
const MOST_STEPS: usize = 1000;

impl ScheduleConfig {
    /// Whether the process is flow matching, not diffusion.
    pub fn is_flow(&self) -> bool {
        matches!(self, Self::Flow { .. })
    }

    /// T where the process has T discrete steps, each a block of its own (NoProp-DT).
    pub fn blocks(&self) -> Option<usize> {
        match *self {
            Self::Cosine { steps, .. } => Some(steps),
            _ => None,
        }
    }

    /// Hidden units of γ̃; 0 where it is not learned.
    pub(crate) fn hidden(&self) -> usize {
        match *self {
            Self::Learned { hidden, .. } | Self::Reference { hidden, .. } => hidden,
            Self::Linear { .. } | Self::Flow { .. } | Self::Cosine { .. } => 0,
        }
    }

    fn ends(&self) -> (f64, f64) {
        match *self {
            Self::Flow { .. } | Self::Cosine { .. } => (default_gamma_0(), default_gamma_1()),
            Self::Learned {
                gamma_0, gamma_1, ..
            }
            | Self::Linear { gamma_0, gamma_1 }
            | Self::Reference {
                gamma_0, gamma_1, ..
            } => (gamma_0, gamma_1),
        }
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let (gamma_0, gamma_1) = self.ends();
        // Beyond ±30 the complement of ᾱ is below f32's resolution.
        let in_range = |g: f64| (-30.0..=30.0).contains(&g);
        if !(in_range(gamma_0) && in_range(gamma_1) && gamma_1 > gamma_0) {
            return Err(value(
                "model.schedule",
                format!("gamma_0 = {gamma_0}, gamma_1 = {gamma_1}"),
                "gamma_0 < gamma_1, both between -30 and 30",
            ));
        }
        match *self {
            Self::Learned { hidden, .. } => {
                at_least("model.schedule.hidden", hidden, 1, "at least 1")
            }
            Self::Linear { .. } => Ok(()),
            Self::Flow { sigma } if !(sigma.is_finite() && sigma >= 0.0) => Err(value(
                "model.schedule.sigma",
                sigma,
                "zero or a positive number",
            )),
            Self::Flow { .. } => Ok(()),
            Self::Cosine { steps, .. } if !(2..=MOST_STEPS).contains(&steps) => {
                Err(value("model.schedule.steps", steps, "from 2 to 1000"))
            }
            Self::Cosine { .. } => Ok(()),
            Self::Reference {
                hidden,
                clamp,
                scale,
                ..
            } => {
                if !(0.0..0.5).contains(&clamp) {
                    return Err(value(
                        "model.schedule.clamp",
                        clamp,
                        "at least 0 and below 0.5",
                    ));
                }
                if !(scale.is_finite() && scale > 0.0) {
                    return Err(value("model.schedule.scale", scale, "a positive number"));
                }
                at_least("model.schedule.hidden", hidden, 1, "at least 1")
            }
        }
    }

    /// The schedule with its initial parameters.
    pub fn init(&self, seed: u64, device: &Device) -> NoiseSchedule {
        let (gamma_0, gamma_1) = self.ends();
        match *self {
            Self::Learned { hidden, .. } => {
                NoiseSchedule::Learned(LearnedSchedule::new(gamma_0, gamma_1, hidden, seed, device))
            }
            Self::Linear { .. } => NoiseSchedule::Linear(LinearSchedule { gamma_0, gamma_1 }),
            Self::Flow { sigma } => NoiseSchedule::Flow(FlowSchedule { sigma }),
            Self::Cosine { steps, form } => NoiseSchedule::Cosine(CosineSchedule { steps, form }),
            Self::Reference {
                hidden,
                scale,
                clamp,
                ..
            } => NoiseSchedule::Reference(ReferenceSchedule::new(
                gamma_0, gamma_1, hidden, scale, clamp, seed, device,
            )),
        }
    }
}

/// Everything that is known of the process at some times; all fields `[n, 1]`.
#[derive(Debug, Clone)]
pub struct SchedulePoint {
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

    fn from_gamma(gamma: Tensor<2>, gamma_prime: Tensor<2>) -> Self {
        Self {
            alpha_bar: sigmoid(gamma.clone().neg()),
            sigma_squared: sigmoid(gamma.clone()),
            snr_prime: gamma_prime.neg() * gamma.clone().neg().exp(),
            log_snr: gamma.neg(),
        }
    }
}

/// A noise schedule.
#[derive(Module, Debug)]
pub enum NoiseSchedule {
    /// See [`ScheduleConfig::Learned`].
    Learned(LearnedSchedule),
    /// See [`ScheduleConfig::Linear`].
    Linear(LinearSchedule),
    /// See [`ScheduleConfig::Reference`].
    Reference(ReferenceSchedule),
    /// See [`ScheduleConfig::Flow`].
    Flow(FlowSchedule),
    /// See [`ScheduleConfig::Cosine`].
    Cosine(CosineSchedule),
}

impl NoiseSchedule {
    /// The process at times `t`, `[n, 1]`, each in [0, 1].
    pub fn at(&self, t: Tensor<2>) -> SchedulePoint {
        match self {
            Self::Learned(schedule) => schedule.at(t),
            Self::Linear(schedule) => schedule.at(t),
            Self::Reference(schedule) => schedule.at(t),
            Self::Flow(schedule) => schedule.at(t),
            Self::Cosine(schedule) => schedule.at(t),
        }
    }

    /// Whether the process is flow matching, not diffusion.
    pub fn is_flow(&self) -> bool {
        matches!(self, Self::Flow(_))
    }

    /// Times 0 = t_0 < … < t_T = 1 at which λ runs evenly from λ(0) to λ(1): `[steps + 1, 1]`.
    ///
    /// γ has no closed inverse; between knots it is close enough to a line that λ(t_k) is even to
    /// about 1e-5, and whoever needs λ(t_k) asks [`Self::at`] for the exact one.
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
