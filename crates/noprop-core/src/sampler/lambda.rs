//! Euler and Heun on the probability-flow ODE in λ = log SNR, where the schedule's slope drops
//! out and nothing is singular: dz/dλ = ½[√ᾱ û − ᾱ z], ᾱ = σ(λ).
//!
//! Steps are even in λ. Where ᾱ is near 1 a step h multiplies errors by 1 − ½h (Euler) or
//! 1 − ½h + ⅛h² (Heun): beyond h = 4 they grow, and from 3 on they hardly shrink. Even steps keep h
//! smallest for a given T, however the learned γ bends; where T is so small that h is still longer
//! than 3, the step is DDIM's, which is stable for any h.

use burn::tensor::{Device, Tensor};

use super::ddim::with_constant;
use super::{Stepper, Walk};
use crate::schedule::NoiseSchedule;

/// dz/dλ of the probability-flow ODE; `u_hat`, `z` `[b, d]`, `alpha_bar` `[1, 1]`.
pub fn velocity(u_hat: Tensor<2>, z: Tensor<2>, alpha_bar: Tensor<2>) -> Tensor<2> {
    (alpha_bar.clone().sqrt() * u_hat - alpha_bar * z).mul_scalar(0.5)
}

/// Longest step of λ that an explicit method takes.
pub const LONGEST_STEP: f64 = 3.0;

/// From this T on no step is longer: γ stays within ±30.
const ALWAYS_SHORT: usize = 20;

fn step_size(walk: &Walk<'_>, k: usize) -> Tensor<2> {
    Walk::at(&walk.grid.log_snr, k + 1) - Walk::at(&walk.grid.log_snr, k)
}

/// `z_next` of an explicit step, or DDIM's where that step is too long.
fn guarded(
    walk: &Walk<'_>,
    k: usize,
    u_hat: Tensor<2>,
    z: Tensor<2>,
    z_next: Tensor<2>,
) -> Tensor<2> {
    if walk.steps >= ALWAYS_SHORT {
        return z_next;
    }
    let too_long = step_size(walk, k)
        .greater_scalar(LONGEST_STEP)
        .expand(z_next.dims());
    z_next.mask_where(too_long, with_constant(walk, k, u_hat, z))
}

/// First order: one evaluation a step.
pub(super) struct Euler;

impl Stepper for Euler {
    fn times(&self, schedule: &NoiseSchedule, steps: usize, device: &Device) -> Tensor<2> {
        schedule.times_even_in_log_snr(steps, device)
    }

    fn step(&self, walk: &mut Walk<'_>, k: usize, z: Tensor<2>) -> Tensor<2> {
        let alpha_bar = Walk::at(&walk.grid.alpha_bar, k);
        let u_hat = walk.u_hat(z.clone(), k);
        let slope = velocity(u_hat.clone(), z.clone(), alpha_bar);
        let z_next = z.clone() + step_size(walk, k) * slope;
        guarded(walk, k, u_hat, z, z_next)
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
        let slope = |walk: &Walk<'_>, k: usize, u_hat: Tensor<2>, z: Tensor<2>| {
            velocity(u_hat, z, Walk::at(&walk.grid.alpha_bar, k))
        };
        let u_hat = walk.u_hat(z.clone(), k);
        let first = slope(walk, k, u_hat.clone(), z.clone());
        let ahead = z.clone() + h.clone() * first.clone();
        let second = slope(walk, k + 1, walk.u_hat(ahead.clone(), k + 1), ahead);
        let z_next = z.clone() + h.mul_scalar(0.5) * (first + second);
        guarded(walk, k, u_hat, z, z_next)
    }
}
