//! Loading of a dataset by its name on the command line, with a progress bar.

use std::io::IsTerminal;
use std::path::Path;

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use noprop_core::weights::ModelCard;
use noprop_data::{Dataset, FolderOptions, LoadOptions, Loaded, Progress, load_image_folder};

use crate::catalogue::{self, FOLDER};
use crate::flags::SourceArgs;
use crate::run_folder::RunFolder;

/// Loads the dataset called `other`, or else the dataset on which the weights were trained, with images of the shape
/// that the weights take. `run` is the file or run folder of the weights; a run folder also holds the options for
/// reading a folder of images.
///
/// # Errors
/// When [`load`] fails, or when the dataset has other classes or another shape than the weights.
pub fn for_weights(
    card: &ModelCard,
    other: Option<&str>,
    source: &SourceArgs,
    run: Option<&Path>,
) -> Result<Dataset> {
    let name = other.unwrap_or(&card.dataset);
    let base = run
        .and_then(|run| RunFolder::open(run).ok()?.recipe().ok())
        .map_or_else(FolderOptions::default, |recipe| recipe.data.folder);
    let [_, height, width] = card.model.input;
    let folder = FolderOptions {
        image_size: Some([height, width]),
        // A model of three channels takes a dataset of grey images with their one channel repeated.
        channels: Some(card.normalization.channels()),
        ..source.folder(&base)
    };
    let Loaded {
        dataset, source, ..
    } = load(name, source, &folder)?;
    if dataset.classes != card.classes && name != card.dataset {
        bail!(
            "the weights know the classes {}, but {name} has {}: choose a --dataset with the same classes",
            card.classes.join(", "),
            dataset.classes.join(", ")
        );
    }
    if dataset.classes != card.classes && name == FOLDER {
        bail!(
            "the weights know the classes {}, but {source} has {}: give the folder that they were trained on",
            card.classes.join(", "),
            dataset.classes.join(", ")
        );
    }
    let (found, expected) = (
        dataset.test.shape,
        [card.normalization.channels(), height, width],
    );
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

/// Loads the dataset called `name` from the first source that has it. [`FOLDER`] stands for the images in
/// `--data-root`.
///
/// # Errors
/// When no dataset has this name, when `--data-root` is unusable or is missing for [`FOLDER`], or when no source has
/// the dataset.
pub fn load(name: &str, source: &SourceArgs, folder: &FolderOptions) -> Result<Loaded> {
    let mut bar: Option<ProgressBar> = None;
    let mut report = |progress: Progress| show(name, progress, &mut bar);
    let Some(published) = catalogue::find(name)? else {
        let Some(root) = &source.data_root else {
            bail!("the dataset \"{name}\" is your own images: give their folder with --data-root");
        };
        let dataset = load_image_folder(root, folder, &mut report)?;
        return Ok(Loaded {
            dataset: Dataset {
                name: name.to_owned(),
                ..dataset
            },
            source: format!("folder {}", root.display()),
            is_subset: false,
        });
    };
    let mut options = LoadOptions::new(&mut report);
    options.root.clone_from(&source.data_root);
    options.allow_unverified = source.allow_unverified;
    options.offline = source.offline;
    let loaded = noprop_data::load(published, options)?;
    if loaded.is_subset {
        eprintln!(
            "WARNING: the complete {name} was not found, so this uses the embedded subset of {} training and {} \
             test images; give the complete files with --data-root",
            loaded.dataset.train.len(),
            loaded.dataset.test.len()
        );
    }
    Ok(loaded)
}

/// Prints a report about loading `name`; on a terminal, `bar` shows the progress of a file.
fn show(name: &str, progress: Progress, bar: &mut Option<ProgressBar>) {
    match progress {
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
                *bar = Some(new);
            }
        }
        Progress::Advanced { bytes } => {
            if let Some(bar) = bar {
                bar.inc(bytes);
            }
        }
        Progress::Done { .. } => clear(bar),
        Progress::Failed { what, why } => {
            clear(bar);
            eprintln!("  {what}: {why}");
        }
    }
}

fn clear(bar: &mut Option<ProgressBar>) {
    if let Some(bar) = bar.take() {
        bar.finish_and_clear();
    }
}
