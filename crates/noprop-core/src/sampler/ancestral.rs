//! Ancestral sampling, the generative process of the paper (eq. 3): z_t = a_t û + b_t z_{t−1} + √c_t ε with ε
//! ~ N(0, I). The posterior coefficients of eq. 7 are, with α = ᾱ_{t−1}/ᾱ_t:
//!
//! a = √ᾱ_t (1−α)/(1−ᾱ_{t−1}),  b = √α (1−ᾱ_t)/(1−ᾱ_{t−1}),  c = (1−ᾱ_t)(1−α)/(1−ᾱ_{t−1}).

use burn::tensor::Tensor;

use super::{Sampler, StepNoise, Stepper, StepsEvenIn, WalkContext};
use crate::network::ProcessKind;
use crate::schedule::SchedulePoint;

/// Ancestral sampling: the generative process of the paper (eq. 3), which adds noise in every step.
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

/// The coefficients of eq. 7 for one step, each `[1, 1]`.
pub(super) struct Posterior {
    /// The factor a of û.
    pub a: Tensor<2>,
    /// The factor b of z.
    pub b: Tensor<2>,
    /// The variance c of the noise.
    pub c: Tensor<2>,
}

impl Posterior {
    /// The coefficients of the step between the times `from` and `to` of a process. They use 1 − ᾱ as the
    /// process gives it, so that no digits cancel near ᾱ = 1.
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
