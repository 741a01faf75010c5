//! Flags of `eval`, `predict` and `check`.

use std::path::PathBuf;

use clap::Args;
use noprop_core::SamplerKind;

use super::{DeviceArgs, SourceArgs, positive};
use crate::adapters::DeviceChoice;
use crate::catalogue::any_dataset;

/// Arguments of `eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// A run folder or a .safetensors file.
    pub run: PathBuf,
    /// Another dataset than the one of training, with the same classes.
    #[arg(long, value_parser = any_dataset())]
    pub dataset: Option<String>,
    /// Samplers, separated by commas [default: ddim,heun; of a NoProp-DT model ddim,ancestral].
    #[arg(long, value_delimiter = ',')]
    pub samplers: Vec<SamplerKind>,
    /// Numbers of steps T, separated by commas [default: 2,5,10,20,40,60,100; of a NoProp-DT model its own].
    #[arg(long, value_delimiter = ',', value_parser = positive)]
    pub steps: Vec<usize>,
    /// Noise seeds; more than one gives mean ± standard error.
    #[arg(long, default_value_t = 1, value_parser = positive)]
    pub repeats: usize,
    /// Walks of each image, each from noise of its own; the mean of their class probabilities decides.
    #[arg(long, default_value_t = 1, value_parser = positive)]
    pub votes: usize,
    /// First noise seed.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// At most so many test images.
    #[arg(long, value_parser = positive)]
    pub images: Option<usize>,
    /// Name the images that the first noise seed gets wrong.
    #[arg(long)]
    pub mistakes: bool,
    /// The accuracy with the denoiser's inputs made wrong, too: z of other images, and random images.
    #[arg(long)]
    pub ablate: bool,
    /// The accuracy of each class, too, with the first sampler and the last T.
    #[arg(long)]
    pub per_class: bool,
    /// One JSON object on standard output.
    #[arg(long)]
    pub json: bool,
    /// Device.
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Dataset source.
    #[command(flatten)]
    pub source: SourceArgs,
}

/// Arguments of `predict`.
#[derive(Debug, Args)]
pub struct PredictArgs {
    /// A run folder or a .safetensors file.
    pub run: PathBuf,
    /// A PNG, JPEG, WebP or BMP file. Digits are light on dark, as in MNIST.
    pub image: PathBuf,
    /// Sampler.
    #[arg(long, default_value_t = SamplerKind::Ddim)]
    pub sampler: SamplerKind,
    /// Steps T [default: 10; of a NoProp-DT model its own].
    #[arg(long, value_parser = positive)]
    pub steps: Option<usize>,
    /// Noise seed.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Walks, from this noise seed and those after it; the mean of their class probabilities decides.
    #[arg(long, default_value_t = 1, value_parser = positive)]
    pub votes: usize,
    /// Print the probabilities after each step.
    #[arg(long)]
    pub trajectory: bool,
    /// Invert light and dark before classifying.
    #[arg(long)]
    pub invert: bool,
    /// One JSON object on standard output.
    #[arg(long)]
    pub json: bool,
    /// Device.
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// A run folder or a .safetensors file [default: the weights that come with noprop].
    #[arg(long, value_name = "RUN|FILE")]
    pub weights: Option<PathBuf>,
    /// At most so many test images.
    #[arg(long, default_value_t = 1000, value_parser = positive)]
    pub images: usize,
    /// Noise seed.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Devices to compare with the CPU, separated by commas [default: all there are].
    #[arg(long, value_delimiter = ',')]
    pub devices: Vec<DeviceChoice>,
    /// Compare the browser, too: its WebGPU and its CPU, through the built page.
    #[arg(long)]
    pub browser: bool,
    /// The built page (`trunk build --release` or `cargo xtask web` make it).
    #[arg(long, value_name = "DIR", default_value = "dist")]
    pub page: PathBuf,
    /// Browser to start [default: a Chromium or Chrome that is installed; "none" prints the address to open].
    #[arg(long, value_name = "PROGRAM")]
    pub browser_program: Option<String>,
    /// Threads on the CPU; 0 takes one per core.
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Folder for check.json and check.md.
    #[arg(long, value_name = "DIR", default_value = "runs/check")]
    pub out: PathBuf,
    /// One JSON object on standard output.
    #[arg(long)]
    pub json: bool,
    /// Dataset source.
    #[command(flatten)]
    pub source: SourceArgs,
}
