//! The command line, as data.

mod bench;
mod data;
mod evaluate;
mod reproduce;
mod train;
mod weights;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use noprop_data::FolderOptions;

use crate::adapters::DeviceChoice;

pub use bench::{BenchArgs, Measured};
pub use data::{
    DataArgs, DataCommand, DescribeArgs, FetchArgs, ListArgs, Part, ShowArgs, VerifyArgs,
};
pub use evaluate::{CheckArgs, EvalArgs, PredictArgs};
pub use reproduce::ReproduceArgs;
pub use train::{Overrides, TrainArgs};
pub use weights::{ExportArgs, ExportFormat, ImportArgs, MergeArgs, TraceArgs};

/// Train image classifiers by denoising labels (NoProp, arXiv:2503.24322).
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a model and leave a run folder.
    #[command(
        after_help = "Examples:\n  noprop train\n  noprop train --recipe mnist-resnet18 --epochs 4\n  noprop train --resume runs/mnist-small"
    )]
    Train(Box<TrainArgs>),
    /// Table of test accuracy over samplers and T.
    #[command(
        after_help = "Example:\n  noprop eval runs/mnist-small --samplers ddim,heun --steps 2,5,10,20,40,60,100"
    )]
    Eval(EvalArgs),
    /// Classify one image file.
    #[command(after_help = "Example:\n  noprop predict runs/mnist-small digit.png --trajectory")]
    Predict(PredictArgs),
    /// Compare what every device computes from the same images and the same noise.
    #[command(
        after_help = "Examples:\n  noprop check\n  noprop check --weights runs/mnist-small --images 10000\n  noprop check --devices wgpu:0 --json\n  noprop check --browser"
    )]
    Check(CheckArgs),
    /// Write the weights of a run to one file.
    #[command(
        after_help = "Example:\n  noprop export runs/mnist-small --out mnist.safetensors --half\n  noprop export runs/mnist-small --out mine.safetensors --to pytorch"
    )]
    Export(ExportArgs),
    /// Make a weights file from weights of PyTorch.
    #[command(
        after_help = "Example:\n  noprop import model.pt --out model.safetensors\n\nReads a state dict saved by torch.save (.pt, also inside a checkpoint) or a .safetensors file, of yhgon/NoProp's\ntwo models, of the PyTorch port in benchmarks/peer, or our own. Nothing in the file is executed."
    )]
    Import(ImportArgs),
    /// Write what a model computes from given numbers, to compare with another program.
    #[command(
        after_help = "Example:\n  noprop trace --weights runs/mnist-small --inputs in.safetensors --sampler heun --steps 20 --out out.safetensors\n\nInputs: images [n,c,h,w], already normalised; z [n,d], which is also z_0 of a walk; t [n,1]; for ancestral\nwalks, if wanted, noise [T,n,d].\nOutputs: features, logits, u_hat and alpha_bar; of a walk z_trajectory [T+1,n,d], prediction [n], and the noise."
    )]
    Trace(TraceArgs),
    /// Join NoProp-DT models whose blocks were trained apart.
    #[command(
        after_help = "Example:\n  noprop train --recipe paper-dt --blocks 1-5 --out runs/a\n  noprop train --recipe paper-dt --blocks 6-10 --out runs/b      # elsewhere, at the same time\n  noprop merge runs/a runs/b --out dt.safetensors"
    )]
    Merge(MergeArgs),
    /// Train and evaluate the rows of a table of the paper, and print them beside the paper's numbers.
    #[command(
        after_help = "Examples:\n  noprop reproduce table1 --dataset mnist --methods ct,fm --embeddings one-hot --seeds 1 --budget 10\n  noprop reproduce table1 --dataset mnist            # all of it: days\n\nRuns are kept, so the same command goes on where it was stopped."
    )]
    Reproduce(Box<ReproduceArgs>),
    /// List compute devices and what `--device auto` takes.
    Devices(DevicesArgs),
    /// Find a dataset (fetching it when needed), verify it and describe it.
    #[command(
        after_help = "Examples:\n  noprop data list\n  noprop data fetch fashion-mnist cifar10\n  noprop data verify cifar10 --data-root DIR\n  noprop data show folder --data-root DIR --out sheet.png"
    )]
    Data(DataArgs),
    /// Time a training step, a forward pass and a walk on a device.
    #[command(
        after_help = "Examples:\n  noprop bench\n  noprop bench --device wgpu --json\n  noprop bench --recipe mnist-small --measure step --batch-size 512"
    )]
    Bench(BenchArgs),
}

/// Where the dataset comes from.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Dataset")]
pub struct SourceArgs {
    /// Folder with the dataset's files (IDX, raw or .gz; CIFAR's .bin or .tar.gz), or with your own
    /// images in train/CLASS and test/CLASS, or in CLASS alone.
    #[arg(long, value_name = "DIR")]
    pub data_root: Option<PathBuf>,
    /// Accept files in --data-root whose checksums are not the official ones.
    #[arg(long, requires = "data_root")]
    pub allow_unverified: bool,
    /// Do not use the network: cache and embedded data only.
    #[arg(long)]
    pub offline: bool,
    /// Your own images are resized to N×N [default: the recipe's model.input, else 32].
    #[arg(long, value_name = "N", value_parser = positive)]
    pub image_size: Option<usize>,
    /// Channels of your own images, 1 (grey) or 3 (RGB) [default: 1 if all are stored in grey].
    #[arg(long, value_name = "1|3", value_parser = channels)]
    pub channels: Option<usize>,
    /// Share of your own images to hold out where there is no folder of test images [default: 0.1].
    #[arg(long, value_name = "SHARE")]
    pub holdout: Option<f64>,
    /// Refuse your own images if one is unreadable, instead of leaving it out.
    #[arg(long)]
    pub strict: bool,
}

impl SourceArgs {
    /// How to read a folder of images: the flags over `base`.
    pub fn folder(&self, base: &FolderOptions) -> FolderOptions {
        FolderOptions {
            image_size: self.image_size.map(|n| [n, n]).or(base.image_size),
            channels: self.channels.or(base.channels),
            holdout: self.holdout.unwrap_or(base.holdout),
            strict: self.strict || base.strict,
        }
    }
}

/// Device to compute on.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Device")]
pub struct DeviceArgs {
    /// auto, cpu, wgpu or cuda, with an index as in wgpu:1. `auto` takes a real GPU, else the CPU.
    #[arg(long, default_value = "auto")]
    pub device: DeviceChoice,
    /// Threads that work on shards of a batch on the CPU; 0 takes one per core.
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// Arguments of `devices`.
#[derive(Debug, Args)]
pub struct DevicesArgs {
    /// One JSON object on standard output.
    #[arg(long)]
    pub json: bool,
}

fn channels(text: &str) -> Result<usize, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("expected 1 (grey) or 3 (RGB)".into()),
    }
}

pub(crate) fn positive(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(0) => Err("expected a whole number of at least 1".into()),
        Ok(n) => Ok(n),
        Err(_) => Err(format!(
            "expected a whole number of at least 1, found {text:?}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
