//! z_s = √ᾱ_s û + √((1−ᾱ_s)/(1−ᾱ_t)) (z_t − √ᾱ_t û): the solution of the probability-flow ODE
//! dz/dλ = ½[√ᾱ û − ᾱ z] over a step with û held constant, hence stable for any step
//! (Song et al. 2021, arXiv:2010.02502, in the time direction of NoProp).

use burn::tensor::Tensor;

use super::{Stepper, Walk};

pub(super) struct Ddim;

impl Stepper for Ddim {
    fn step(&self, walk: &mut Walk<'_>, k: usize, z: Tensor<2>) -> Tensor<2> {
        let u_hat = walk.u_hat(z.clone(), k);
        with_constant(walk, k, u_hat, z)
    }
}

/// The step from `z` at t_k with `u_hat` held constant; both `[b, d]`.
pub(super) fn with_constant(
    walk: &Walk<'_>,
    k: usize,
    u_hat: Tensor<2>,
    z: Tensor<2>,
) -> Tensor<2> {
    let sigma_squared = &walk.grid.sigma_squared;
    let keep = (Walk::at(sigma_squared, k + 1) / Walk::at(sigma_squared, k)).sqrt();
    let signal = Walk::at(&walk.grid.alpha_bar, k).sqrt();
    let signal_next = Walk::at(&walk.grid.alpha_bar, k + 1).sqrt();
    (signal_next - keep.clone() * signal) * u_hat + keep * z
}
