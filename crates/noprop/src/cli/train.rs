//! Flags of `train`.

use std::path::PathBuf;

use clap::Args;
use noprop_core::BlockRange;
use noprop_train::BlockOrder;

use super::{DeviceArgs, SourceArgs, positive};
use crate::adapters::DeviceChoice;
use crate::budget::Budget;
use crate::catalogue::any_dataset;
use crate::embedding::Embedding;
use crate::setting::Setting;

/// Arguments of `train`.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Name of a built-in recipe, or a TOML file [default: the dataset's, mnist-small].
    #[arg(long, value_name = "NAME|FILE")]
    pub recipe: Option<String>,
    /// Print the resolved recipe and exit.
    #[arg(long)]
    pub show_recipe: bool,
    /// Continue the run in this folder.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["recipe", "out", "force"])]
    pub resume: Option<PathBuf>,
    /// Run folder to create [default: runs/ and the name of the recipe or of your folder].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Replace an existing run folder.
    #[arg(long)]
    pub force: bool,
    /// Start the backbone from weights of PyTorch (.pt or .safetensors), such as a ResNet of
    /// torchvision; its last layer starts anew.
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    pub init_backbone: Option<PathBuf>,
    /// Several devices, separated by commas as in cuda:0,cuda:1: each batch is sharded over them.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "DEVICE",
        conflicts_with = "device"
    )]
    pub devices: Vec<DeviceChoice>,
    /// Skip the table of samplers and T at the end.
    #[arg(long)]
    pub no_table: bool,
    /// What overrides the recipe.
    #[command(flatten)]
    pub overrides: Overrides,
    /// Device.
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Dataset source.
    #[command(flatten)]
    pub source: SourceArgs,
}

/// Flags that override values of the recipe.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Overrides of the recipe")]
pub struct Overrides {
    /// Set any key of the recipe, as in objective.max_weight=1 or train.lr_schedule=one-cycle; can be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<Setting>,
    /// Dataset; `folder` is your own images.
    #[arg(long, value_parser = any_dataset())]
    pub dataset: Option<String>,
    /// resnet10, resnet18, resnet50, resnet152 or cnn.
    #[arg(long)]
    pub backbone: Option<String>,
    /// Passes over the training images.
    #[arg(long, alias = "epoches", value_parser = positive)]
    pub epochs: Option<usize>,
    /// Train a fraction only: so many epochs (a number), or until a time has passed (90s, 10m, 2h),
    /// looked at between steps: an evaluation is not interrupted.
    #[arg(long, value_name = "EPOCHS|TIME", conflicts_with = "epochs")]
    pub budget: Option<Budget>,
    /// Images per step.
    #[arg(long, value_parser = positive)]
    pub batch_size: Option<usize>,
    /// Peak learning rate.
    #[arg(long)]
    pub lr: Option<f64>,
    /// Seed of weights, order and noise.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Channels of the time embedding.
    #[arg(long)]
    pub time_emb_dim: Option<usize>,
    /// Width of the features and encodings.
    #[arg(long)]
    pub embed_dim: Option<usize>,
    /// Class embeddings: one-hot, prototype (images of the training set), or dim and a dimension as in dim20, learned.
    #[arg(long, value_name = "EMBEDDING")]
    pub embedding: Option<Embedding>,
    /// At most so many training images.
    #[arg(long, value_parser = positive)]
    pub limit: Option<usize>,
    /// Training images held out for validation.
    #[arg(long)]
    pub validation: Option<usize>,
    /// The blocks of NoProp-DT to train here, as in 1-5; `noprop merge` joins them with the others.
    #[arg(long, value_name = "A-B")]
    pub blocks: Option<BlockRange>,
    /// In which order the blocks of NoProp-DT are trained: paper, random or parallel.
    #[arg(long, value_name = "ORDER")]
    pub block_order: Option<BlockOrder>,
}
