//! Flags of `reproduce`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{DeviceArgs, SourceArgs, positive};
use crate::budget::Budget;
use crate::catalogue::any_dataset;
use crate::commands::reproduce::Method;
use crate::embedding::Embedding;
use crate::setting::Setting;

/// Arguments of `reproduce`.
#[derive(Debug, Args)]
pub struct ReproduceArgs {
    /// What to reproduce.
    pub table: PaperTable,
    /// Dataset of the table's columns: mnist, cifar10 or cifar100.
    #[arg(long, default_value = "mnist", value_parser = any_dataset(), hide_possible_values = true)]
    pub dataset: String,
    /// Rows, separated by commas: dt, ct, fm, backprop, adjoint [default: all].
    #[arg(long, value_delimiter = ',')]
    pub methods: Vec<Method>,
    /// Class embeddings, separated by commas: one-hot, dim20, prototype [default: all that the paper has].
    #[arg(long, value_delimiter = ',')]
    pub embeddings: Vec<Embedding>,
    /// Trainings of each row, with seeds from 0.
    #[arg(long, default_value_t = 3, value_parser = positive)]
    pub seeds: usize,
    /// Noise seeds of each evaluation.
    #[arg(long, default_value_t = 5, value_parser = positive)]
    pub repeats: usize,
    /// Train a fraction of the paper's epochs only: so many epochs (a number), or until a time has passed (10m, 2h).
    #[arg(long, value_name = "EPOCHS|TIME")]
    pub budget: Option<Budget>,
    /// Set a key of the recipes, as in objective.max_weight=1; can be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<Setting>,
    /// T of the evaluation in continuous time [default: the paper's 1000].
    #[arg(long, value_name = "T", value_parser = positive)]
    pub steps: Option<usize>,
    /// Evaluate on at most so many training and so many test images.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub images: Option<usize>,
    /// At most so many training images in training.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub limit: Option<usize>,
    /// Folder for the runs and the table.
    #[arg(long, value_name = "DIR", default_value = "runs/table1")]
    pub out: PathBuf,
    /// Train anew what is there already.
    #[arg(long)]
    pub force: bool,
    /// Device.
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Dataset source.
    #[command(flatten)]
    pub source: SourceArgs,
}

/// A table of the paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PaperTable {
    /// Accuracies of all methods and class embeddings (Table 1), with time and memory (Table 2).
    Table1,
}
