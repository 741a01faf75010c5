//! `noprop bench`: the time that a training step, a forward pass and a walk take on a device.

mod timing;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use noprop_train::Workers;
use serde::Serialize;

use crate::devices;
use crate::flags::{DeviceArgs, positive};
use crate::progress::peak_memory;
use timing::{Bench, Timing};

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Name of a recipe, or a TOML file: method, model and optimiser.
    #[arg(long, default_value = "reference-mnist", value_name = "NAME|FILE")]
    recipe: String,
    /// Parts of the work to time, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "PART", value_enum, default_values_t = [Measured::Step, Measured::Forward, Measured::Solve])]
    measure: Vec<Measured>,
    /// Height and width of the images in pixels [default: the recipe's].
    #[arg(long, value_name = "N", value_parser = positive)]
    size: Option<usize>,
    /// Images of a training step and of a forward pass.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = positive)]
    batch_size: usize,
    /// Images that walk from noise to label.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = positive)]
    images: usize,
    /// Steps T of a walk.
    #[arg(long, value_name = "T", default_value_t = 40, value_parser = positive)]
    steps: usize,
    /// Repetitions that are timed.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = positive)]
    repeats: usize,
    /// Repetitions before those that are timed.
    #[arg(long, value_name = "N", default_value_t = 2)]
    warm_up: usize,
    /// Print one JSON object on standard output.
    #[arg(long)]
    json: bool,
    /// Device.
    #[command(flatten)]
    device: DeviceArgs,
}

/// A part of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measured {
    /// A training step.
    Step,
    /// The features of a batch.
    Forward,
    /// Features of images, and their walks from noise to label.
    Solve,
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
struct Report {
    recipe: String,
    /// Channels, height, width.
    input: [usize; 3],
    device: String,
    threads: usize,
    timings: Vec<Timing>,
    /// The most memory that the process has held, bytes; absent where the system does not tell.
    peak_memory: Option<u64>,
}

pub fn run(args: &BenchArgs) -> Result<()> {
    let mut recipe = crate::recipes::find(&args.recipe)?;
    recipe.train.batch_size = args.batch_size;
    recipe.train.epochs = 1;
    recipe.data.validation = 0;
    recipe.data.limit = None;
    if let Some(size) = args.size {
        recipe.model.input = [recipe.model.input[0], size, size];
    }
    recipe.validate()?;
    let chosen = devices::choose(args.device.device)?;
    let threads = chosen.threads(args.device.threads);
    let bench = Bench {
        recipe: &recipe,
        device: &chosen.device,
        is_cpu: chosen.is_cpu,
        workers: Workers::new(threads)?,
        warm_up: args.warm_up,
        repeats: args.repeats,
    };
    let mut timings = Vec::new();
    for what in &args.measure {
        timings.extend(match what {
            Measured::Step => bench.step().context("the training step")?,
            Measured::Forward => bench.forward(args.batch_size)?,
            Measured::Solve => bench.solve(args.images, args.steps)?,
        });
    }
    let report = Report {
        recipe: args.recipe.clone(),
        input: recipe.model.input,
        device: chosen.name,
        threads,
        timings,
        peak_memory: peak_memory(),
    };
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        report.print();
    }
    Ok(())
}

impl Report {
    fn print(&self) {
        let [c, h, w] = self.input;
        println!(
            "{} on images of {c}×{h}×{w}; {}, {} thread(s)",
            self.recipe, self.device, self.threads
        );
        println!(
            "{:<28} {:>7} {:>11} {:>11} {:>10} {:>9}",
            "what", "images", "median ms", "fastest ms", "images/s", "launches"
        );
        for timing in &self.timings {
            let median = timing.median();
            println!(
                "{:<28} {:>7} {:>11.2} {:>11.2} {:>10.0} {:>9.0}",
                timing.what,
                timing.images,
                1e3 * median,
                1e3 * timing.fastest(),
                timing.images as f64 / median,
                timing.launches()
            );
        }
        if let Some(bytes) = self.peak_memory {
            println!("peak memory: {:.0} MB", bytes as f64 / 1e6);
        }
    }
}
