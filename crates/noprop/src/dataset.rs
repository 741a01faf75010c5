//! Loading a dataset with something to look at meanwhile.

use std::io::IsTerminal;
use std::path::Path;

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use noprop_core::weights::ModelCard;
use noprop_data::{Dataset, DatasetName, FolderOptions, LoadOptions, Progress, Source};

use crate::cli::SourceArgs;
use crate::run_folder::RunFolder;

/// The dataset that weights were trained on, or `other`, in the weights' shape. `run` is where they
/// came from: a run folder tells how a folder of images was read.
///
/// # Errors
/// As [`load`], and when the dataset has other classes or another shape than the weights.
pub fn for_weights(
    card: &ModelCard,
    other: Option<DatasetName>,
    source: &SourceArgs,
    run: Option<&Path>,
) -> Result<Dataset> {
    let trained: DatasetName = card.dataset.parse()?;
    let name = other.unwrap_or(trained);
    let base = run
        .and_then(|run| RunFolder::open(run).ok()?.recipe().ok())
        .map_or_else(FolderOptions::default, |recipe| recipe.data.folder);
    let [_, height, width] = card.model.input;
    let folder = FolderOptions {
        image_size: Some([height, width]),
        // A grey dataset on a three-channel model is one channel, repeated.
        channels: Some(card.mean.len()),
        ..source.folder(&base)
    };
    let dataset = load(name, source, &folder)?;
    if dataset.classes != card.classes && name != trained {
        bail!(
            "the weights know the classes {}, but {name} has {}: choose a --dataset with the same classes",
            card.classes.join(", "),
            dataset.classes.join(", ")
        );
    }
    if dataset.classes != card.classes && name == DatasetName::Folder {
        bail!(
            "the weights know the classes {}, but {} has {}: give the folder that they were trained on",
            card.classes.join(", "),
            dataset.source,
            dataset.classes.join(", ")
        );
    }
    let (found, expected) = (dataset.test.shape, [card.mean.len(), height, width]);
    if found != expected {
        bail!(
            "the weights take images of {}, but those of {name} are {}: choose a --dataset of that shape",
            shape(expected),
            shape(found)
        );
    }
    Ok(dataset)
}

fn shape([channels, height, width]: [usize; 3]) -> String {
    format!("{channels}×{height}×{width}")
}

/// The dataset from the first source that has it.
///
/// # Errors
/// When `--data-root` is given and unusable, or no source has the dataset.
pub fn load(name: DatasetName, source: &SourceArgs, folder: &FolderOptions) -> Result<Dataset> {
    let mut bar: Option<ProgressBar> = None;
    let mut report = |progress: Progress| match progress {
        Progress::Trying { what } => eprintln!("{name}: trying {what}"),
        Progress::Started {
            file,
            total,
            resumed_from,
        } => {
            if std::io::stderr().is_terminal() {
                let new = ProgressBar::new(total.unwrap_or(0));
                if let Ok(style) = ProgressStyle::with_template(
                    "  {msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}",
                ) {
                    new.set_style(style);
                }
                new.set_message(file);
                new.set_position(resumed_from);
                bar = Some(new);
            }
        }
        Progress::Advanced { bytes } => {
            if let Some(bar) = &bar {
                bar.inc(bytes);
            }
        }
        Progress::Done { .. } => {
            if let Some(bar) = bar.take() {
                bar.finish_and_clear();
            }
        }
        Progress::Failed { what, why } => {
            if let Some(bar) = bar.take() {
                bar.finish_and_clear();
            }
            eprintln!("  {what}: {why}");
        }
    };
    let mut options = LoadOptions::new(&mut report);
    options.data_root = source.data_root.clone();
    options.allow_unverified = source.allow_unverified;
    options.offline = source.offline;
    options.folder = folder.clone();
    let dataset = noprop_data::load(name, options)?;
    if dataset.source == Source::Embedded {
        eprintln!(
            "WARNING: the complete {name} was not found, so this uses the embedded subset of {} training and {} \
             test images; give the complete files with --data-root",
            dataset.train.len(),
            dataset.test.len()
        );
    }
    Ok(dataset)
}
