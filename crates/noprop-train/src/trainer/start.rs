//! What a training starts from.

use burn::module::Module;
use burn::tensor::Device;
use noprop_core::NoProp;
use noprop_core::weights::{Tensors, load_backbone};
use noprop_data::Dataset;

use super::Trainer;
use crate::checkpoint::Checkpoint;
use crate::config::Recipe;
use crate::error::TrainError;

/// What the weights are at first.
pub(super) enum Start {
    Random,
    Backbone(Tensors),
    Checkpoint(Box<Checkpoint>),
}

impl Start {
    /// A fresh model on the autodiff device, with the backbone that it is to start from. What a
    /// checkpoint holds comes later, with the state of the optimiser.
    ///
    /// # Errors
    /// When the weights do not fit, or the model has a backbone for each block.
    pub(super) fn apply(&self, mut model: NoProp) -> Result<NoProp, TrainError> {
        if let Self::Backbone(weights) = self {
            let Some(backbone) = model.parts.backbone_mut() else {
                return Err(TrainError::Data(format!(
                    "a model of method {} has a backbone in each of its blocks, and the weights to start from \
                     are of one backbone; leave out train.init_backbone, or train another method",
                    model.method().name()
                )));
            };
            *backbone = load_backbone(backbone.valid(), weights)?.train();
        }
        Ok(model)
    }
}

impl Trainer {
    /// A trainer for `recipe` on `dataset`, from scratch or from `checkpoint`. `device` is the
    /// plain device; `threads` shards each batch on the CPU.
    ///
    /// # Errors
    /// When the recipe is invalid, does not fit the dataset, or is not that of the checkpoint.
    pub fn new(
        recipe: Recipe,
        dataset: &Dataset,
        device: &Device,
        threads: usize,
        checkpoint: Option<Checkpoint>,
    ) -> Result<Self, TrainError> {
        let start = checkpoint.map_or(Start::Random, |checkpoint| {
            Start::Checkpoint(Box::new(checkpoint))
        });
        Self::start(recipe, dataset, device, threads, start)
    }

    /// As [`Self::new`], from scratch but for the backbone, which starts from `weights`, named as in
    /// [`load_backbone`]; what is not among them is random.
    ///
    /// # Errors
    /// As [`Self::new`], and when a tensor belongs to no layer or has another shape.
    pub fn with_backbone(
        recipe: Recipe,
        dataset: &Dataset,
        device: &Device,
        threads: usize,
        weights: Tensors,
    ) -> Result<Self, TrainError> {
        Self::start(recipe, dataset, device, threads, Start::Backbone(weights))
    }
}
