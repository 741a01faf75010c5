//! The walk of a network that was trained by back-propagation: see [`crate::schedule::GatedSchedule`].

use burn::tensor::Tensor;

use super::{Stepper, Walk};
use crate::schedule::NoiseSchedule;

pub(super) struct Gated;

impl Stepper for Gated {
    fn step(&self, walk: &mut Walk<'_>, k: usize, z: Tensor<2>) -> Tensor<2> {
        let NoiseSchedule::Gated(schedule) = &walk.model.schedule else {
            unreachable!("chosen for gated walks alone");
        };
        let u_hat = walk.u_hat(z.clone(), k);
        z.clone() + schedule.alpha(k) * (u_hat - z)
    }
}
