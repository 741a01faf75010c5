//! Euler and Heun on the probability-flow ODE in λ = log SNR, where the schedule's slope drops
//! out and nothing is singular: dz/dλ = ½[√ᾱ û − ᾱ z], ᾱ = σ(λ).
//!
//! Steps are even in λ. Where ᾱ is near 1 a step h multiplies errors by 1 − ½h (Euler), so it must
//! stay below 4; even steps keep it smallest for a given T, however the learned γ bends.

use burn::tensor::{Device, Tensor};

use super::{Stepper, Walk};
use crate::schedule::NoiseSchedule;

/// dz/dλ of the probability-flow ODE; `u_hat`, `z` `[b, d]`, `alpha_bar` `[1, 1]`.
pub fn velocity(u_hat: Tensor<2>, z: Tensor<2>, alpha_bar: Tensor<2>) -> Tensor<2> {
    (alpha_bar.clone().sqrt() * u_hat - alpha_bar * z).mul_scalar(0.5)
}

fn derivative(walk: &Walk<'_>, k: usize, z: Tensor<2>) -> Tensor<2> {
    velocity(
        walk.u_hat(z.clone(), k),
        z,
        Walk::at(&walk.grid.alpha_bar, k),
    )
}

fn step_size(walk: &Walk<'_>, k: usize) -> Tensor<2> {
    Walk::at(&walk.grid.log_snr, k + 1) - Walk::at(&walk.grid.log_snr, k)
}

/// First order: one evaluation a step.
pub(super) struct Euler;

impl Stepper for Euler {
    fn times(&self, schedule: &NoiseSchedule, steps: usize, device: &Device) -> Tensor<2> {
        schedule.times_even_in_log_snr(steps, device)
    }

    fn step(&self, walk: &mut Walk<'_>, k: usize, z: Tensor<2>) -> Tensor<2> {
        z.clone() + step_size(walk, k) * derivative(walk, k, z)
    }
}

/// Second order: two evaluations a step.
pub(super) struct Heun;

impl Stepper for Heun {
    fn times(&self, schedule: &NoiseSchedule, steps: usize, device: &Device) -> Tensor<2> {
        schedule.times_even_in_log_snr(steps, device)
    }

    fn step(&self, walk: &mut Walk<'_>, k: usize, z: Tensor<2>) -> Tensor<2> {
        let h = step_size(walk, k);
        let first = derivative(walk, k, z.clone());
        let second = derivative(walk, k + 1, z.clone() + h.clone() * first.clone());
        z + h.mul_scalar(0.5) * (first + second)
    }
}
