//! The noise schedules: γ(t), and with it SNR(t) and ᾱ(t) (paper appendix B, eq. 65–67).
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
//! NoProp-CT and the reference have a [`NoiseSchedule`] in continuous time, NoProp-DT has a fixed table of T
//! steps ([`DiscreteSchedule`]), and flow matching has a straight path ([`FlowPath`]).
//!
//! The function γ̃ is a two-layer network with positive weights, hence increasing. Its derivative is written
//! out, so training needs first derivatives only.

mod discrete;
mod flow;
mod gates;
mod learned;
mod reference;

use burn::module::{Module, Param};
use burn::tensor::activation::{sigmoid, softplus};
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

pub use discrete::{DiscreteForm, DiscreteSchedule};
pub use flow::FlowPath;
pub use gates::Gates;
pub use learned::LearnedSchedule;
pub use reference::ReferenceSchedule;

use crate::error::ConfigError;

/// The noise schedule of NoProp-CT and its initial values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ScheduleConfig {
    /// The schedule of the paper: γ₀, γ₁ and γ̃ are learned, and γ is monotone by construction.
    Learned {
        /// The initial value of γ at t = 1, the clean end.
        #[serde(default = "default_gamma_0")]
        gamma_0: f64,
        /// The initial value of γ at t = 0, the noise end.
        #[serde(default = "default_gamma_1")]
        gamma_1: f64,
        /// The number of hidden units of γ̃.
        #[serde(default = "default_hidden")]
        hidden: usize,
    },
    /// The linear schedule γ̄(t) = t with fixed ends.
    Linear {
        /// The value of γ at t = 1, the clean end.
        #[serde(default = "default_gamma_0")]
        gamma_0: f64,
        /// The value of γ at t = 0, the noise end.
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

/// The number of hidden units of a learned γ̃ if a recipe gives none.
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
    /// The value γ₀ of γ at t = 1, before training.
    pub(crate) fn gamma_0(&self) -> f64 {
        match *self {
            Self::Learned { gamma_0, .. } | Self::Linear { gamma_0, .. } => gamma_0,
        }
    }

    /// The number of hidden units of γ̃; 0 if γ̃ is not learned.
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

    /// The schedule with initial parameters drawn from `seed`.
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

/// The largest |λ|. Beyond it the smaller one of ᾱ and 1 − ᾱ is below the resolution of f32.
const MOST_LOG_SNR: f64 = 30.0;

/// Checks the two ends γ₀ and γ₁ of γ.
pub(crate) fn check_ends(gamma_0: f64, gamma_1: f64) -> Result<(), ConfigError> {
    let in_range = |g: f64| (-MOST_LOG_SNR..=MOST_LOG_SNR).contains(&g);
    if in_range(gamma_0) && in_range(gamma_1) && gamma_1 > gamma_0 {
        return Ok(());
    }
    Err(ConfigError::value(
        "method.schedule",
        format!("gamma_0 = {gamma_0}, gamma_1 = {gamma_1}"),
        "gamma_0 < gamma_1, both between -30 and 30",
    ))
}

/// A noise process at n times; all fields are `[n, 1]`.
#[derive(Debug, Clone)]
pub struct SchedulePoint {
    /// The times t.
    pub t: Tensor<2>,
    /// The share ᾱ(t) of signal in the variance of z_t.
    pub alpha_bar: Tensor<2>,
    /// The share 1 − ᾱ(t) of noise in the variance of z_t, computed without cancellation.
    pub sigma_squared: Tensor<2>,
    /// The log signal-to-noise ratio λ(t) = log SNR(t) = −γ(t).
    pub log_snr: Tensor<2>,
    /// The derivative λ′(t) = −γ′(t).
    pub log_snr_prime: Tensor<2>,
    /// The derivative SNR′(t).
    pub snr_prime: Tensor<2>,
}

impl SchedulePoint {
    /// The latents z_t = √ᾱ u + √(1−ᾱ) ε `[n, d]` from class embeddings `u` and standard normal noise ε =
    /// `noise`, both `[n, d]` (eq. 5).
    pub fn diffuse(&self, u: Tensor<2>, noise: Tensor<2>) -> Tensor<2> {
        self.alpha_bar.clone().sqrt() * u + self.sigma_squared.clone().sqrt() * noise
    }

    /// The process at time number `k` alone, with every field `[1, 1]`.
    pub fn row(&self, k: usize) -> Self {
        let row = |field: &Tensor<2>| field.clone().narrow(0, k, 1);
        Self {
            t: row(&self.t),
            alpha_bar: row(&self.alpha_bar),
            sigma_squared: row(&self.sigma_squared),
            log_snr: row(&self.log_snr),
            log_snr_prime: row(&self.log_snr_prime),
            snr_prime: row(&self.snr_prime),
        }
    }

    /// The process at times `t` from γ and γ′, `[n, 1]` each. Beyond ±[`MOST_LOG_SNR`] a learned γ is
    /// clamped, so that no exponential overflows.
    fn from_gamma(t: Tensor<2>, gamma: Tensor<2>, gamma_prime: Tensor<2>) -> Self {
        let gamma = gamma.clamp(-MOST_LOG_SNR, MOST_LOG_SNR);
        let log_snr_prime = gamma_prime.neg();
        Self {
            t,
            alpha_bar: sigmoid(gamma.clone().neg()),
            sigma_squared: sigmoid(gamma.clone()),
            snr_prime: log_snr_prime.clone() * gamma.clone().neg().exp(),
            log_snr: gamma.neg(),
            log_snr_prime,
        }
    }
}

/// A noise schedule in continuous time.
#[derive(Module, Debug)]
pub enum NoiseSchedule {
    /// The schedule of the paper, whose γ₀, γ₁ and γ̃ are learned.
    Learned(LearnedSchedule),
    /// The schedule whose γ is linear in t, with fixed ends.
    Linear(LinearSchedule),
    /// The learned schedule of the reference.
    Reference(ReferenceSchedule),
}

/// The linear schedule γ̄(t) = t with fixed ends. It has no parameters.
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

    /// The times 0 = t_0 < … < t_T = 1 at which λ runs in even steps from λ(0) to λ(1), `[steps + 1, 1]`.
    ///
    /// A learned γ has no closed inverse. It is interpolated linearly between 1024 knots, so λ(t_k) is even
    /// up to about 1e-5; [`Self::at`] gives the exact λ(t_k).
    pub fn times_even_in_log_snr(&self, steps: usize, device: &Device) -> Tensor<2> {
        self.times_at_log_snr(even_times(steps, device)).0
    }

    /// The times at which λ has gone the fractions `share` `[n, 1]` of its way from λ(0) to λ(1), and
    /// dt/dshare at these times; both are `[n, 1]`. Both use the same linear interpolation of λ between
    /// knots. So if the shares are uniform, the second tensor is exactly the reciprocal of the probability
    /// density of the first.
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
        // Where a clamp makes λ constant, any time between the knots is right.
        let gap = (right - left.clone()).clamp_min(1e-9);
        let part = ((wanted - left) / gap.clone()).clamp(0.0, 1.0);
        let t = (below.float().unsqueeze_dim::<2>(1) + part).div_scalar(KNOTS as f64);
        (t, range / gap.mul_scalar(KNOTS as f64))
    }
}

/// The times 0, 1/T, …, 1 for T = `steps`, `[steps + 1, 1]`.
pub fn even_times(steps: usize, device: &Device) -> Tensor<2> {
    let t: Vec<f32> = (0..=steps).map(|k| k as f32 / steps as f32).collect();
    Tensor::from_data(TensorData::new(t, [steps + 1, 1]), device)
}

/// The Kullback–Leibler divergence KL(q(z_0|y) ‖ N(0, I)) in closed form, `[n, 1]`, for class embeddings `u`
/// `[n, d]`: ½[ᾱ₀(‖u‖² − d) − d ln(1−ᾱ₀)] with ᾱ₀ = σ(λ(0)) and `log_snr_0` = λ(0) `[1, 1]`.
pub fn kl_to_standard_normal(u: Tensor<2>, log_snr_0: Tensor<2>) -> Tensor<2> {
    let d = u.dims()[1] as f64;
    let alpha_bar_0 = sigmoid(log_snr_0.clone());
    // ln(1 − ᾱ₀) = −softplus(λ(0)). Burn's log_sigmoid loses digits where ᾱ₀ is small.
    let log_sigma_squared_0 = softplus(log_snr_0, 1.0).neg();
    let norm = u.square().sum_dim(1);
    (alpha_bar_0 * norm.sub_scalar(d) - log_sigma_squared_0.mul_scalar(d)).mul_scalar(0.5)
}

/// A parameter of one number, `[1]`.
fn scalar(value: f64, device: &Device) -> Param<Tensor<1>> {
    Param::from_tensor(Tensor::from_data([value as f32], device))
}

#[cfg(test)]
mod tests;
