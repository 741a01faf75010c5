//! Flags that several commands share, and parsers of their values.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use noprop_core::{ProcessKind, SAMPLERS, Sampler};
use noprop_data::FolderOptions;

use crate::devices::DeviceChoice;

/// The source of the images.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Dataset")]
pub struct SourceArgs {
    /// Folder with the files of the dataset (IDX, raw or .gz; CIFAR's .bin or .tar.gz), or with your own
    /// images in train/CLASS and test/CLASS, or in CLASS alone.
    #[arg(long, value_name = "DIR")]
    pub data_root: Option<PathBuf>,
    /// Accept files in --data-root whose checksums are not the official ones.
    #[arg(long, requires = "data_root")]
    pub allow_unverified: bool,
    /// Download nothing: read the cache and the embedded images alone.
    #[arg(long)]
    pub offline: bool,
    /// Resize your own images to N×N pixels [default: as the recipe's model.input says, else 32].
    #[arg(long, value_name = "N", value_parser = positive)]
    pub image_size: Option<usize>,
    /// Channels of your own images, 1 (grey) or 3 (RGB) [default: 1 if all files are grey].
    #[arg(long, value_name = "1|3", value_parser = channels)]
    pub channels: Option<usize>,
    /// Share of your own images that is held out for testing if there is no folder of test images [default: 0.1].
    #[arg(long, value_name = "SHARE")]
    pub holdout: Option<f64>,
    /// Stop at an unreadable image of your own, instead of leaving it out.
    #[arg(long)]
    pub strict: bool,
}

impl SourceArgs {
    /// The options for reading a folder of images: those that the flags give, and all others from `base`.
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
    /// Device to compute on: auto, cpu, wgpu or cuda, with an index as in wgpu:1. `auto` takes a GPU if
    /// there is one, else the CPU; `noprop devices` lists them.
    #[arg(long, default_value = "auto")]
    pub device: DeviceChoice,
    /// Threads of the CPU that share the images of a batch; 0 takes one for each core [default: 0, and in
    /// training the recipe's train.threads].
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// Parses the value of a flag as a whole number from 1 on.
pub fn positive(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(0) => Err("expected a whole number of at least 1".into()),
        Ok(n) => Ok(n),
        Err(_) => Err(format!(
            "expected a whole number of at least 1, found {text:?}"
        )),
    }
}

/// Parser of a flag for a sampler. The help texts list name, label and purpose of each sampler of the core.
pub fn sampler() -> impl TypedValueParser<Value = Sampler> {
    let value = |sampler: &Sampler| {
        let serves = sampler.processes.iter().copied();
        let serves: Vec<&str> = serves.map(ProcessKind::describe).collect();
        let evaluations = match sampler.evaluations_per_step {
            1 => "the network once".to_owned(),
            count => format!("the network {count} times"),
        };
        PossibleValue::new(sampler.name).help(format!(
            "{}, evaluates {evaluations} per step, for {}",
            sampler.label,
            serves.join(" or ")
        ))
    };
    PossibleValuesParser::new(SAMPLERS.iter().map(value)).try_map(|name| name.parse::<Sampler>())
}

fn channels(text: &str) -> Result<usize, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("expected 1 (grey) or 3 (RGB)".into()),
    }
}
