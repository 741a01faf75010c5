//! The reference's ODE, dz/dt = (û − z)/(1 − ᾱ(t)) in t (`run_noprop_ct_inference` and
//! `run_noprop_ct_inference_heun`). It is not the probability-flow ODE of any path used in
//! training, and its last steps multiply z − û by 1 − Δt/(1−ᾱ), or Heun's square of it: below
//! about T = 20 they explode. Kept so that its logs can be reproduced.

use burn::tensor::Tensor;

use super::{Stepper, Walk};

/// dz/dt; `u_hat`, `z` `[b, d]`, `sigma_squared` = 1 − ᾱ `[1, 1]`.
pub(super) fn velocity(u_hat: Tensor<2>, z: Tensor<2>, sigma_squared: Tensor<2>) -> Tensor<2> {
    (u_hat - z) / sigma_squared
}

fn derivative(walk: &Walk<'_>, k: usize, z: Tensor<2>) -> Tensor<2> {
    velocity(
        walk.u_hat(z.clone(), k),
        z,
        Walk::at(&walk.grid.sigma_squared, k),
    )
}

pub(super) struct Euler;

impl Stepper for Euler {
    fn step(&self, walk: &mut Walk<'_>, k: usize, z: Tensor<2>) -> Tensor<2> {
        let h = 1.0 / walk.steps as f64;
        z.clone() + derivative(walk, k, z).mul_scalar(h)
    }
}

pub(super) struct Heun;

impl Stepper for Heun {
    fn step(&self, walk: &mut Walk<'_>, k: usize, z: Tensor<2>) -> Tensor<2> {
        let h = 1.0 / walk.steps as f64;
        let first = derivative(walk, k, z.clone());
        let second = derivative(walk, k + 1, z.clone() + first.clone().mul_scalar(h));
        z + (first + second).mul_scalar(0.5 * h)
    }
}
