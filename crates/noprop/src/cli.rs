//! The command line, as data.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use noprop_core::{BlockRange, SamplerKind};
use noprop_data::{DatasetName, FolderOptions};
use noprop_pytorch::Layout;
use noprop_train::BlockOrder;

use crate::adapters::DeviceChoice;
use crate::commands::data::DataArgs;

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
    /// List compute devices and what `--device auto` takes.
    Devices(DevicesArgs),
    /// Find a dataset (fetching it when needed), verify it and describe it.
    #[command(
        after_help = "Examples:\n  noprop data list\n  noprop data fetch fashion-mnist cifar10\n  noprop data verify cifar10 --data-root DIR\n  noprop data show --dataset folder --data-root DIR --out sheet.png"
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
    /// mnist, fashion-mnist, cifar10, cifar100 or folder (your own images).
    #[arg(long)]
    pub dataset: Option<DatasetName>,
    /// resnet10, resnet18, resnet50, resnet152 or cnn.
    #[arg(long)]
    pub backbone: Option<String>,
    /// Passes over the training images.
    #[arg(long, alias = "epoches", value_parser = positive)]
    pub epochs: Option<usize>,
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

/// Arguments of `eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// A run folder or a .safetensors file.
    pub run: PathBuf,
    /// Another dataset than the one of training, with the same classes.
    #[arg(long)]
    pub dataset: Option<DatasetName>,
    /// Samplers, separated by commas [default: ddim,heun; of a NoProp-DT model ddim,ancestral].
    #[arg(long, value_delimiter = ',')]
    pub samplers: Vec<SamplerKind>,
    /// Numbers of steps T, separated by commas [default: 2,5,10,20,40,60,100; of a NoProp-DT model its own].
    #[arg(long, value_delimiter = ',', value_parser = positive)]
    pub steps: Vec<usize>,
    /// Noise seeds; more than one gives mean ± standard error.
    #[arg(long, default_value_t = 1, value_parser = positive)]
    pub repeats: usize,
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
    /// What the model was trained on: its normalisation and class names.
    #[arg(long)]
    pub dataset: Option<DatasetName>,
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

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Name of a built-in recipe, or a TOML file: the model, the objective and the optimiser.
    #[arg(long, default_value = "reference-mnist", value_name = "NAME|FILE")]
    pub recipe: String,
    /// What to time, separated by commas.
    #[arg(long, value_delimiter = ',', default_values_t = [Measured::Step, Measured::Forward, Measured::Solve])]
    pub measure: Vec<Measured>,
    /// Height and width of the images [default: the recipe's].
    #[arg(long, value_parser = positive)]
    pub size: Option<usize>,
    /// Images of a step and of a forward pass.
    #[arg(long, default_value_t = 128, value_parser = positive)]
    pub batch_size: usize,
    /// Images that walk from noise to label.
    #[arg(long, default_value_t = 1000, value_parser = positive)]
    pub images: usize,
    /// Steps T of a walk.
    #[arg(long, default_value_t = 40, value_parser = positive)]
    pub steps: usize,
    /// Repetitions that count.
    #[arg(long, default_value_t = 5, value_parser = positive)]
    pub repeats: usize,
    /// Repetitions before them.
    #[arg(long, default_value_t = 2)]
    pub warm_up: usize,
    /// One JSON object on standard output.
    #[arg(long)]
    pub json: bool,
    /// Device.
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// What `bench` times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Measured {
    /// A training step.
    Step,
    /// The features of a batch.
    Forward,
    /// Features, and walks from noise to label.
    Solve,
}

impl std::fmt::Display for Measured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Step => "step",
            Self::Forward => "forward",
            Self::Solve => "solve",
        })
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
