//! The table of the keys of a recipe that have a flag of their own.

use clap::builder::{PossibleValuesParser, ValueParser};
use clap::value_parser;
use noprop_core::BlockRange;
use noprop_train::BlockOrder;

use crate::catalogue::any_dataset;
use crate::embedding::Embedding;
use crate::flags::{positive, temperature, views};

/// A flag that sets one key of the recipe.
pub struct Shortcut {
    /// The name of the flag, without the dashes.
    pub flag: &'static str,
    /// The key of the recipe, such as `train.lr`.
    pub key: &'static str,
    /// The placeholder for the value in help texts.
    pub value: &'static str,
    /// The sentence of the help text.
    pub help: &'static str,
    /// Whether the help of `train` lists the flag among those that a user needs first.
    pub first: bool,
    /// Reads and checks the value.
    pub parser: fn() -> ValueParser,
}

/// The keys that have a flag of their own, in the order of help texts.
pub const SHORTCUTS: &[Shortcut] = &[
    Shortcut {
        flag: "dataset",
        key: "data.dataset",
        value: "NAME",
        help: "Dataset to train on; `folder` is your own images in --data-root",
        first: true,
        parser: || any_dataset().into(),
    },
    Shortcut {
        flag: "epochs",
        key: "train.epochs",
        value: "N",
        help: "Passes over the training images",
        first: true,
        parser: || positive.into(),
    },
    Shortcut {
        flag: "batch-size",
        key: "train.batch_size",
        value: "N",
        help: "Images per step",
        first: true,
        parser: || positive.into(),
    },
    Shortcut {
        flag: "lr",
        key: "train.lr",
        value: "RATE",
        help: "Peak learning rate",
        first: true,
        parser: || value_parser!(f64).into(),
    },
    Shortcut {
        flag: "seed",
        key: "train.seed",
        value: "N",
        help: "Seed of the initial weights, the order of the images, and the noise",
        first: false,
        parser: || value_parser!(i64).range(0..).into(),
    },
    Shortcut {
        flag: "limit",
        key: "data.limit",
        value: "N",
        help: "Train on at most N images",
        first: false,
        parser: || positive.into(),
    },
    Shortcut {
        flag: "validation",
        key: "data.validation",
        value: "N",
        help: "Hold N training images out for validation",
        first: false,
        parser: || value_parser!(u32).into(),
    },
    Shortcut {
        flag: "backbone",
        key: "model.backbone",
        value: "NAME",
        help: "Network that turns an image into features",
        first: false,
        parser: || PossibleValuesParser::new(BACKBONES).into(),
    },
    Shortcut {
        flag: "embed-dim",
        key: "model.embed_dim",
        value: "N",
        help: "Number of features, and width of the encodings of latent and time",
        first: false,
        parser: || positive.into(),
    },
    Shortcut {
        flag: "time-dim",
        key: "model.time_dim",
        value: "N",
        help: "Channels of the sinusoidal embedding of the time t",
        first: false,
        parser: || positive.into(),
    },
    Shortcut {
        flag: "embedding",
        key: "model.class_embedding",
        value: "EMBEDDING",
        help: "Vectors that stand for the classes: one-hot, dimN (learned, N numbers each, as in dim20), or \
               prototype (learned, each an image of its class at first)",
        first: false,
        parser: || (|text: &str| text.parse::<Embedding>()).into(),
    },
    Shortcut {
        flag: "temperature",
        key: "eval.temperature",
        value: "X",
        help: "Start the walks of evaluations from noise times X, 0 … 4: 1 is noise, 0 the mean of the noise; the \
               weights file recommends it",
        first: false,
        parser: || temperature.into(),
    },
    Shortcut {
        flag: "votes",
        key: "eval.votes",
        value: "N",
        help: "Evaluate by the mean class probabilities of N walks of each image, which cost N times as much; the \
               weights file recommends it",
        first: false,
        parser: || positive.into(),
    },
    Shortcut {
        flag: "views",
        key: "eval.views",
        value: "VIEWS",
        help: "Evaluate by the mean class probabilities of several views of each image; features and walks are \
               computed for each; the weights file recommends it",
        first: false,
        parser: || views().into(),
    },
    Shortcut {
        flag: "blocks",
        key: "train.blocks",
        value: "A-B",
        help: "Train only these blocks of NoProp-DT, as in 1-5; `noprop merge` joins them with the others",
        first: false,
        parser: || (|text: &str| text.parse::<BlockRange>()).into(),
    },
    Shortcut {
        flag: "block-order",
        key: "train.block_order",
        value: "ORDER",
        help: "Order in which the blocks of NoProp-DT are trained: paper (one after the other), random (one at \
               random in each step) or parallel (all in each step)",
        first: false,
        parser: || (|text: &str| text.parse::<BlockOrder>()).into(),
    },
];

/// The names of backbones that `model.backbone` can be set to.
pub const BACKBONES: [&str; 6] = [
    "resnet10",
    "resnet18",
    "resnet50",
    "resnet152",
    "cnn",
    "airbench",
];
