//! γ(t) linear in t: a fixed baseline.

use burn::module::Module;
use burn::tensor::Tensor;

use super::SchedulePoint;

/// γ̄(t) = t.
#[derive(Module, Debug)]
pub struct LinearSchedule {
    pub(super) gamma_0: f64,
    pub(super) gamma_1: f64,
}

impl LinearSchedule {
    pub(super) fn at(&self, t: Tensor<2>) -> SchedulePoint {
        let gap = self.gamma_1 - self.gamma_0;
        let prime = t.clone().zeros_like().sub_scalar(gap);
        SchedulePoint::from_gamma(t.mul_scalar(-gap).add_scalar(self.gamma_1), prime)
    }
}
