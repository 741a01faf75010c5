//! The optimiser (AdamW, Adam or Muon) and the moving average of the weights.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamGroup, ParamId};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::{AdamConfig, ModuleOptimizer, Optimizer};
use burn::tensor::Tensor;
use noprop_core::NoProp;

use crate::muon::{EPSILON, Muon, adamw};
use crate::train_config::{OptimizerKind, TrainConfig};

/// Parts of the path of a parameter that exclude it from weight decay: biases, BatchNorm's scale and shift, the noise
/// schedule, the class embeddings.
const NOT_DECAYED: [&str; 5] = ["bias", "gamma", "beta", "schedule", "class_embedding"];

/// The optimiser of a training, with no state yet; its `step` takes the learning rate `train.lr`, or a multiple of it
/// by the schedule.
pub(crate) fn build(train: &TrainConfig) -> ModuleOptimizer {
    let decay = train.weight_decay as f32;
    match train.optimizer {
        OptimizerKind::AdamW => grouped(train, adamw(decay), adamw(0.0)),
        OptimizerKind::Muon => {
            let muon =
                |decay| Muon::new(train.muon_momentum, train.muon_lr / train.lr, adamw(decay));
            grouped(train, muon(decay), muon(0.0))
        }
        OptimizerKind::Adam => {
            let without = || AdamConfig::new().with_epsilon(EPSILON);
            let with_decay = without().with_weight_decay(Some(WeightDecayConfig::new(decay)));
            grouped(train, with_decay.build(), without().build())
        }
    }
}

/// `decaying` for the parameters that decay, and `plain` for those of [`NOT_DECAYED`], unless all decay.
fn grouped<O: Optimizer>(train: &TrainConfig, decaying: O, plain: O) -> ModuleOptimizer {
    let optimizer = ModuleOptimizer::from(decaying);
    if train.decay_all {
        return optimizer;
    }
    let group = ParamGroup::from_any_predicates(NOT_DECAYED.to_vec());
    optimizer.with_group(group, plain, None)
}

/// The decay of the moving average at step `step`, from 0: min(`decay`, (1 + step)/(10 + step)). The first averages
/// follow the weights, so that the initial ones are soon forgotten.
pub(crate) fn decay_at(step: usize, decay: f64) -> f64 {
    decay.min((1.0 + step as f64) / (10.0 + step as f64))
}

/// The exponential moving average of weights and BatchNorm statistics after a step to `model`:
/// decay · `average` + (1 − decay) · `model`. Both networks must be off the autodiff device.
pub(crate) fn moving_average(average: NoProp, model: &NoProp, decay: f64) -> NoProp {
    /// The values of each parameter as a tensor of one dimension.
    struct Collect(HashMap<ParamId, Tensor<1>>);
    impl ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.insert(param.id, param.val().reshape([-1]));
        }
    }
    struct Blend {
        new: HashMap<ParamId, Tensor<1>>,
        decay: f64,
    }
    impl ModuleMapper for Blend {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let Some(new) = self.new.remove(&param.id) else {
                return param;
            };
            let decay = self.decay;
            param.map(|old| {
                let change = new.reshape(old.dims()) - old.clone();
                // In this form a parameter that does not change keeps its value to the bit.
                old + change.mul_scalar(1.0 - decay)
            })
        }
    }
    let mut collect = Collect(HashMap::new());
    model.visit(&mut collect);
    average.map(&mut Blend {
        new: collect.0,
        decay,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_forgets_its_start() {
        assert_eq!(decay_at(0, 0.999), 0.1);
        assert_eq!(decay_at(1, 0.999), 2.0 / 11.0);
        assert_eq!(decay_at(90, 0.999), 0.91);
        assert_eq!(decay_at(100_000, 0.999), 0.999);
        assert_eq!(decay_at(0, 0.05), 0.05);
        // The share of the initial weights after 20 steps: 1·2·…·20/(10·11·…·29).
        let share: f64 = (0..20).map(|step| decay_at(step, 0.999)).product();
        assert!((share - 9.98e-8).abs() < 1e-10, "{share}");
    }
}
