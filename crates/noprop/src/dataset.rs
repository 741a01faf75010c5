//! Loading a dataset with something to look at meanwhile.

use std::io::IsTerminal;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use noprop_data::{Dataset, DatasetName, LoadOptions, Progress, Source};

use crate::cli::SourceArgs;

/// The dataset from the first source that has it.
///
/// # Errors
/// When `--data-root` is given and unusable.
pub fn load(name: DatasetName, source: &SourceArgs) -> Result<Dataset> {
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
