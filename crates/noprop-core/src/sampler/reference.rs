//! The ODE of the reference, dz/dt = (û − z)/(1 − ᾱ(t)), which its functions `run_noprop_ct_inference` and
//! `run_noprop_ct_inference_heun` solve in t. It is not the probability-flow ODE of the paths used in
//! training. Its last steps multiply z − û by 1 − Δt/(1−ᾱ) (Euler), a factor of large magnitude where ᾱ is
//! near 1 (with Heun about its square), so below about T = 20 the walks explode. It is kept so that the logs
//! of the reference can be reproduced.

use burn::tensor::Tensor;

use super::euler::Euler;
use super::heun::Heun;
use super::ode::column;
use super::{Ode, Sampler, Slope, StepsEvenIn, WalkContext};
use crate::network::{DiffusionModel, Process, ProcessKind};
use crate::schedule::{NoiseSchedule, SchedulePoint};

/// Euler's method on the reference's ODE.
pub const REFERENCE_EULER: Sampler = Sampler {
    name: "reference-euler",
    label: "Reference's Euler",
    evaluations_per_step: 1,
    processes: &[ProcessKind::Diffusion],
    steps: StepsEvenIn::Time,
    start: |context| {
        let (grid, ode) = ReferenceOde::start(context)?;
        Some(Box::new(Euler { grid, ode }))
    },
};

/// Heun's method on the reference's ODE; it explodes where T is small.
pub const REFERENCE_HEUN: Sampler = Sampler {
    name: "reference-heun",
    label: "Reference's Heun (explodes)",
    evaluations_per_step: 2,
    processes: &[ProcessKind::Diffusion],
    steps: StepsEvenIn::Time,
    start: |context| {
        let (grid, ode) = ReferenceOde::start(context)?;
        Some(Box::new(Heun { grid, ode }))
    },
};

/// The derivative dz/dt = (û − z)/(1 − ᾱ) `[b, d]`, from `u_hat` and `z` `[b, d]` and `sigma_squared` = 1 − ᾱ
/// `[1, 1]`.
pub(super) fn velocity(u_hat: Tensor<2>, z: Tensor<2>, sigma_squared: Tensor<2>) -> Tensor<2> {
    (u_hat - z) / sigma_squared
}

struct ReferenceOde<'a> {
    context: &'a WalkContext<'a>,
    schedule: &'a NoiseSchedule,
}

impl<'a> ReferenceOde<'a> {
    fn start(context: &'a WalkContext<'a>) -> Option<(SchedulePoint, Self)> {
        let Process::Diffusion(DiffusionModel { schedule, .. }) = context.process() else {
            return None;
        };
        Some((context.diffusion()?, Self { context, schedule }))
    }
}

impl Ode for ReferenceOde<'_> {
    fn at(&self, shares: &[f64]) -> SchedulePoint {
        self.schedule.at(column(shares, &self.context.device()))
    }

    fn slope(&self, z: Tensor<2>, now: &SchedulePoint) -> Slope {
        let u_hat = self.context.u_hat_at(0, z.clone(), now.t.clone());
        Slope {
            value: velocity(u_hat.clone(), z, now.sigma_squared.clone()),
            u_hat,
        }
    }

    /// The step 1/T, as the reference computes it, rather than the difference of rounded times.
    fn step_size(&self, _from: &SchedulePoint, _to: &SchedulePoint) -> Tensor<2> {
        let h = 1.0 / self.context.steps() as f64;
        Tensor::full([1, 1], h, &self.context.device())
    }
}
