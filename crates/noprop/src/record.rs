//! What a training leaves in its run folder while it goes on: a line of the log for each event, checkpoints,
//! and in the end what it took.

use std::fs::File;
use std::io::Write;
use std::time::Instant;

use anyhow::{Context, Result};
use noprop_train::{Checkpoint, TrainEvent};
use serde::{Deserialize, Serialize};

use crate::memory;
use crate::run_folder::RunFolder;

/// `summary.json`: what a training took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Steps of the optimiser.
    pub steps: usize,
    /// The same in epochs.
    pub epochs: f64,
    /// Seconds of training, without evaluations; those before a stop included.
    pub seconds: f64,
    /// Largest resident set in bytes, where the system tells it.
    pub peak_memory: Option<u64>,
    /// Whether it went as far as it should: to the last epoch, or to the end of its budget.
    pub complete: bool,
}

/// Writes it.
pub struct Record<'a> {
    folder: &'a RunFolder,
    log: File,
    start: Instant,
    /// When the last event was.
    last: f64,
    /// Seconds of this process and those before it.
    seconds: f64,
    steps: usize,
    steps_per_epoch: usize,
}

impl<'a> Record<'a> {
    /// The record of a training in `folder`.
    ///
    /// # Errors
    /// When the log cannot be opened.
    pub fn new(folder: &'a RunFolder) -> Result<Self> {
        memory::reset_peak();
        Ok(Self {
            folder,
            log: folder.metrics()?,
            start: Instant::now(),
            last: 0.0,
            seconds: folder.summary().map_or(0.0, |summary| summary.seconds),
            steps: 0,
            steps_per_epoch: 1,
        })
    }

    /// Takes note of an event.
    ///
    /// # Errors
    /// When the disk is full or not writable.
    pub fn on(&mut self, event: &TrainEvent) -> Result<()> {
        let now = self.start.elapsed().as_secs_f64();
        match event {
            TrainEvent::Started {
                step,
                steps_per_epoch,
                ..
            } => (self.steps, self.steps_per_epoch) = (*step, *steps_per_epoch),
            TrainEvent::Step { .. } => self.steps += 1,
            TrainEvent::Checkpointed { checkpoint, .. } => {
                let checkpoint: &Checkpoint = checkpoint;
                self.folder.save_checkpoint(checkpoint)?;
            }
            _ => {}
        }
        if !matches!(event, TrainEvent::Evaluated { .. }) {
            self.seconds += now - self.last;
        }
        self.last = now;
        // Between two reads of the loss a step has nothing to say.
        if !matches!(event, TrainEvent::Step { loss: None, .. }) {
            let mut line = serde_json::to_value(event)?;
            line["seconds"] = now.into();
            writeln!(self.log, "{line}")
                .context("metrics.jsonl cannot be written; is the disk full?")?;
        }
        Ok(())
    }

    /// Writes the summary.
    ///
    /// # Errors
    /// When the disk is full or not writable.
    pub fn finish(self, complete: bool) -> Result<()> {
        let summary = Summary {
            steps: self.steps,
            epochs: self.steps as f64 / self.steps_per_epoch.max(1) as f64,
            seconds: self.seconds,
            peak_memory: memory::peak(),
            complete,
        };
        self.folder
            .write("summary.json", &serde_json::to_vec_pretty(&summary)?)
    }
}
