//! `noprop`: train, evaluate and use NoProp classifiers.

// First, as its macros are for all modules below.
#[macro_use]
mod pipe;

mod adapters;
mod assets;
mod budget;
mod catalogue;
mod choice;
mod cli;
mod commands;
mod contact_sheet;
mod dataset;
mod embedding;
mod hint;
mod memory;
mod progress;
mod recipes;
mod record;
mod run_folder;
mod setting;
mod statistics;

use clap::Parser;

/// A training step allocates hundreds of megabytes, the same every time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    let cli = cli::Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("NOPROP_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,wgpu_hal=off,wgpu_core=off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let result = match cli.command {
        cli::Command::Train(args) => commands::train::run(&args),
        cli::Command::Eval(args) => commands::eval::run(&args),
        cli::Command::Predict(args) => commands::predict::run(&args),
        cli::Command::Check(args) => commands::check::run(&args),
        cli::Command::Export(args) => commands::export::run(&args),
        cli::Command::Import(args) => commands::import::run(&args),
        cli::Command::Trace(args) => commands::trace::run(&args),
        cli::Command::Merge(args) => commands::merge::run(&args),
        cli::Command::Devices(args) => commands::devices::run(&args),
        cli::Command::Data(args) => commands::data::run(&args),
        cli::Command::Reproduce(args) => commands::reproduce::run(&args),
        cli::Command::Bench(args) => commands::bench::run(&args),
    };
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            if let Some(hint) = hint::of(&error) {
                eprintln!("hint: {hint}");
            }
            std::process::ExitCode::FAILURE
        }
    }
}
