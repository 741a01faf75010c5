//! Euler's method on the ODE of the process: first order, one evaluation of the denoiser in each step. For a
//! flow, T = 1 is the one-step prediction z_0 + v(z_0, x, 0).

use burn::tensor::Tensor;

use super::{Ode, Sampler, Stepper, StepsEvenIn, ode};
use crate::network::ProcessKind;
use crate::schedule::SchedulePoint;

/// Euler's method on the ODE of the process.
pub const EULER: Sampler = Sampler {
    name: "euler",
    label: "Euler along the flow",
    evaluations_per_step: 1,
    processes: &[ProcessKind::Diffusion, ProcessKind::Flow],
    steps: StepsEvenIn::Equation,
    start: |context| {
        let (grid, ode) = ode(context)?;
        Some(Box::new(Euler { grid, ode }))
    },
};

/// The steps of Euler's method on any [`Ode`].
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
