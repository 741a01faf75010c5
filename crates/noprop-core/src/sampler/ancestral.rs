//! The generative process (paper eq. 3): z_t = a_t û + b_t z_{t−1} + √c_t ε, with the posterior
//! coefficients of eq. 7 on the grid, α_{t−1} = ᾱ_{t−1}/ᾱ_t:
//!
//! a = √ᾱ_t (1−α)/(1−ᾱ_{t−1}),  b = √α (1−ᾱ_t)/(1−ᾱ_{t−1}),  c = (1−ᾱ_t)(1−α)/(1−ᾱ_{t−1}).

use burn::tensor::Tensor;

use super::{Stepper, Walk};

pub(super) struct Ancestral;

/// a, b and c of a step from ᾱ = `from` to ᾱ = `to`; every tensor `[1, 1]`.
pub(super) struct Posterior {
    pub a: Tensor<2>,
    pub b: Tensor<2>,
    pub c: Tensor<2>,
}

impl Posterior {
    /// `sigma_*` are 1 − ᾱ, given apart so that nothing cancels near ᾱ = 1.
    pub(super) fn new(
        from: Tensor<2>,
        sigma_from: Tensor<2>,
        to: Tensor<2>,
        sigma_to: Tensor<2>,
    ) -> Self {
        // 1 − α = 1 − ᾱ_from/ᾱ_to = (σ²_from − σ²_to)/ᾱ_to.
        let forget = (sigma_from.clone() - sigma_to.clone()) / to.clone();
        let ratio = sigma_to / sigma_from.clone();
        Self {
            a: to.clone().sqrt() * forget.clone() / sigma_from,
            b: (from / to).sqrt() * ratio.clone(),
            c: ratio * forget,
        }
    }
}

impl Stepper for Ancestral {
    fn step(&self, walk: &mut Walk<'_>, k: usize, z: Tensor<2>) -> Tensor<2> {
        let u_hat = walk.u_hat(z.clone(), k);
        let noise = walk.draw(k, z.dims()[1]);
        let (alpha_bar, sigma) = (&walk.grid.alpha_bar, &walk.grid.sigma_squared);
        let Posterior { a, b, c } = Posterior::new(
            Walk::at(alpha_bar, k),
            Walk::at(sigma, k),
            Walk::at(alpha_bar, k + 1),
            Walk::at(sigma, k + 1),
        );
        a * u_hat + b * z + c.sqrt() * noise
    }
}
