//! Flags that several commands share, and parsers of their values.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use noprop_core::inference::{check_temperature, ignores_seed};
use noprop_core::{Inference, ProcessKind, SAMPLERS, Sampler, Views, Walk};
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

/// The flags that replace the walk, votes and views that the weights recommend.
#[derive(Debug, Clone, Default, Args)]
pub struct AskArgs {
    /// Start walks from noise times X, 0 … 4: 1 is noise, 0 the mean of the noise, from which all walks by a
    /// sampler without noise are equal [default: as the weights recommend, else 1].
    #[arg(long, value_name = "X", value_parser = temperature)]
    pub temperature: Option<f32>,
    /// Take the mean class probabilities of N walks of each image, from the noise seed and those after it. The
    /// walks cost N times as much, the features nothing more [default: as the weights recommend, else 1].
    #[arg(long, value_name = "N", value_parser = positive)]
    pub votes: Option<usize>,
    /// Take the mean class probabilities of several views of each image. Features and walks are computed for
    /// each of them [default: as the weights recommend, else none].
    #[arg(long, value_name = "VIEWS", value_parser = views())]
    pub views: Option<Views>,
    /// First noise seed [default: as the weights recommend, else 0].
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

impl AskArgs {
    /// `recommended`, changed as the flags say.
    pub fn apply(&self, recommended: Inference) -> Inference {
        let walk = recommended.walk;
        Inference {
            walk: Walk {
                seed: self.seed.unwrap_or(walk.seed),
                temperature: self.temperature.unwrap_or(walk.temperature),
                ..walk
            },
            votes: self.votes.unwrap_or(recommended.votes),
            views: self.views.unwrap_or(recommended.views),
        }
    }

    /// Says on standard error where `--votes` changes nothing for any of `walks`.
    pub fn note_equal_votes(&self, walks: &[Walk]) {
        if let Some(votes) = self.votes {
            note_equal_votes(votes, walks);
        }
    }
}

/// Says on standard error where more than one vote changes nothing for any of `walks`.
pub fn note_equal_votes(votes: usize, walks: &[Walk]) {
    if votes > 1 && walks.iter().all(ignores_seed) {
        eprintln!(
            "note: at temperature 0 all walks of an image are equal, so {votes} votes change nothing; one walk is \
             computed"
        );
    }
}

/// Parser of a flag for a temperature.
pub fn temperature(text: &str) -> Result<f32, String> {
    let temperature: f32 = text
        .parse()
        .map_err(|_| format!("expected a number from 0 to 4, found {text:?}"))?;
    check_temperature(temperature).map_err(|error| error.to_string())?;
    Ok(temperature)
}

/// Parser of a flag for the views of an image.
pub fn views() -> impl TypedValueParser<Value = Views> {
    let value = |views: &Views| {
        PossibleValue::new(views.name()).help(match views {
            Views::None => "the image itself",
            Views::Flip => "the image and its mirror image; costs 2 times as much",
            Views::Shift => {
                "the image, and with half its weight together the image shifted by one pixel along the \
                 diagonal, both ways; costs 3 times as much"
            }
            Views::FlipShift => "the views of shift and their mirror images; costs 6 times as much",
        })
    };
    PossibleValuesParser::new(Views::ALL.iter().map(value)).try_map(|name| name.parse::<Views>())
}

/// Parser of a flag for a whole number from 1 on.
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
