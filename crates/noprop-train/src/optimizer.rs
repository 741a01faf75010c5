//! AdamW or Adam, with weight decay only where it belongs.

use burn::module::ParamGroup;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::{AdamConfig, ModuleOptimizer};

use crate::config::{OptimizerKind, TrainConfig};

const EPSILON: f32 = 1e-8;

/// Parts of a parameter's path that exclude it from weight decay: biases, BatchNorm's scale and
/// shift, the schedule, the class embeddings.
const NOT_DECAYED: [&str; 5] = ["bias", "gamma", "beta", "schedule", "class_embedding"];

/// The optimiser of a recipe, with no state yet. Its `step` takes the learning rate.
pub fn build(config: &TrainConfig) -> ModuleOptimizer {
    let decay = config.weight_decay as f32;
    let plain = || ParamGroup::from_any_predicates(NOT_DECAYED.to_vec());
    match config.optimizer {
        OptimizerKind::AdamW => {
            let optimizer = ModuleOptimizer::from(adamw(decay));
            if config.decay_all {
                optimizer
            } else {
                optimizer.with_group(plain(), adamw(0.0), None)
            }
        }
        OptimizerKind::Adam => {
            let without = || AdamConfig::new().with_epsilon(EPSILON);
            let optimizer = without()
                .with_weight_decay(Some(WeightDecayConfig::new(decay)))
                .init();
            if config.decay_all {
                optimizer
            } else {
                optimizer.with_group(plain(), without().build(), None)
            }
        }
    }
}

#[cfg(not(target_family = "wasm"))]
fn adamw(decay: f32) -> noprop_cpu::FusedAdamW {
    noprop_cpu::FusedAdamW::new(EPSILON, decay)
}

#[cfg(target_family = "wasm")]
fn adamw(decay: f32) -> burn::optim::AdamW {
    burn::optim::AdamWConfig::new()
        .with_epsilon(EPSILON)
        .with_weight_decay(decay)
        .build()
}
