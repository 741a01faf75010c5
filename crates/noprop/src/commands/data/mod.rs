//! `noprop data`: datasets found, fetched, verified and looked at.

mod describe;
mod fetch;
mod list;
mod show;
mod verify;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use noprop_data::DatasetName;

use crate::cli::{SourceArgs, positive};

/// Arguments of `data`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DataArgs {
    /// What to do [default: describe a dataset].
    #[command(subcommand)]
    command: Option<DataCommand>,
    /// What to describe.
    #[command(flatten)]
    describe: DescribeArgs,
}

#[derive(Debug, Subcommand)]
enum DataCommand {
    /// All datasets, and which are on this machine.
    List(ListArgs),
    /// Download datasets into the cache; an interrupted download is resumed.
    Fetch(FetchArgs),
    /// Compare each file with its published checksum, without a network.
    Verify(VerifyArgs),
    /// Write a picture of some images with their labels.
    Show(ShowArgs),
}

#[derive(Debug, Args)]
struct DescribeArgs {
    /// mnist, fashion-mnist, cifar10, cifar100 or folder.
    #[arg(default_value = "mnist")]
    dataset: DatasetName,
    /// One JSON object on standard output.
    #[arg(long)]
    json: bool,
    /// Dataset source.
    #[command(flatten)]
    source: SourceArgs,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// One JSON object on standard output.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct FetchArgs {
    /// mnist, fashion-mnist, cifar10 or cifar100.
    #[arg(required = true)]
    datasets: Vec<DatasetName>,
}

#[derive(Debug, Args)]
struct VerifyArgs {
    /// mnist, fashion-mnist, cifar10 or cifar100.
    dataset: DatasetName,
    /// Folder with the files [default: the cache].
    #[arg(long, value_name = "DIR")]
    data_root: Option<PathBuf>,
    /// One JSON object on standard output.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// mnist, fashion-mnist, cifar10, cifar100 or folder [default: folder if --data-root is one, else
    /// mnist].
    dataset: Option<DatasetName>,
    /// Picture to write, PNG.
    #[arg(long, value_name = "FILE", default_value = "contact-sheet.png")]
    out: PathBuf,
    /// Number of images.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = positive)]
    count: usize,
    /// Which images.
    #[arg(long, value_enum, default_value_t = Part::Train)]
    split: Part,
    /// Change the images as training with this recipe does.
    #[arg(long, value_name = "RECIPE", num_args = 0..=1, default_missing_value = "cifar100-resnet18")]
    augment: Option<String>,
    /// Seed of the choice and of the changes.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Dataset source.
    #[command(flatten)]
    source: SourceArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Part {
    Train,
    Test,
}

pub fn run(args: &DataArgs) -> Result<()> {
    match &args.command {
        None => describe::run(&args.describe),
        Some(DataCommand::List(args)) => list::run(args),
        Some(DataCommand::Fetch(args)) => fetch::run(args),
        Some(DataCommand::Verify(args)) => verify::run(args),
        Some(DataCommand::Show(args)) => show::run(args),
    }
}
