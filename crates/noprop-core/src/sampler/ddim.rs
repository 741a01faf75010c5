//! DDIM (Song et al. 2021, arXiv:2010.02502) in the time direction of NoProp. A step from t to s > t is
//!
//! z_s = √ᾱ_s û + √((1−ᾱ_s)/(1−ᾱ_t)) (z_t − √ᾱ_t û),
//!
//! the solution of the probability-flow ODE dz/dλ = ½[√ᾱ û − ᾱ z] with û held constant. It is stable for
//! steps of any length.

use burn::tensor::Tensor;

use super::{Sampler, Stepper, StepsEvenIn, WalkContext};
use crate::network::ProcessKind;
use crate::schedule::SchedulePoint;

/// DDIM: the step of the probability-flow ODE that is exact for constant û.
pub const DDIM: Sampler = Sampler {
    name: "ddim",
    label: "DDIM",
    evaluations_per_step: 1,
    processes: &[ProcessKind::Diffusion, ProcessKind::Discrete],
    steps: StepsEvenIn::Time,
    start: |context| {
        let grid = context.diffusion()?;
        Some(Box::new(Ddim { context, grid }))
    },
};

struct Ddim<'a> {
    context: &'a WalkContext<'a>,
    grid: SchedulePoint,
}

impl Stepper for Ddim<'_> {
    fn step(&mut self, k: usize, z: Tensor<2>) -> Tensor<2> {
        let u_hat = self.context.u_hat(k, z.clone());
        with_constant(&self.grid.row(k), &self.grid.row(k + 1), u_hat, z)
    }
}

/// The latents `[b, d]` at `to` after a step from `z` `[b, d]` at `from` with `u_hat` `[b, d]` held constant.
pub(super) fn with_constant(
    from: &SchedulePoint,
    to: &SchedulePoint,
    u_hat: Tensor<2>,
    z: Tensor<2>,
) -> Tensor<2> {
    let keep = (to.sigma_squared.clone() / from.sigma_squared.clone()).sqrt();
    let signal = from.alpha_bar.clone().sqrt();
    let signal_next = to.alpha_bar.clone().sqrt();
    (signal_next - keep.clone() * signal) * u_hat + keep * z
}
