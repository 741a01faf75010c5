//! The noise schedule γ(t) of the reference with its clamps (`nopropct_mnist.py`, `noprop_simple.py`).

use burn::module::{Module, Param};
use burn::tensor::activation::{sigmoid, softplus};
use burn::tensor::{Device, Tensor};

use super::{SchedulePoint, scalar};

/// The learned noise schedule of the reference. Its γ̃ is Linear(1, h) → softplus → Linear(h, 1) → softplus
/// with weights of any sign, so it need not be monotone.
#[derive(Module, Debug)]
pub struct ReferenceSchedule {
    /// The end γ₀ of γ at t = 1, `[1]`.
    pub gamma_0: Param<Tensor<1>>,
    /// The end γ₁ of γ at t = 0, `[1]`.
    pub gamma_1: Param<Tensor<1>>,
    /// The first layer of γ̃.
    pub l1: burn::nn::Linear,
    /// The second layer of γ̃.
    pub l2: burn::nn::Linear,
    scale: f64,
    clamp: f64,
}

impl ReferenceSchedule {
    /// The schedule with random γ̃ of `hidden` units. `scale` is the factor on γ inside the sigmoid: 1 in
    /// `nopropct_mnist.py`, ½ in `noprop_simple.py`. ᾱ is clamped to [`clamp`, 1 − `clamp`].
    pub fn new(
        gamma_0: f64,
        gamma_1: f64,
        hidden: usize,
        scale: f64,
        clamp: f64,
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

    /// The values γ̃(t) and γ̃′(t), `[n, 1]` each, at times `t` `[n, 1]`.
    fn gamma_tilde(&self, t: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let inner = self.l1.forward(t);
        let outer = self.l2.forward(softplus(inner.clone(), 1.0));
        let inner_prime = (sigmoid(inner) * self.l1.weight.val()).matmul(self.l2.weight.val());
        (softplus(outer.clone(), 1.0), sigmoid(outer) * inner_prime)
    }

    pub(super) fn at(&self, t: Tensor<2>) -> SchedulePoint {
        let (at_0, _) = self.gamma_tilde(Tensor::zeros([1, 1], &t.device()));
        let (at_1, _) = self.gamma_tilde(Tensor::ones([1, 1], &t.device()));
        let (gamma_tilde, gamma_tilde_prime) = self.gamma_tilde(t.clone());
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
            t,
            log_snr: alpha_bar.clone().log() - sigma_squared.clone().log(),
            log_snr_prime: alpha_bar_prime.clone() / (alpha_bar.clone() * sigma_squared.clone()),
            snr_prime: alpha_bar_prime / sigma_squared.clone().square(),
            alpha_bar,
            sigma_squared,
        }
    }
}

/// The derivative of a clamp to [low, high] as PyTorch defines it: 1 where low ≤ x ≤ high, 0 elsewhere.
fn inside(x: Tensor<2>, low: f64, high: f64) -> Tensor<2> {
    let x = x.detach();
    x.clone().greater_equal_scalar(low).float() * x.lower_equal_scalar(high).float()
}
