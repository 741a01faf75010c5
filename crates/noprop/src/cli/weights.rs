//! Flags of the commands that turn weights into files: `export`, `import`, `trace`, `merge`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use noprop_core::SamplerKind;
use noprop_pytorch::Layout;

use super::{DeviceArgs, positive};
use crate::catalogue::published_dataset;

/// Arguments of `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// A run folder or a .safetensors file.
    pub run: PathBuf,
    /// File to write.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Whose parameter names: ours, or PyTorch's (yhgon/NoProp's where the model is one of its two,
    /// else those of the port in benchmarks/peer).
    #[arg(long, value_enum, default_value_t = ExportFormat::Noprop)]
    pub to: ExportFormat,
    /// Store convolutions and linear layers as f16, half the size.
    #[arg(long)]
    pub half: bool,
}

/// For whom `export` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// This program and its page.
    Noprop,
    /// PyTorch.
    Pytorch,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// A .pt or .safetensors file.
    pub file: PathBuf,
    /// File to write.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Whose parameter names the file has: ours, reference-mnist, reference-simple or torchvision
    /// [default: told by the names].
    #[arg(long = "as", value_name = "MODEL")]
    pub layout: Option<Layout>,
    /// The recipe that the model is of, where the file does not tell its configuration.
    #[arg(long, value_name = "NAME|FILE")]
    pub recipe: Option<String>,
    /// Dataset that the model was trained on; it gives normalisation and class names.
    #[arg(long, value_parser = published_dataset())]
    pub dataset: Option<String>,
}

/// Arguments of `trace`.
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// A run folder or a .safetensors file.
    #[arg(long, value_name = "RUN|FILE")]
    pub weights: PathBuf,
    /// A .safetensors file with the tensors images, z and t.
    #[arg(long, value_name = "FILE")]
    pub inputs: PathBuf,
    /// File to write.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Walk from z with this sampler, too.
    #[arg(long)]
    pub sampler: Option<SamplerKind>,
    /// Steps T of the walk.
    #[arg(long, default_value_t = 10, value_parser = positive, requires = "sampler")]
    pub steps: usize,
    /// Seed of ancestral noise, where the inputs hold none.
    #[arg(long, default_value_t = 0, requires = "sampler")]
    pub seed: u64,
    /// Device.
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// Arguments of `merge`.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// Run folders or .safetensors files that hold all blocks between them.
    #[arg(required = true, num_args = 2.., value_name = "RUN|FILE")]
    pub parts: Vec<PathBuf>,
    /// File to write.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}
