//! The learned γ(t) of the paper, monotone by construction (appendix B, eq. 65–67).

use burn::module::{Module, Param};
use burn::tensor::activation::{softplus, tanh};
use burn::tensor::{Device, Tensor, TensorData};

use super::{SchedulePoint, scalar};
use crate::noise::{NoiseSource, Purpose};

/// The learned noise schedule, with γ̃(t) = Σ_j sp(v_j) tanh(sp(w_j) t + b_j) and sp = softplus.
#[derive(Module, Debug)]
pub struct LearnedSchedule {
    /// The end γ₀ of γ at t = 1, `[1]`.
    pub gamma_0: Param<Tensor<1>>,
    /// The gap γ₁ − γ₀ before the softplus that keeps it positive, `[1]`.
    pub gap: Param<Tensor<1>>,
    /// The parameters w, before their softplus, `[1, hidden]`.
    pub slope: Param<Tensor<2>>,
    /// The parameters b, `[1, hidden]`.
    pub shift: Param<Tensor<2>>,
    /// The parameters v, before their softplus, `[hidden, 1]`.
    pub height: Param<Tensor<2>>,
}

impl LearnedSchedule {
    pub(super) fn new(
        gamma_0: f64,
        gamma_1: f64,
        hidden: usize,
        seed: u64,
        device: &Device,
    ) -> Self {
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

    pub(super) fn at(&self, t: Tensor<2>) -> SchedulePoint {
        let slope = softplus(self.slope.val(), 1.0);
        let height = softplus(self.height.val(), 1.0);
        let shift = self.shift.val();
        let gap = softplus(self.gap.val(), 1.0).unsqueeze::<2>();

        let at_0 = tanh(shift.clone()).matmul(height.clone());
        let at_1 = tanh(slope.clone() + shift.clone()).matmul(height.clone());
        let range = at_1 - at_0.clone();
        let unit = tanh(t.clone() * slope.clone() + shift);
        let gamma_tilde = unit.clone().matmul(height.clone());
        let gamma_tilde_prime = (unit.square().neg().add_scalar(1.0) * slope).matmul(height);

        let gamma_bar = (gamma_tilde - at_0) / range.clone();
        let gamma =
            self.gamma_0.val().unsqueeze::<2>() + gap.clone() * gamma_bar.neg().add_scalar(1.0);
        SchedulePoint::from_gamma(t, gamma, (gap * gamma_tilde_prime / range).neg())
    }
}

fn inverse_softplus(x: f64) -> f64 {
    x + libm::log1p(-libm::exp(-x))
}
