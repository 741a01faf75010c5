//! `cargo xtask bench`: our training against PyTorch's on this machine, side by side.
//!
//! Both sides get the same threads and cores. Their processes take turns, so that a disturbance of the machine affects
//! both, and medians over all turns are compared.

mod accuracy;
mod case;
mod parity;
mod peer;
mod report;
mod side;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::process;
use case::Case;
use report::Report;
use side::{Form, Side};

#[derive(Args)]
pub struct BenchArgs {
    /// Measure the main table alone, with fewer turns: about 3 minutes
    #[arg(long)]
    quick: bool,
    /// Measure the seconds until 97, 98 and 99 % of MNIST's test images are right, too: an hour and more
    #[arg(long)]
    long: bool,
    /// Seconds after which a training of the peer ends, for --long
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    give_up: u32,
    /// Trainings of each side, with seeds from 0, for --long
    #[arg(long, value_name = "N", default_value_t = 3)]
    seeds: u64,
    /// Measure only what --long adds, without the other tables
    #[arg(long, requires = "long", conflicts_with = "quick")]
    only_long: bool,
    /// Compare only numbers: features, estimates and walks at full ResNet-18 size, from the same weights
    #[arg(long, conflicts_with_all = ["quick", "long"])]
    parity: bool,
    /// Python with the packages of benchmarks/peer/requirements.txt [default: a virtual environment in the target
    /// folder, made if there is none]
    #[arg(long, value_name = "PROGRAM")]
    python: Option<PathBuf>,
    /// Threads of each side [default: one per core]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Turns of each side [default: 5, or 3 with --quick]
    #[arg(long, value_name = "N")]
    turns: Option<usize>,
    /// Folder with MNIST's four files, for --long
    #[arg(long, value_name = "DIR")]
    data_root: Option<PathBuf>,
    /// Print the tables only; leave docs/performance.md as it is
    #[arg(long)]
    dry_run: bool,
}

pub fn bench(args: &BenchArgs) -> Result<()> {
    let python = match &args.python {
        Some(python) => python.clone(),
        None => peer::environment()?,
    };
    let ours = build()?;
    let performance = process::workspace_root().join("docs/performance.md");
    let numbers = parity::measure(&ours, &python)?;
    println!("{numbers}");
    if !args.dry_run {
        report::write_numbers(&performance, &numbers)?;
    }
    if args.parity {
        return Ok(());
    }
    let cores = std::thread::available_parallelism()?.get();
    let threads = args.threads.unwrap_or(cores).clamp(1, cores);
    let turns = args.turns.unwrap_or(if args.quick { 3 } else { 5 }).max(1);
    if args.long {
        let Some(data) = &args.data_root else {
            bail!("--long trains on MNIST; say with --data-root where its four files are");
        };
        let rows = accuracy::measure(&ours, &python, data, threads, args.seeds, args.give_up)?;
        let table = report::accuracy(&rows, threads, args.give_up);
        println!("{table}");
        if !args.dry_run {
            report::write_accuracy(&performance, &table)?;
        }
    }
    if args.only_long {
        return Ok(());
    }
    let mut report = Report::new(threads, turns);
    let sides = |forms: &[Form]| {
        let peer = |&form| Side::Peer(python.clone(), form);
        let mut sides = vec![Side::Ours(ours.clone())];
        sides.extend(forms.iter().map(peer));
        sides
    };
    let both = sides(&[Form::Smart, Form::Reference]);
    let smart = sides(&[Form::Smart]);

    let mut rows = Vec::new();
    for (case, sides) in Case::main(threads, args.quick) {
        let sides = if sides == 3 { &both } else { &smart };
        rows.push(measure(&case, sides, turns)?);
    }
    report.main(&rows);
    let start = Case::start_up(threads);
    report.start_up(&measure(&start, &smart, turns)?);
    if !args.quick {
        for (title, cases) in Case::growth(threads) {
            let rows = cases.iter().map(|case| measure(case, &smart, turns.min(3)));
            report.growth(title, &rows.collect::<Result<Vec<_>>>()?);
        }
    }
    println!("\n{}", report.text());
    if !args.dry_run {
        report.write(&performance)?;
    }
    Ok(())
}

/// The results of a case, in the order of the sides.
pub struct Row {
    pub case: Case,
    pub results: Vec<side::Result>,
}

fn measure(case: &Case, sides: &[Side], turns: usize) -> Result<Row> {
    let mut results: Vec<side::Result> = sides.iter().map(|_| side::Result::default()).collect();
    for turn in 0..turns {
        for (side, result) in sides.iter().zip(&mut results) {
            eprintln!(
                "{}, {}, turn {} of {turns}",
                case.title,
                side.name(),
                turn + 1
            );
            result.add(side.run(case)?);
        }
    }
    let case = case.clone();
    Ok(Row { case, results })
}

/// Builds `noprop`, and returns its path.
fn build() -> Result<PathBuf> {
    let mut command: Command =
        process::cargo(["build", "--release", "--workspace", "--bin", "noprop"]);
    if !process::run(&mut command)? {
        bail!("noprop does not build");
    }
    let name = format!("release/noprop{}", std::env::consts::EXE_SUFFIX);
    let program = process::target_dir()?.join(name);
    program
        .canonicalize()
        .with_context(|| format!("{} is not there", program.display()))
}
