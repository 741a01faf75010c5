//! The parts of a training before its first step: options, images, initial weights.

use burn::module::Module;
use burn::tensor::Device;
use noprop_core::backbone::{BackboneConfig, whitening_filters, with_whitening_filters};
use noprop_core::weights::{ModelCard, Tensors, from_tensors, load_backbone};
use noprop_core::{Method, NoProp, Normalization};
use noprop_data::{Dataset, DeviceSplit, Split, holdout};

use crate::checkpoint::{Checkpoint, State};
use crate::error::TrainError;
use crate::prototypes;
use crate::recipe::Recipe;

/// The devices and threads of a training, and its initial weights. These options do not change what the recipe asks
/// for.
#[derive(Debug, Clone)]
pub struct TrainerOptions {
    /// The device that holds the weights, without autodiff.
    pub device: Device,
    /// More devices over which every batch is sharded, without autodiff; the CPU may be among them.
    pub more_devices: Vec<Device>,
    /// The number of threads over which every batch is sharded if the device is the CPU; at least 1. BatchNorm sees a
    /// shard, not the batch, so results depend on this number.
    pub threads: usize,
    /// The initial weights.
    pub start: Start,
}

impl TrainerOptions {
    /// The options for a training from scratch on `device` alone, by one thread.
    pub fn on(device: Device) -> Self {
        Self {
            device,
            more_devices: Vec::new(),
            threads: 1,
            start: Start::Scratch,
        }
    }
}

/// The initial weights of a training.
#[derive(Debug, Clone)]
pub enum Start {
    /// Random weights, drawn from the seed of the recipe.
    Scratch,
    /// These weights for the backbone, under the names that [`load_backbone`] takes, and random weights for all other
    /// parameters.
    Backbone(Tensors),
    /// These weights, under the names that [`parameters`](noprop_core::weights::parameters) gives.
    Weights(Tensors),
    /// The state of an interrupted training, which continues as if it had never stopped.
    Checkpoint(Box<Checkpoint>),
}

/// The training images of `dataset` that `recipe` asks for, divided into those to train on and those held out for
/// validation.
///
/// # Errors
/// When recipe and dataset do not fit each other.
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

/// The card of the weights that `recipe` trains on `dataset`.
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
    /// The state before the first step. `images` are the training images, and `replica` holds the same images on the
    /// autodiff device `device`.
    ///
    /// # Errors
    /// When the initial weights or the checkpoint do not fit.
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
                // A network that was read from a file is frozen. The new network is not, so it takes over the weights.
                let frozen = from_tensors(&weights, card, &device.clone().inner())?;
                model.load_record(frozen.into_record())
            }
            Self::Backbone(weights) => {
                start_backbone(&mut model, &recipe.method, &weights)?;
                prototypes::initialise(model, images, replica, seed)
            }
            Self::Scratch => {
                let model = whitened(model, images, &card.normalization);
                prototypes::initialise(model, images, replica, seed)
            }
        };
        Ok(State::new(recipe, model))
    }
}

/// The images whose patches the whitening layer of a backbone is computed from.
const WHITENING_IMAGES: usize = 5000;

/// `model` with a whitening layer from the training images, if its backbone has one.
fn whitened(model: NoProp, images: &Split, normalization: &Normalization) -> NoProp {
    let config = model.config();
    if !matches!(config.backbone, BackboneConfig::Airbench(_)) {
        return model;
    }
    let size: usize = images.shape.iter().product();
    let count = images.len().min(WHITENING_IMAGES);
    let pixels = &images.images[..count * size];
    let filters = whitening_filters(pixels, images.shape, config.input[0], normalization);
    with_whitening_filters(model, &filters)
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
