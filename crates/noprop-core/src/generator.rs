//! The random generator that the engine keeps for each device. Everything in a process shares it, so what is
//! drawn from it is drawn by one thread at a time, from a seed of its own.

use std::sync::{Mutex, PoisonError};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};

static TURN: Mutex<()> = Mutex::new(());

/// What `draw` makes from `device`'s generator after `seed`, whatever other threads draw by this function
/// meanwhile. Weights and dropout come from it; all other noise from [`crate::noise`], which shares nothing.
///
/// `draw` must not call this again: it would wait for itself.
pub fn seeded<T>(device: &Device, seed: u64, draw: impl FnOnce() -> T) -> T {
    // The lock guards no data, so a panic elsewhere leaves nothing half done.
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    device.seed(seed);
    draw()
}

/// A module whose initial weights `seed` alone decides: they are drawn at once and in the order of its parts,
/// while Burn would draw each when it is first used.
pub(crate) fn initialised<M: Module>(device: &Device, seed: u64, new: impl FnOnce() -> M) -> M {
    seeded(device, seed, || {
        let module = new();
        module.visit(&mut Draw);
        module
    })
}

struct Draw;

impl ModuleVisitor for Draw {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        param.val();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Method, ModelConfig, NoProp};

    #[test]
    fn threads_do_not_disturb_each_other() {
        let device = Device::flex();
        let logits = || {
            let model =
                NoProp::new(&Method::default(), &ModelConfig::default(), 5, &device).unwrap();
            let z = Tensor::ones([2, model.config().latent_dim()], &device);
            let features = model.features(Tensor::ones([2, 1, 28, 28], &device));
            model.estimate(&features, z, 0.0).logits.into_data()
        };
        let alone = logits();
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..4).map(|_| scope.spawn(logits)).collect();
            for one in all {
                assert_eq!(one.join().unwrap(), alone);
            }
        });
    }
}
