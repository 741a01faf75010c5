//! The single step of a plain classifier: z_1 = û(x), whatever z_0 is.

use burn::tensor::Tensor;

use super::{Sampler, Stepper, StepsEvenIn, WalkContext};
use crate::network::ProcessKind;

/// The estimate of a plain classifier in one step.
pub const DIRECT: Sampler = Sampler {
    name: "direct",
    label: "One evaluation",
    evaluations_per_step: 1,
    processes: &[ProcessKind::Direct],
    steps: StepsEvenIn::Time,
    start: |context| Some(Box::new(Direct { context })),
};

struct Direct<'a> {
    context: &'a WalkContext<'a>,
}

impl Stepper for Direct<'_> {
    fn step(&mut self, k: usize, z: Tensor<2>) -> Tensor<2> {
        self.context.u_hat(k, z)
    }
}
