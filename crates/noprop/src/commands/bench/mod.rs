//! `noprop bench`: how long a training step, a forward pass and a walk take on a device.

mod launches;
mod synthetic;
mod timing;

use anyhow::{Context, Result};
use noprop_train::Workers;
use serde::Serialize;

use crate::adapters;
use crate::cli::{BenchArgs, Measured};
use crate::memory;
use timing::{Bench, Timing};

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
    let chosen = adapters::choose(args.device.device)?;
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
        peak_memory: memory::peak(),
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
