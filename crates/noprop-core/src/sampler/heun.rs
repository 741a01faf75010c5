//! Heun's method on the ODE of the process: second order, two evaluations of the denoiser in each step.

use burn::tensor::Tensor;

use super::{Ode, Sampler, Stepper, StepsEvenIn, ode};
use crate::network::ProcessKind;
use crate::schedule::SchedulePoint;

/// Heun's method on the ODE of the process.
pub const HEUN: Sampler = Sampler {
    name: "heun",
    label: "Heun along the flow",
    evaluations_per_step: 2,
    processes: &[ProcessKind::Diffusion, ProcessKind::Flow],
    steps: StepsEvenIn::Equation,
    start: |context| {
        let (grid, ode) = ode(context)?;
        Some(Box::new(Heun { grid, ode }))
    },
};

/// The steps of Heun's method on any [`Ode`].
pub(super) struct Heun<O> {
    pub(super) grid: SchedulePoint,
    pub(super) ode: O,
}

impl<O: Ode> Stepper for Heun<O> {
    fn step(&mut self, k: usize, z: Tensor<2>) -> Tensor<2> {
        let (from, to) = (self.grid.row(k), self.grid.row(k + 1));
        let h = self.ode.step_size(&from, &to);
        let first = self.ode.slope(z.clone(), &from);
        let ahead = z.clone() + h.clone() * first.value.clone();
        let second = self.ode.slope(ahead, &to);
        let z_next = z.clone() + h.mul_scalar(0.5) * (first.value.clone() + second.value);
        self.ode.guard(z, &first, &from, &to, z_next)
    }
}
