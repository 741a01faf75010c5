//! Euler's method on the process's equation: of first order, one evaluation a step. For a flow, T = 1 is
//! the paper's shortcut z_0 + v(z_0, x, 0).

use burn::tensor::Tensor;

use super::{Ode, Sampler, Stepper, StepsEvenIn};
use crate::network::ProcessKind;
use crate::schedule::SchedulePoint;

/// Euler's method.
pub const EULER: Sampler = Sampler {
    name: "euler",
    label: "Euler along the flow",
    evaluations_per_step: 1,
    processes: &[ProcessKind::Diffusion, ProcessKind::Flow],
    steps: StepsEvenIn::Equation,
    start: |context| {
        let (grid, ode) = context.ode()?;
        Some(Box::new(Euler { grid, ode }))
    },
};

/// Euler's method on any equation.
pub(super) struct Euler<O> {
    pub(super) grid: SchedulePoint,
    pub(super) ode: O,
}

impl<O: Ode> Stepper for Euler<O> {
    fn step(&mut self, k: usize, z: Tensor<2>) -> Tensor<2> {
        let (from, to) = (self.grid.row(k), self.grid.row(k + 1));
        let first = self.ode.slope(z.clone(), &from);
        let z_next = z.clone() + self.ode.step_size(&from, &to) * first.value.clone();
        self.ode.guard(z, &first, &from, &to, z_next)
    }
}
