//! Listeners of a training: one prints on the terminal, the other writes the run folder.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use noprop_core::BlockRange;
use noprop_train::{EpochReport, HeldOut, LossValues, StepReport, TrainEvent};

use crate::run_folder::{RunFolder, Summary};

/// The time between two lines if standard error is not a terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// The listener that prints: a progress line on standard error, and on standard output a line for each epoch in the
/// form of yhgon/NoProp.
pub struct Console {
    bar: Option<ProgressBar>,
    batch_size: usize,
    steps_per_epoch: usize,
    epochs: usize,
    epoch_started: Instant,
    epoch_first_step: usize,
    train_seconds: f64,
    last_line: Instant,
    last_mark: Instant,
    /// The last loss that was read from the device.
    loss: Option<LossValues>,
    epoch_loss: LossValues,
    validation: Option<f64>,
    /// The blocks that this run trains, if other runs train the other blocks.
    part: Option<BlockRange>,
}

impl Console {
    /// A console for a run with batches of `batch_size` images. `part` are the blocks that it trains, if other runs
    /// train the other blocks.
    pub fn new(batch_size: usize, part: Option<BlockRange>) -> Self {
        let now = Instant::now();
        Self {
            bar: None,
            batch_size,
            steps_per_epoch: 0,
            epochs: 0,
            epoch_started: now,
            epoch_first_step: 0,
            train_seconds: 0.0,
            last_line: now,
            last_mark: now,
            loss: None,
            epoch_loss: LossValues::default(),
            validation: None,
            part,
        }
    }

    /// Prints what `event` says.
    pub fn on(&mut self, event: &TrainEvent) {
        match event {
            TrainEvent::Started {
                step,
                steps_per_epoch,
                epochs,
                parameters,
                threads,
            } => {
                eprintln!(
                    "{parameters} parameters, {steps_per_epoch} steps an epoch, {epochs} epochs, {threads} thread(s)"
                );
                self.begin(*step, *steps_per_epoch, *epochs);
            }
            TrainEvent::Step(report) => self.step(report),
            TrainEvent::Epoch(report) => self.end_epoch(report),
            TrainEvent::NotFallen { epoch, loss, first } => self.warn(&format!(
                "warning: the loss of epoch {epoch} is {loss:.4}, above the {first:.4} of the first steps: it has \
                 not fallen below where it began; a smaller --lr may help"
            )),
            TrainEvent::Evaluated {
                epoch,
                split,
                accuracy,
                ..
            } => {
                let seconds = self.last_mark.elapsed().as_secs_f64();
                self.last_mark = Instant::now();
                match split {
                    HeldOut::Validation => self.validation = Some(accuracy.percent()),
                    HeldOut::Test => self.epoch_line(*epoch, accuracy.percent(), seconds),
                }
            }
            TrainEvent::Checkpointed { .. } => {
                self.epoch_started = Instant::now();
                self.epoch_first_step = 0;
            }
            TrainEvent::Finished { .. } => {
                if let Some(bar) = self.bar.take() {
                    bar.finish_and_clear();
                }
            }
        }
    }

    /// Begins to show a training that has done `step` steps.
    fn begin(&mut self, step: usize, steps_per_epoch: usize, epochs: usize) {
        self.steps_per_epoch = steps_per_epoch;
        self.epochs = epochs;
        self.epoch_first_step = step % steps_per_epoch.max(1);
        self.epoch_started = Instant::now();
        if step > 0 {
            eprintln!("resuming after step {step}");
        }
        if std::io::stderr().is_terminal() {
            let bar = ProgressBar::new((epochs * steps_per_epoch) as u64);
            let style = ProgressStyle::with_template("{msg} [{bar:24}] {pos}/{len} ETA {eta}");
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar.set_position(step as u64);
            self.bar = Some(bar);
        }
    }

    fn end_epoch(&mut self, report: &EpochReport) {
        self.train_seconds = self.epoch_started.elapsed().as_secs_f64();
        self.epoch_loss = report.loss;
        self.last_mark = Instant::now();
        if let Some(part) = self.part {
            self.line(&format!(
                "Epoch {:03} loss {:8.4} | train {:.1}s | blocks {part}",
                report.epoch, report.loss.total, self.train_seconds
            ));
        }
    }

    fn step(&mut self, report: &StepReport) {
        self.loss = report.loss.or(self.loss);
        let (epoch, step) = (report.epoch, report.step);
        let done = (step - self.epoch_first_step.min(step)) * self.batch_size;
        let rate = done as f64 / self.epoch_started.elapsed().as_secs_f64().max(1e-9);
        let loss = self.loss.map(|loss| {
            format!(
                " loss {:.4} (ce {:.4} kl {:.4} denoise {:.4})",
                loss.total, loss.ce, loss.kl, loss.denoise
            )
        });
        let block = report
            .block
            .map(|t| format!(" block {t}"))
            .unwrap_or_default();
        let text = format!(
            "epoch {epoch}/{}{block} step {step}/{}{} {rate:.0} images/s",
            self.epochs,
            self.steps_per_epoch,
            loss.unwrap_or_default()
        );
        match &self.bar {
            Some(bar) => {
                bar.inc(1);
                bar.set_message(text);
            }
            None if self.last_line.elapsed() >= PLAIN_INTERVAL => {
                eprintln!("{text}");
                self.last_line = Instant::now();
            }
            None => {}
        }
    }

    /// Prints the line of the reference, with the validation accuracy added.
    fn epoch_line(&self, epoch: usize, accuracy: f64, infer_seconds: f64) {
        let validation = self
            .validation
            .map(|v| format!(" | validation {v:.2}%"))
            .unwrap_or_default();
        let line = format!(
            "Epoch {epoch:03} loss {:8.4} | train {:.1}s | Acc {accuracy:.2}% | infer {infer_seconds:.1}s{validation}",
            self.epoch_loss.total, self.train_seconds
        );
        self.line(&line);
    }

    /// A line on standard error.
    fn warn(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    fn line(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| println!("{line}")),
            None => println!("{line}"),
        }
    }
}

/// The listener that writes the run folder: a line of `metrics.jsonl` for each event, the checkpoints, and at the end
/// the summary.
pub struct RunLog<'a> {
    folder: &'a RunFolder,
    log: File,
    start: Instant,
    /// The time of the last event in seconds.
    last: f64,
    /// The seconds of training, of this process and of those before it.
    seconds: f64,
    steps: usize,
    steps_per_epoch: usize,
}

impl<'a> RunLog<'a> {
    /// The log of a training in `folder`. A resumed training appends to the log of the earlier one.
    ///
    /// # Errors
    /// When the log cannot be opened.
    pub fn new(folder: &'a RunFolder) -> Result<Self> {
        reset_peak_memory();
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

    /// Writes what `event` says.
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
            TrainEvent::Step(_) => self.steps += 1,
            TrainEvent::Checkpointed { checkpoint, .. } => {
                self.folder.save_checkpoint(checkpoint)?;
            }
            _ => {}
        }
        if !matches!(event, TrainEvent::Evaluated { .. }) {
            self.seconds += now - self.last;
        }
        self.last = now;
        // A step without a read of the loss has nothing to log.
        if !matches!(event, TrainEvent::Step(StepReport { loss: None, .. })) {
            let mut line = serde_json::to_value(event)?;
            line["seconds"] = now.into();
            writeln!(self.log, "{line}")
                .context("metrics.jsonl cannot be written; is the disk full?")?;
        }
        Ok(())
    }

    /// Writes the summary and returns it. `complete` says whether the training reached its last epoch or the end of its
    /// budget.
    ///
    /// # Errors
    /// When the disk is full or not writable.
    pub fn finish(self, complete: bool) -> Result<Summary> {
        let summary = Summary {
            steps: self.steps,
            epochs: self.steps as f64 / self.steps_per_epoch.max(1) as f64,
            seconds: self.seconds,
            peak_memory: peak_memory(),
            complete,
        };
        self.folder
            .write("summary.json", &serde_json::to_vec_pretty(&summary)?)?;
        Ok(summary)
    }
}

/// The largest resident set in bytes since the last training began, or else since the program began. Only Linux tells
/// it without further libraries.
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Resets the largest resident set, if the system allows it (proc(5), `clear_refs`).
fn reset_peak_memory() {
    // If the system does not, the largest resident set of the whole process is an upper bound.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}
