//! The blocks of NoProp-DT as an ensemble.
//!
//! With the skip connection, the output of each block estimates log p(y|x): what z_{t−1} says about the label is
//! taken off ([`DiscreteModel::own_logits`]). So the mean of the outputs over the blocks is an estimate by T
//! networks that were trained apart. The blocks see the latents of a walk by DDIM; the last step ends at
//! z_1 = √ᾱ_T softmax(mean)·W_Embed, the mean of q(z_T|y) under that estimate.

use burn::tensor::Tensor;

use super::ddim::with_constant;
use super::{Sampler, Stepper, StepsEvenIn, WalkContext};
use crate::network::{DiscreteModel, Process, ProcessKind};
use crate::schedule::SchedulePoint;

/// The mean over the blocks of NoProp-DT.
pub const ENSEMBLE: Sampler = Sampler {
    name: "ensemble",
    label: "Mean over the blocks",
    evaluations_per_step: 1,
    processes: &[ProcessKind::Discrete],
    steps: StepsEvenIn::Time,
    start: |context| match (context.process(), context.diffusion()) {
        (Process::Discrete(model), Some(grid)) => Some(Box::new(Ensemble {
            context,
            model,
            grid,
            sum: None,
        })),
        _ => None,
    },
};

struct Ensemble<'a> {
    context: &'a WalkContext<'a>,
    model: DiscreteModel<'a>,
    grid: SchedulePoint,
    /// The sum of the outputs of the blocks so far, `[b, m]`.
    sum: Option<Tensor<2>>,
}

impl Stepper for Ensemble<'_> {
    fn step(&mut self, k: usize, z: Tensor<2>) -> Tensor<2> {
        let own = self
            .model
            .own_logits(self.context.features(), self.context.seen(z.clone()), k);
        let sum = match self.sum.take() {
            Some(sum) => sum + own,
            None => own,
        };
        self.sum = Some(sum.clone());
        if k + 1 < self.context.steps() {
            let u_hat = self.context.u_hat(k, z.clone());
            return with_constant(&self.grid.row(k), &self.grid.row(k + 1), u_hat, z);
        }
        let mean = sum.div_scalar((k + 1) as f64);
        let u_hat = self.context.class_embedding().expectation(mean);
        self.grid.row(k + 1).alpha_bar.sqrt() * u_hat
    }
}
