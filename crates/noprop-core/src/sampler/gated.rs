//! The sampler of networks that are trained by back-propagation through their blocks: z_t = (1 − α_t) z_{t−1}
//! + α_t û, with the learned [`Gates`] α_t.

use burn::tensor::Tensor;

use super::{Sampler, Stepper, StepsEvenIn, WalkContext};
use crate::network::{Process, ProcessKind};
use crate::schedule::Gates;

/// The blocks in a row, each blended in by its learned gate.
pub const GATED: Sampler = Sampler {
    name: "gated",
    label: "Gated blocks",
    evaluations_per_step: 1,
    processes: &[ProcessKind::Gated],
    steps: StepsEvenIn::Time,
    start: |context| match context.process() {
        Process::Gated(_, gates) => Some(Box::new(Gated { context, gates })),
        _ => None,
    },
};

struct Gated<'a> {
    context: &'a WalkContext<'a>,
    gates: &'a Gates,
}

impl Stepper for Gated<'_> {
    fn step(&mut self, k: usize, z: Tensor<2>) -> Tensor<2> {
        let u_hat = self.context.u_hat(k, z.clone());
        self.gates.blend(k, z, u_hat)
    }
}
