//! `noprop`: train, evaluate and use NoProp classifiers.

// This module is the first, since all modules below use its macros.
#[macro_use]
mod pipe;

mod catalogue;
mod commands;
mod contact_sheet;
mod dataset;
mod devices;
mod embedding;
mod evaluation;
mod flags;
mod hints;
mod job;
mod picture;
mod progress;
mod recipes;
mod resolved_recipe;
mod run_folder;
mod settings;
mod shortcuts;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use commands::bench::BenchArgs;
use commands::check::CheckArgs;
use commands::data::DataArgs;
use commands::dump_values::DumpValuesArgs;
use commands::eval::EvalArgs;
use commands::lists::{DevicesArgs, RecipesArgs};
use commands::predict::PredictArgs;
use commands::reproduce::ReproduceArgs;
use commands::train::TrainArgs;
use commands::weights::{ExportArgs, ImportArgs, MergeArgs};

/// The allocator of the program. A training step allocates hundreds of megabytes, the same amounts in every step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Train image classifiers by denoising labels (NoProp, arXiv:2503.24322).
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    /// Command.
    #[command(subcommand)]
    command: Command,
}

/// A command.
#[derive(Debug, Subcommand)]
enum Command {
    /// Train a model, and leave a run folder with its weights and logs.
    #[command(
        after_help = "Examples:\n  noprop train\n  noprop train --recipe mnist-resnet18 --epochs 4\n  noprop train --resume runs/mnist-small"
    )]
    Train(Box<TrainArgs>),
    /// Print the test accuracy for several samplers and numbers of steps T.
    #[command(
        after_help = "Example:\n  noprop eval runs/mnist-small --samplers ddim,heun --steps 2,5,10,20,40,60,100"
    )]
    Eval(EvalArgs),
    /// Classify one image file.
    #[command(
        after_help = "Examples:\n  noprop predict runs/mnist-small digit.png --walk\n  noprop predict runs/mnist-small digit.png --picture walk.svg"
    )]
    Predict(PredictArgs),
    /// List the recipes that `train --recipe` knows by name.
    #[command(
        after_help = "Examples:\n  noprop recipes\n  noprop recipes mnist-small > mine.toml      # edit it, then: noprop train --recipe mine.toml"
    )]
    Recipes(RecipesArgs),
    /// Find a dataset (downloading it when needed), verify it and describe it.
    #[command(
        after_help = "Examples:\n  noprop data list\n  noprop data fetch fashion-mnist cifar10\n  noprop data verify cifar10 --data-root DIR\n  noprop data show folder --data-root DIR --out sheet.png"
    )]
    Data(DataArgs),
    /// List the compute devices, and which of them `--device auto` takes.
    Devices(DevicesArgs),
    /// Compute the same walks on all devices, and compare their numbers with the CPU's.
    #[command(
        after_help = "Examples:\n  noprop check\n  noprop check --weights runs/mnist-small --images 10000\n  noprop check --devices wgpu:0 --json\n  noprop check --browser"
    )]
    Check(CheckArgs),
    /// Write the weights of a run to one file, for this program or for PyTorch.
    #[command(
        after_help = "Examples:\n  noprop export runs/mnist-small --out mnist.safetensors --half\n  noprop export runs/mnist-small --out mine.safetensors --to pytorch"
    )]
    Export(ExportArgs),
    /// Make a weights file from weights of PyTorch.
    #[command(
        after_help = "Example:\n  noprop import model.pt --out model.safetensors\n\nReads a state dict saved by torch.save (.pt, also inside a checkpoint) or a .safetensors file, of yhgon/NoProp's\ntwo models, of the PyTorch port in benchmarks/peer, or our own. Nothing in the file is executed."
    )]
    Import(ImportArgs),
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
    /// Time a training step, a forward pass and a walk on a device.
    #[command(
        after_help = "Examples:\n  noprop bench\n  noprop bench --device wgpu --json\n  noprop bench --recipe mnist-small --measure step --batch-size 512"
    )]
    Bench(BenchArgs),
    /// Write the numbers that a model computes from given inputs, to compare them with another program's.
    #[command(
        after_help = "Example:\n  noprop dump-values --weights runs/mnist-small --inputs in.safetensors --sampler heun --steps 20 --out out.safetensors\n\nInputs: images [n,c,h,w], already normalised; z [n,d], which is also z_0 of a walk; t [n,1]; for ancestral\nwalks, if wanted, noise [T,n,d].\nOutputs: features, logits, u_hat and alpha_bar; of a walk z_trajectory [T+1,n,d], prediction [n], and the noise\nof an ancestral walk."
    )]
    DumpValues(DumpValuesArgs),
}

impl Command {
    fn run(&self) -> Result<()> {
        match self {
            Self::Train(args) => commands::train::run(args),
            Self::Eval(args) => commands::eval::run(args),
            Self::Predict(args) => commands::predict::run(args),
            Self::Recipes(args) => commands::lists::recipes(args),
            Self::Data(args) => commands::data::run(args),
            Self::Devices(args) => commands::lists::devices(args),
            Self::Check(args) => commands::check::run(args),
            Self::Export(args) => commands::weights::export(args),
            Self::Import(args) => commands::weights::import(args),
            Self::Merge(args) => commands::weights::merge(args),
            Self::Reproduce(args) => commands::reproduce::run(args),
            Self::Bench(args) => commands::bench::run(args),
            Self::DumpValues(args) => commands::dump_values::run(args),
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("NOPROP_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,wgpu_hal=off,wgpu_core=off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let Err(error) = cli.command.run() else {
        return ExitCode::SUCCESS;
    };
    eprintln!("error: {error:#}");
    if let Some(hint) = hints::of(&error) {
        eprintln!("hint: {hint}");
    }
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
