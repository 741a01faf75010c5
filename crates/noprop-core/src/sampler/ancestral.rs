//! The generative process (paper eq. 3): z_t = a_t û + b_t z_{t−1} + √c_t ε, with the posterior
//! coefficients of eq. 7 on the grid, α_{t−1} = ᾱ_{t−1}/ᾱ_t:
//!
//! a = √ᾱ_t (1−α)/(1−ᾱ_{t−1}),  b = √α (1−ᾱ_t)/(1−ᾱ_{t−1}),  c = (1−ᾱ_t)(1−α)/(1−ᾱ_{t−1}).

use burn::tensor::Tensor;

use super::{Sampler, StepNoise, Stepper, StepsEvenIn, WalkContext};
use crate::network::ProcessKind;
use crate::schedule::SchedulePoint;

/// The generative process itself (eq. 3), with its noise.
pub const ANCESTRAL: Sampler = Sampler {
    name: "ancestral",
    label: "Ancestral (the paper's)",
    evaluations_per_step: 1,
    processes: &[ProcessKind::Diffusion, ProcessKind::Discrete],
    steps: StepsEvenIn::Time,
    start: |context| {
        let (grid, noise) = (context.diffusion()?, context.noise());
        Some(Box::new(Ancestral {
            context,
            grid,
            noise,
        }))
    },
};

struct Ancestral<'a> {
    context: &'a WalkContext<'a>,
    grid: SchedulePoint,
    noise: StepNoise,
}

impl Stepper for Ancestral<'_> {
    fn step(&mut self, k: usize, z: Tensor<2>) -> Tensor<2> {
        let u_hat = self.context.u_hat(k, z.clone());
        let noise = self.noise.draw(k, &z);
        let Posterior { a, b, c } = Posterior::new(&self.grid.row(k), &self.grid.row(k + 1));
        a * u_hat + b * z + c.sqrt() * noise
    }
}

/// a, b and c of a step from ᾱ = `from` to ᾱ = `to`; every tensor `[1, 1]`.
pub(super) struct Posterior {
    pub a: Tensor<2>,
    pub b: Tensor<2>,
    pub c: Tensor<2>,
}

impl Posterior {
    /// The coefficients of the step between two times of a process. 1 − ᾱ is taken as the process gives
    /// it, so that nothing cancels near ᾱ = 1.
    pub(super) fn new(from: &SchedulePoint, to: &SchedulePoint) -> Self {
        let (sigma_from, sigma_to) = (from.sigma_squared.clone(), to.sigma_squared.clone());
        // 1 − α = 1 − ᾱ_from/ᾱ_to = (σ²_from − σ²_to)/ᾱ_to.
        let forget = (sigma_from.clone() - sigma_to.clone()) / to.alpha_bar.clone();
        let ratio = sigma_to / sigma_from.clone();
        Self {
            a: to.alpha_bar.clone().sqrt() * forget.clone() / sigma_from,
            b: (from.alpha_bar.clone() / to.alpha_bar.clone()).sqrt() * ratio.clone(),
            c: ratio * forget,
        }
    }
}
