//! Flags of `data`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{SourceArgs, positive};
use crate::catalogue::{any_dataset, published_dataset};

/// Arguments of `data`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DataArgs {
    /// Action [default: describe a dataset].
    #[command(subcommand)]
    pub command: Option<DataCommand>,
    /// Arguments of the description.
    #[command(flatten)]
    pub describe: DescribeArgs,
}

/// An action of `data`.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// List all datasets, and say which are on this machine.
    List(ListArgs),
    /// Download datasets into the cache; an interrupted download is resumed.
    Fetch(FetchArgs),
    /// Compare each file with its published checksum, without a network.
    Verify(VerifyArgs),
    /// Write a picture of some images with their labels.
    Show(ShowArgs),
}

/// Arguments of `data` without an action.
#[derive(Debug, Args)]
pub struct DescribeArgs {
    /// Dataset to describe; `folder` is your own images.
    #[arg(default_value = "mnist", value_parser = any_dataset())]
    pub dataset: String,
    /// Print one JSON object on standard output.
    #[arg(long)]
    pub json: bool,
    /// Dataset source.
    #[command(flatten)]
    pub source: SourceArgs,
}

/// Arguments of `data list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Print one JSON object on standard output.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `data fetch`.
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// Datasets to download.
    #[arg(required = true, value_name = "DATASET", value_parser = published_dataset())]
    pub datasets: Vec<String>,
}

/// Arguments of `data verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Dataset whose files are compared.
    #[arg(value_parser = published_dataset())]
    pub dataset: String,
    /// Folder with the files [default: the cache].
    #[arg(long, value_name = "DIR")]
    pub data_root: Option<PathBuf>,
    /// Print one JSON object on standard output.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `data show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Dataset to show [default: folder if --data-root holds images in class folders, else mnist].
    #[arg(value_parser = any_dataset())]
    pub dataset: Option<String>,
    /// PNG file to write.
    #[arg(long, value_name = "FILE", default_value = "contact-sheet.png")]
    pub out: PathBuf,
    /// Number of images.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = positive)]
    pub count: usize,
    /// Split from which the images are chosen.
    #[arg(long, value_enum, default_value_t = Part::Train)]
    pub split: Part,
    /// Change the images at random, as training with this recipe does.
    #[arg(long, value_name = "RECIPE", num_args = 0..=1, default_missing_value = "cifar100-resnet18")]
    pub augment: Option<String>,
    /// Seed of the choice and of the changes.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Dataset source.
    #[command(flatten)]
    pub source: SourceArgs,
}

/// A split of a dataset.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Part {
    /// The training images.
    Train,
    /// The test images.
    Test,
}
