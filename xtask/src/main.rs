//! Developer tasks: `cargo xtask setup`, `cargo xtask test`, `cargo xtask web`, `cargo xtask bench`.
//!
//! Plain Rust instead of shell scripts, so that the same commands work on every system.

mod bench;
mod e2e;
mod page;
mod process;
mod setup;
mod steps;
mod vulkan;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::bench::BenchArgs;
use crate::page::WebArgs;
use crate::steps::Step;

/// Developer tasks of the workspace
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run all checks, up to the first that fails
    Test(TestArgs),
    /// Say what the checks need, and install what rustup, cargo and npm can install
    Setup,
    /// Build the browser demo into dist/, and serve it if that is asked for
    Web(WebArgs),
    /// Compare our speed with PyTorch's on this machine, and write docs/performance.md
    Bench(BenchArgs),
}

#[derive(Args)]
struct TestArgs {
    /// Run only this step (repeatable)
    #[arg(long, value_name = "NAME")]
    only: Vec<Step>,
    /// Leave this step out (repeatable)
    #[arg(long, value_name = "NAME")]
    skip: Vec<Step>,
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // `main() -> Result` is not used: with RUST_BACKTRACE set, the message of a failed check would end under a
            // stack trace of this program.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Test(args) => steps::test(&args.only, &args.skip),
        Task::Web(args) => page::web(&args),
        Task::Bench(args) => bench::bench(&args),
        Task::Setup => {
            setup::setup();
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
