//! The run folder: `config.toml`, `metrics.jsonl`, `checkpoints/`, `model.safetensors`, `summary.json`.
//!
//! Every file but the log is written under a temporary name and renamed, so that after a stop at any moment a file is
//! the old one or the new one, never half of either.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use burn::tensor::Device;
use noprop_core::weights::{self, ModelCard, Precision};
use noprop_core::{Classifier, NoProp};
use noprop_pytorch::StateDict;
use noprop_train::{Checkpoint, Recipe};
use serde::{Deserialize, Serialize};

use crate::recipes;

/// The number of checkpoints that are kept.
const KEEP: usize = 2;

/// The content of `summary.json`: steps, time and memory of a training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The number of optimiser steps.
    pub steps: usize,
    /// The number of epochs that these steps make up.
    pub epochs: f64,
    /// The seconds of training without evaluations, with those before a stop.
    pub seconds: f64,
    /// The largest resident set in bytes, if the system tells it.
    pub peak_memory: Option<u64>,
    /// Whether the training reached its last epoch or the end of its budget.
    pub complete: bool,
}

/// The folder of one run.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Creates a new, empty folder.
    ///
    /// # Errors
    /// When the folder exists and `force` is off, or when it cannot be written.
    pub fn create(path: &Path, force: bool) -> Result<Self> {
        if path.exists() {
            if !path.is_dir() {
                bail!("{} is not a folder; choose another --out", path.display());
            }
            let is_run = path.join("config.toml").exists();
            let is_empty = fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
            if !force && !is_empty {
                bail!(
                    "{} exists; continue it with --resume {0}, replace it with --force, \
                     or choose another --out",
                    path.display()
                );
            }
            if force && !is_empty && !is_run {
                bail!(
                    "{} holds no run (no config.toml), so --force leaves it alone",
                    path.display()
                );
            }
            if is_run {
                fs::remove_dir_all(path)
                    .with_context(|| format!("{} cannot be replaced", path.display()))?;
            }
        }
        fs::create_dir_all(path.join("checkpoints")).with_context(|| {
            format!(
                "the run folder {} cannot be created; choose another --out",
                path.display()
            )
        })?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// Opens the folder of an existing run.
    ///
    /// # Errors
    /// When there is no run in the folder.
    pub fn open(path: &Path) -> Result<Self> {
        if !path.join("config.toml").is_file() {
            bail!("{} is no run folder: it has no config.toml", path.display());
        }
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file of the run, whole or not at all.
    ///
    /// # Errors
    /// When the disk is full or not writable.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        write_atomically(&self.path.join(name), bytes)
    }

    /// The resolved recipe of the run.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn recipe(&self) -> Result<Recipe> {
        recipes::read(&self.path.join("config.toml"))
    }

    /// The summary of the training so far; `None` if none was written.
    pub fn summary(&self) -> Option<Summary> {
        let bytes = fs::read(self.path.join("summary.json")).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Opens the log, to append to it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn metrics(&self) -> Result<fs::File> {
        let path = self.path.join("metrics.jsonl");
        fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Writes a checkpoint, and removes all but the newest [`KEEP`] checkpoints.
    ///
    /// # Errors
    /// When the disk is full or not writable.
    pub fn save_checkpoint(&self, checkpoint: &Checkpoint) -> Result<()> {
        let parent = self.path.join("checkpoints");
        let place = parent.join(format!("step-{:08}", checkpoint.progress.step));
        let save = || -> Result<()> {
            let scratch = tempfile::Builder::new()
                .prefix(".checkpoint-")
                .tempdir_in(&parent)?;
            let write = |name: &str, bytes: &[u8]| fs::write(scratch.path().join(name), bytes);
            write("model.bpk", &checkpoint.model)?;
            write("optimizer.bpk", &checkpoint.optimizer)?;
            if let Some(ema) = &checkpoint.ema {
                write("ema.bpk", ema)?;
            }
            write(
                "progress.json",
                &serde_json::to_vec_pretty(&checkpoint.progress)?,
            )?;
            if place.exists() {
                fs::remove_dir_all(&place)?;
            }
            fs::rename(scratch.keep(), &place)?;
            Ok(())
        };
        save().with_context(|| {
            format!(
                "the checkpoint {} cannot be written; is the disk full?",
                place.display()
            )
        })?;
        let mut all = self.checkpoints()?;
        all.truncate(all.len().saturating_sub(KEEP));
        all.iter()
            .try_for_each(fs::remove_dir_all)
            .context("an old checkpoint cannot be removed")
    }

    /// Reads the newest checkpoint.
    ///
    /// # Errors
    /// When there is no checkpoint, or it cannot be read.
    pub fn newest_checkpoint(&self) -> Result<Checkpoint> {
        let Some(place) = self.checkpoints()?.pop() else {
            bail!(
                "{} has no checkpoint yet; start anew with --force",
                self.path.display()
            );
        };
        let read = |name: &str| {
            fs::read(place.join(name)).with_context(|| {
                format!(
                    "the checkpoint {} has no readable {name}; remove that folder to resume from an older one",
                    place.display()
                )
            })
        };
        let progress = serde_json::from_slice(&read("progress.json")?)
            .with_context(|| format!("the checkpoint {} is damaged", place.display()))?;
        Ok(Checkpoint {
            progress,
            model: read("model.bpk")?,
            optimizer: read("optimizer.bpk")?,
            ema: place
                .join("ema.bpk")
                .exists()
                .then(|| read("ema.bpk"))
                .transpose()?,
        })
    }

    /// The folders of checkpoints, oldest first.
    fn checkpoints(&self) -> Result<Vec<PathBuf>> {
        let parent = self.path.join("checkpoints");
        let entries = fs::read_dir(&parent)
            .with_context(|| format!("{} cannot be listed", parent.display()))?;
        let mut found: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                path.file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with("step-"))
            })
            .collect();
        found.sort();
        Ok(found)
    }

    /// Writes `model.safetensors`, and returns its path.
    ///
    /// # Errors
    /// When the disk is full or not writable.
    pub fn save_weights(&self, model: &NoProp, card: &ModelCard) -> Result<PathBuf> {
        let path = self.path.join("model.safetensors");
        write_atomically(&path, &weights::to_bytes(model, card, Precision::Full)?)?;
        Ok(path)
    }
}

/// Reads the bytes of the weights in a run folder, or of a weights file.
///
/// # Errors
/// When there are no weights, or they cannot be read.
pub fn read_weights(path: &Path) -> Result<Vec<u8>> {
    let file = weights_file(path);
    fs::read(&file).with_context(|| {
        format!(
            "no weights at {}; expected a run folder or a .safetensors file",
            file.display()
        )
    })
}

/// Loads the classifier in a run folder, or in a weights file.
///
/// # Errors
/// When there are no weights, or they cannot be read.
pub fn load_classifier(path: &Path, device: &Device) -> Result<Classifier> {
    Classifier::load(read_weights(path)?, device)
        .with_context(|| format!("{} cannot be used", weights_file(path).display()))
}

/// Reads the tensors in a .pt or .safetensors file.
///
/// # Errors
/// When the file cannot be read, or holds something other than tensors.
pub fn read_state_dict(path: &Path) -> Result<StateDict> {
    let bytes =
        std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    StateDict::read(&bytes).with_context(|| format!("{} cannot be used", path.display()))
}

/// The path of the weights file in a run folder, or `path` itself if it is no folder.
pub fn weights_file(path: &Path) -> PathBuf {
    if path.is_dir() {
        path.join("model.safetensors")
    } else {
        path.to_owned()
    }
}

/// Writes a file that the user named with `--out`, and creates the folders above it.
///
/// # Errors
/// When `path` is a folder, or the disk is full or not writable.
pub fn write_new_file(path: &Path, bytes: &[u8]) -> Result<()> {
    if path.is_dir() {
        bail!(
            "{} is a folder; --out takes the name of a file",
            path.display()
        );
    }
    if let Some(parent) = path.parent().filter(|p| *p != Path::new("")) {
        fs::create_dir_all(parent)
            .with_context(|| format!("{} cannot be created", parent.display()))?;
    }
    write_atomically(path, bytes)
}

/// Writes a file under a temporary name and renames it.
///
/// # Errors
/// When the disk is full or not writable.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let parent = path
        .parent()
        .filter(|p| *p != Path::new(""))
        .unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut scratch = scratch_file(parent)?;
        scratch.write_all(bytes)?;
        scratch.as_file().sync_all()?;
        scratch.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("{} cannot be written; is the disk full?", path.display()))
}

/// A temporary file in `parent` with the permissions of any new file, which the umask sets.
fn scratch_file(parent: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(parent)
}
