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
//! γ̃ is a two-layer network with positive weights, hence increasing; its derivative is written
//! out, so training needs first-order differentiation only.

use burn::module::{Module, Param};
use burn::tensor::activation::{log_sigmoid, sigmoid, softplus, tanh};
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::config::{at_least, value};
use crate::error::ConfigError;
use crate::noise::{NoiseSource, Purpose};

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
}

fn default_gamma_0() -> f64 {
    -7.0
}
fn default_gamma_1() -> f64 {
    7.0
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

impl ScheduleConfig {
    fn ends(&self) -> (f64, f64) {
        match *self {
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

    /// The process on the grid 0, 1/T, …, 1: fields `[steps + 1, 1]`.
    pub fn grid(&self, steps: usize, device: &Device) -> SchedulePoint {
        let t: Vec<f32> = (0..=steps).map(|k| k as f32 / steps as f32).collect();
        self.at(Tensor::from_data(
            TensorData::new(t, [steps + 1, 1]),
            device,
        ))
    }
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

/// γ̃(t) = Σ_j sp(v_j) tanh(sp(w_j) t + b_j) with sp = softplus.
#[derive(Module, Debug)]
pub struct LearnedSchedule {
    /// γ₀, `[1]`.
    pub gamma_0: Param<Tensor<1>>,
    /// γ₁ − γ₀ before the softplus that keeps it positive, `[1]`.
    pub gap: Param<Tensor<1>>,
    /// w before its softplus, `[1, hidden]`.
    pub slope: Param<Tensor<2>>,
    /// b, `[1, hidden]`.
    pub shift: Param<Tensor<2>>,
    /// v before its softplus, `[hidden, 1]`.
    pub height: Param<Tensor<2>>,
}

impl LearnedSchedule {
    fn new(gamma_0: f64, gamma_1: f64, hidden: usize, seed: u64, device: &Device) -> Self {
        let mut noise = NoiseSource::new(seed, Purpose::Initialising, 1);
        let param = |values: Vec<f32>, shape: [usize; 2]| {
            Param::from_tensor(Tensor::<2>::from_data(
                TensorData::new(values, shape),
                device,
            ))
        };
        Self {
            gamma_0: scalar(gamma_0, device),
            gap: scalar(inverse_softplus(gamma_1 - gamma_0), device),
            slope: param(noise.normal(hidden), [1, hidden]),
            // The bends of the hidden units spread over t ∈ [0, 1].
            shift: param(
                noise.uniform(hidden).iter().map(|u| -u).collect(),
                [1, hidden],
            ),
            height: param(noise.normal(hidden), [hidden, 1]),
        }
    }

    fn at(&self, t: Tensor<2>) -> SchedulePoint {
        let slope = softplus(self.slope.val(), 1.0);
        let height = softplus(self.height.val(), 1.0);
        let shift = self.shift.val();
        let gap = softplus(self.gap.val(), 1.0).unsqueeze::<2>();

        let at_0 = tanh(shift.clone()).matmul(height.clone());
        let at_1 = tanh(slope.clone() + shift.clone()).matmul(height.clone());
        let range = at_1 - at_0.clone();
        let unit = tanh(t * slope.clone() + shift);
        let gamma_tilde = unit.clone().matmul(height.clone());
        let gamma_tilde_prime = (unit.square().neg().add_scalar(1.0) * slope).matmul(height);

        let gamma_bar = (gamma_tilde - at_0) / range.clone();
        let gamma =
            self.gamma_0.val().unsqueeze::<2>() + gap.clone() * gamma_bar.neg().add_scalar(1.0);
        SchedulePoint::from_gamma(gamma, (gap * gamma_tilde_prime / range).neg())
    }
}

/// γ̄(t) = t.
#[derive(Module, Debug)]
pub struct LinearSchedule {
    gamma_0: f64,
    gamma_1: f64,
}

impl LinearSchedule {
    fn at(&self, t: Tensor<2>) -> SchedulePoint {
        let gap = self.gamma_1 - self.gamma_0;
        let prime = t.clone().zeros_like().sub_scalar(gap);
        SchedulePoint::from_gamma(t.mul_scalar(-gap).add_scalar(self.gamma_1), prime)
    }
}

/// The reference's γ̃: Linear(1, h) → softplus → Linear(h, 1) → softplus, signs unconstrained.
#[derive(Module, Debug)]
pub struct ReferenceSchedule {
    /// γ₀, `[1]`.
    pub gamma_0: Param<Tensor<1>>,
    /// γ₁, `[1]`.
    pub gamma_1: Param<Tensor<1>>,
    /// First layer.
    pub l1: burn::nn::Linear,
    /// Second layer.
    pub l2: burn::nn::Linear,
    scale: f64,
    clamp: f64,
}

impl ReferenceSchedule {
    fn new(
        gamma_0: f64,
        gamma_1: f64,
        hidden: usize,
        scale: f64,
        clamp: f64,
        _seed: u64,
        device: &Device,
    ) -> Self {
        Self {
            gamma_0: scalar(gamma_0, device),
            gamma_1: scalar(gamma_1, device),
            l1: burn::nn::LinearConfig::new(1, hidden).init(device),
            l2: burn::nn::LinearConfig::new(hidden, 1).init(device),
            scale,
            clamp,
        }
    }

    /// γ̃(t) and γ̃′(t).
    fn gamma_tilde(&self, t: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let inner = self.l1.forward(t);
        let outer = self.l2.forward(softplus(inner.clone(), 1.0));
        let inner_prime = (sigmoid(inner) * self.l1.weight.val()).matmul(self.l2.weight.val());
        (softplus(outer.clone(), 1.0), sigmoid(outer) * inner_prime)
    }

    fn at(&self, t: Tensor<2>) -> SchedulePoint {
        let (at_0, _) = self.gamma_tilde(Tensor::zeros([1, 1], &t.device()));
        let (at_1, _) = self.gamma_tilde(Tensor::ones([1, 1], &t.device()));
        let (gamma_tilde, gamma_tilde_prime) = self.gamma_tilde(t);
        let range = (at_1 - at_0.clone()).add_scalar(1e-8);
        let gamma_0 = self.gamma_0.val().unsqueeze::<2>();
        let gap = self.gamma_1.val().unsqueeze::<2>() - gamma_0.clone();

        let raw = (gamma_tilde - at_0) / range.clone();
        let gamma_bar_prime = gamma_tilde_prime / range * inside(raw.clone(), 0.0, 1.0);
        let gamma_bar = raw.clamp(0.0, 1.0);
        let gamma = gamma_0 + gap.clone() * gamma_bar.neg().add_scalar(1.0);
        let gamma_prime = (gap * gamma_bar_prime).neg();

        let raw = sigmoid(gamma.mul_scalar(-self.scale));
        let alpha_bar_prime = gamma_prime.mul_scalar(-self.scale)
            * raw.clone()
            * raw.clone().neg().add_scalar(1.0)
            * inside(raw.clone(), self.clamp, 1.0 - self.clamp);
        let alpha_bar = raw.clamp(self.clamp, 1.0 - self.clamp);
        let sigma_squared = alpha_bar.clone().neg().add_scalar(1.0);
        SchedulePoint {
            log_snr: alpha_bar.clone().log() - sigma_squared.clone().log(),
            snr_prime: alpha_bar_prime / sigma_squared.clone().square(),
            alpha_bar,
            sigma_squared,
        }
    }
}

/// 1 where low ≤ x ≤ high, else 0: the derivative of a clamp, as PyTorch defines it.
fn inside(x: Tensor<2>, low: f64, high: f64) -> Tensor<2> {
    let x = x.detach();
    x.clone().greater_equal_scalar(low).float() * x.lower_equal_scalar(high).float()
}

fn scalar(value: f64, device: &Device) -> Param<Tensor<1>> {
    Param::from_tensor(Tensor::from_data([value as f32], device))
}

fn inverse_softplus(x: f64) -> f64 {
    x + libm::log1p(-libm::exp(-x))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(n: usize) -> Vec<f32> {
        (0..=n).map(|i| i as f32 / n as f32).collect()
    }

    fn column(values: &[f32]) -> Tensor<2> {
        Tensor::from_data(
            TensorData::new(values.to_vec(), [values.len(), 1]),
            &Device::flex(),
        )
    }

    fn host(tensor: Tensor<2>) -> Vec<f64> {
        tensor
            .into_data()
            .try_to_vec::<f32>()
            .unwrap()
            .into_iter()
            .map(f64::from)
            .collect()
    }

    fn learned(seed: u64) -> NoiseSchedule {
        ScheduleConfig::default().init(seed, &Device::flex())
    }

    #[test]
    fn a_thousand_random_initialisations_are_monotone() {
        for seed in 0..1000 {
            let point = learned(seed).at(column(&times(64)));
            let gamma = host(point.log_snr.neg());
            assert!(
                gamma.windows(2).all(|w| w[1] < w[0]),
                "seed {seed}: {gamma:?}"
            );
            assert!(
                host(point.snr_prime).iter().all(|&p| p > 0.0),
                "seed {seed}"
            );
        }
    }

    #[test]
    fn the_ends_are_exact() {
        for seed in 0..20 {
            let gamma = host(learned(seed).at(column(&[0.0, 1.0])).log_snr.neg());
            // γ̄ is 0 and 1 up to rounding; γ has magnitude 7, f32 has 24 bits.
            assert!(
                (gamma[0] - 7.0).abs() < 5e-6 && (gamma[1] + 7.0).abs() < 5e-6,
                "{gamma:?}"
            );
        }
    }

    #[test]
    fn gamma_1_stays_above_gamma_0_whatever_the_parameters() {
        let NoiseSchedule::Learned(mut schedule) = learned(1) else {
            panic!("not learned")
        };
        for raw in [-15.0, -1.0, 0.0, 30.0] {
            schedule.gap = scalar(raw, &Device::flex());
            let gamma = host(schedule.at(column(&[0.0, 1.0])).log_snr.neg());
            assert!(gamma[0] > gamma[1], "gap {raw}: {gamma:?}");
        }
    }

    #[test]
    fn fields_agree_with_each_other() {
        let point = learned(3).at(column(&times(10)));
        let (alpha_bar, sigma, log_snr) = (
            host(point.alpha_bar),
            host(point.sigma_squared),
            host(point.log_snr),
        );
        for i in 0..alpha_bar.len() {
            assert!((alpha_bar[i] + sigma[i] - 1.0).abs() < 1e-6);
            assert!(((alpha_bar[i] / sigma[i]).ln() - log_snr[i]).abs() < 1e-5);
        }
    }

    /// Central differences of SNR(t) = exp(λ(t)) in f64, from λ in f32.
    fn check_derivative(schedule: &NoiseSchedule, t: &[f32]) {
        let h = 4e-3_f32;
        let shifted = |by: f32| column(&t.iter().map(|t| t + by).collect::<Vec<_>>());
        let log_snr = |by: f32| host(schedule.at(shifted(by)).log_snr);
        let (up, down) = (log_snr(h), log_snr(-h));
        let point = schedule.at(column(t));
        let (here, exact) = (host(point.log_snr), host(point.snr_prime));
        for i in 0..t.len() {
            let width = f64::from(t[i] + h) - f64::from(t[i] - h);
            let gamma_prime = -(up[i] - down[i]) / width;
            let difference = -gamma_prime * here[i].exp();
            // λ is known to 1e-6, the step is 8e-3, λ′ is of order 10; curvature adds h².
            assert!(
                (difference / exact[i] - 1.0).abs() < 2e-3,
                "t = {}: SNR′ = {}, by differences {difference}",
                t[i],
                exact[i]
            );
        }
    }

    #[test]
    fn snr_prime_agrees_with_finite_differences() {
        let t: Vec<f32> = (1..20).map(|i| i as f32 / 20.0).collect();
        for seed in 0..10 {
            check_derivative(&learned(seed), &t);
        }
        let linear = ScheduleConfig::Linear {
            gamma_0: -5.0,
            gamma_1: 4.0,
        };
        check_derivative(&linear.init(0, &Device::flex()), &t);
    }

    #[test]
    fn the_references_snr_prime_agrees_with_finite_differences_or_is_clamped_to_zero() {
        let config = ScheduleConfig::Reference {
            gamma_0: -5.0,
            gamma_1: 5.0,
            hidden: 64,
            scale: 1.0,
            clamp: 1e-5,
        };
        let device = Device::flex();
        // Not every initialisation is monotone, which is one of its defects: take a sound one.
        let monotone = (0..50)
            .map(|seed| {
                device.seed(seed);
                config.init(seed, &device)
            })
            .find(|schedule| {
                let log_snr = host(schedule.at(column(&times(50))).log_snr);
                log_snr.windows(2).all(|w| w[1] > w[0] + 0.05)
            })
            .expect("nine of ten are monotone");
        check_derivative(&monotone, &[0.2, 0.35, 0.5, 0.65, 0.8]);

        let clamped = ScheduleConfig::Reference {
            gamma_0: -7.0,
            gamma_1: 7.0,
            hidden: 64,
            scale: 0.5,
            clamp: 0.4,
        };
        let point = clamped.init(0, &device).at(column(&[0.0, 1.0]));
        assert_eq!(host(point.snr_prime), [0.0, 0.0]);
        let alpha_bar = host(point.alpha_bar);
        assert!((alpha_bar[0] - 0.4).abs() < 1e-6 && (alpha_bar[1] - 0.6).abs() < 1e-6);
    }

    #[test]
    fn expected_snr_prime_is_the_difference_of_the_ends() {
        // ∫₀¹ SNR′ dt = SNR(1) − SNR(0), by Simpson's rule on a milder schedule.
        let config = ScheduleConfig::Learned {
            gamma_0: -2.0,
            gamma_1: 3.0,
            hidden: 16,
        };
        let n = 400;
        let point = config.init(5, &Device::flex()).at(column(&times(n)));
        let prime = host(point.snr_prime);
        let weight = |i: usize| {
            if i == 0 || i == n {
                1.0
            } else {
                [2.0, 4.0][i % 2]
            }
        };
        let integral: f64 = (0..=n).map(|i| weight(i) * prime[i]).sum::<f64>() / (3.0 * n as f64);
        let exact = 2_f64.exp() - (-3_f64).exp();
        assert!(
            (integral / exact - 1.0).abs() < 1e-4,
            "{integral} against {exact}"
        );
    }

    #[test]
    fn kl_is_that_of_the_closed_form() {
        let u = Tensor::<2>::from_data([[1.0, 0.0, 2.0]], &Device::flex());
        let kl = host(kl_to_standard_normal(u, column(&[-1.5])))[0];
        let alpha_bar = 1.0 / (1.0 + 1.5_f64.exp());
        // Per coordinate: ½(μ² + σ² − 1 − ln σ²) with μ = √ᾱ u, σ² = 1 − ᾱ.
        let expected: f64 = [1.0_f64, 0.0, 2.0]
            .iter()
            .map(|u| 0.5 * (alpha_bar * u * u + (1.0 - alpha_bar) - 1.0 - (1.0 - alpha_bar).ln()))
            .sum();
        assert!((kl - expected).abs() < 1e-6, "{kl} against {expected}");
    }

    #[test]
    fn ends_in_the_wrong_order_are_refused() {
        let config = ScheduleConfig::Linear {
            gamma_0: 3.0,
            gamma_1: -3.0,
        };
        assert!(
            config
                .validate()
                .unwrap_err()
                .to_string()
                .contains("gamma_0 < gamma_1")
        );
    }
}
