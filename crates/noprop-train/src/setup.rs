//! What a training is made of before its first step: options, images, weights.

use burn::module::Module;
use burn::tensor::Device;
use noprop_core::weights::{ModelCard, Tensors, from_tensors, load_backbone};
use noprop_core::{Method, NoProp};
use noprop_data::{Dataset, DeviceSplit, Split, holdout};

use crate::checkpoint::{Checkpoint, State};
use crate::error::TrainError;
use crate::prototypes;
use crate::recipe::Recipe;

/// Where a training runs, and what it starts from; nothing of it changes what the recipe asks for.
#[derive(Debug, Clone)]
pub struct TrainerOptions {
    /// The device that holds the weights, a plain one (without autodiff).
    pub device: Device,
    /// More plain devices over which every batch is sharded; the CPU may be among them.
    pub more_devices: Vec<Device>,
    /// Threads over which every batch is sharded, for a device that is the CPU; at least 1. BatchNorm sees a
    /// shard, not the batch, so results depend on their number.
    pub threads: usize,
    /// What the weights are at first.
    pub start: Start,
}

impl TrainerOptions {
    /// A training from scratch on `device` alone, by one thread.
    pub fn on(device: Device) -> Self {
        Self {
            device,
            more_devices: Vec::new(),
            threads: 1,
            start: Start::Scratch,
        }
    }
}

/// What the weights of a training are at first.
#[derive(Debug, Clone)]
pub enum Start {
    /// Random weights, drawn from the recipe's seed.
    Scratch,
    /// The backbone starts from these weights, named as [`load_backbone`] names them; whatever is not among them
    /// is random.
    Backbone(Tensors),
    /// All weights are these, named as [`parameters`](noprop_core::weights::parameters) names them.
    Weights(Tensors),
    /// The state of an interrupted training, which goes on as if it had never stopped.
    Checkpoint(Box<Checkpoint>),
}

/// The training images of `dataset` that `recipe` asks for, and those of them that are held out for validation.
///
/// # Errors
/// When recipe and dataset do not go together.
pub(crate) fn training_images(
    recipe: &Recipe,
    dataset: &Dataset,
) -> Result<(Split, Split), TrainError> {
    let found = dataset.train.shape;
    let expected = recipe.model.input;
    if found[1..] != expected[1..] || (found[0] != expected[0] && found[0] != 1) {
        return Err(TrainError::ImageShape {
            dataset: dataset.name.to_string(),
            expected,
            found,
        });
    }
    let classes = dataset.classes.len();
    if classes != recipe.model.classes {
        return Err(TrainError::ClassCount {
            dataset: dataset.name.to_string(),
            expected: recipe.model.classes,
            found: classes,
        });
    }
    let limited = match recipe.data.limit {
        Some(limit) => &dataset.train.take(limit),
        None => &dataset.train,
    };
    let count = recipe.data.validation;
    let (train, validation) = holdout(limited, count, classes, recipe.train.seed);
    if train.len() < recipe.train.batch_size {
        return Err(TrainError::TooFewImages {
            images: train.len(),
            validation: validation.len(),
            batch_size: recipe.train.batch_size,
        });
    }
    Ok((train, validation))
}

/// The card of the weights that `recipe` makes of `dataset`.
pub(crate) fn card(recipe: &Recipe, dataset: &Dataset) -> ModelCard {
    ModelCard {
        method: recipe.method.clone(),
        model: recipe.model.clone(),
        normalization: dataset.normalization.clone(),
        classes: dataset.classes.clone(),
        dataset: dataset.name.to_string(),
        blocks: recipe.part(),
        inference: Some(recipe.inference()),
    }
}

impl Start {
    /// The state before the first step. `images` are the training images, and `replica` holds the same images on
    /// the autodiff device `device`.
    ///
    /// # Errors
    /// When the weights or the checkpoint to start from do not fit.
    pub(crate) fn state(
        self,
        recipe: &Recipe,
        card: &ModelCard,
        images: &Split,
        replica: &DeviceSplit,
        device: &Device,
    ) -> Result<State, TrainError> {
        let seed = recipe.train.seed;
        let mut model = NoProp::new(&recipe.method, &recipe.model, seed, device)?;
        let model = match self {
            Self::Checkpoint(checkpoint) => return State::resume(recipe, model, *checkpoint),
            Self::Weights(weights) => {
                // Read from a file, a network is frozen; the new one is not.
                let frozen = from_tensors(&weights, card, &device.clone().inner())?;
                model.load_record(frozen.into_record())
            }
            Self::Backbone(weights) => {
                start_backbone(&mut model, &recipe.method, &weights)?;
                prototypes::initialise(model, images, replica, seed)
            }
            Self::Scratch => prototypes::initialise(model, images, replica, seed),
        };
        Ok(State::new(recipe, model))
    }
}

/// Gives the backbone of `model` the weights that it is to start from.
fn start_backbone(
    model: &mut NoProp,
    method: &Method,
    weights: &Tensors,
) -> Result<(), TrainError> {
    let Some(backbone) = model.parts.backbone_mut() else {
        return Err(TrainError::BackboneInEachBlock {
            method: method.name(),
        });
    };
    *backbone = load_backbone(backbone.valid(), weights)?.train();
    Ok(())
}
