//! Flags of `bench`.

use clap::{Args, ValueEnum};

use super::{DeviceArgs, positive};

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
