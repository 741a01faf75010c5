//! The errors of training and evaluation.

use noprop_core::{ConfigError, WalkError, WeightsError};
use thiserror::Error;

/// The reason why a training or an evaluation cannot start or cannot continue.
#[derive(Debug, Error)]
pub enum TrainError {
    /// The recipe is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The weights to start from do not fit the model, or the weights of some blocks are missing.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The walk of an evaluation does not suit the model.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// The images of the dataset have another shape than the recipe's model takes.
    #[error(
        "the model expects images of {}, {dataset} has {}; set model.input in the recipe",
        shape(expected),
        shape(found)
    )]
    ImageShape {
        /// Name of the dataset.
        dataset: String,
        /// Channels, height and width that the model takes.
        expected: [usize; 3],
        /// Channels, height and width of the dataset's images.
        found: [usize; 3],
    },
    /// The dataset has more or fewer classes than the recipe's model.
    #[error(
        "the model has {expected} classes, {dataset} has {found}; set model.classes in the recipe"
    )]
    ClassCount {
        /// Name of the dataset.
        dataset: String,
        /// Classes of the model.
        expected: usize,
        /// Classes of the dataset.
        found: usize,
    },
    /// The training images do not fill one batch.
    #[error(
        "{images} training images remain after holding out {validation} for validation, fewer than one batch of \
         {batch_size}; choose a smaller train.batch_size"
    )]
    TooFewImages {
        /// Training images that remain.
        images: usize,
        /// Images that are held out for validation.
        validation: usize,
        /// Images of a batch.
        batch_size: usize,
    },
    /// The weights to start from hold one backbone, and the model has one in each block.
    #[error(
        "a model of method {method} has a backbone in each of its blocks, and the weights to start from are of \
         one backbone; leave out train.init_backbone, or train another method"
    )]
    BackboneInEachBlock {
        /// Name of the method.
        method: &'static str,
    },
    /// A step was asked for on images that do not exist.
    #[error(
        "a step was asked for on {batch} images, of which {outside} are not among the {images} training images; \
         give the positions of one image or more, each below {images}"
    )]
    NoSuchImages {
        /// Number of images of the step.
        batch: usize,
        /// Number of those images that are no training images.
        outside: usize,
        /// Number of training images.
        images: usize,
    },
    /// The images to evaluate on have another shape than the model takes.
    #[error(
        "the model classifies images of {}, and those to evaluate on are of {}; \
         choose images of the dataset that it was trained on",
        shape(expected),
        shape(found)
    )]
    SplitShape {
        /// Channels, height and width that the model takes.
        expected: [usize; 3],
        /// Channels, height and width of the images.
        found: [usize; 3],
    },
    /// The loss became NaN or infinite.
    #[error(
        "the loss is {value} at epoch {epoch}, step {step}: training diverged; try a smaller train.lr, \
         train.clip_norm = 1.0, or train.warmup_steps = 200"
    )]
    Diverged {
        /// The loss.
        value: f32,
        /// The epoch, from 1.
        epoch: usize,
        /// The step within the epoch, from 1.
        step: usize,
    },
    /// The checkpoint was made with another recipe.
    #[error(
        "the checkpoint cannot be used: it was made with another configuration; \
         resume with the recipe that its run was started with"
    )]
    OtherRecipe,
    /// The checkpoint is damaged, or cannot be made.
    #[error("the checkpoint cannot be used: {0}")]
    Checkpoint(String),
    /// Threads for the shards could not be started.
    #[error("the worker threads cannot be started: {0}; try one thread")]
    Workers(String),
}

/// A shape, as in 3×32×32.
fn shape([channels, height, width]: &[usize; 3]) -> String {
    format!("{channels}×{height}×{width}")
}
