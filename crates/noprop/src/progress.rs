//! Consumers of the trainer's events: a progress line, and the reference's epoch line.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use noprop_core::BlockRange;
use noprop_train::{LossValues, TrainEvent};

/// Time between two plain lines where standard error is not a terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// Prints what happens.
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
    /// The last that was read from the device.
    loss: Option<LossValues>,
    epoch_loss: LossValues,
    validation: Option<f64>,
    /// The blocks that are trained, where some are trained elsewhere.
    part: Option<BlockRange>,
}

impl Console {
    /// A console for a run with batches of `batch_size`, of some blocks only where `part` says so.
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

    /// Takes note of an event.
    pub fn on(&mut self, event: &TrainEvent) {
        match event {
            TrainEvent::Started {
                step,
                steps_per_epoch,
                epochs,
                parameters,
                threads,
            } => {
                self.steps_per_epoch = *steps_per_epoch;
                self.epochs = *epochs;
                self.epoch_first_step = step % steps_per_epoch.max(&1);
                self.epoch_started = Instant::now();
                eprintln!(
                    "{parameters} parameters, {steps_per_epoch} steps an epoch, {epochs} epochs, {threads} thread(s)"
                );
                if *step > 0 {
                    eprintln!("resuming after step {step}");
                }
                if std::io::stderr().is_terminal() {
                    let bar = ProgressBar::new((epochs * steps_per_epoch) as u64);
                    if let Ok(style) =
                        ProgressStyle::with_template("{msg} [{bar:24}] {pos}/{len} ETA {eta}")
                    {
                        bar.set_style(style);
                    }
                    bar.set_position(*step as u64);
                    self.bar = Some(bar);
                }
            }
            TrainEvent::Step {
                epoch,
                step,
                block,
                loss,
                ..
            } => self.step(*epoch, *step, *block, *loss),
            TrainEvent::Epoch { epoch, loss, .. } => {
                self.train_seconds = self.epoch_started.elapsed().as_secs_f64();
                self.epoch_loss = *loss;
                self.last_mark = Instant::now();
                if let Some(part) = self.part {
                    self.line(&format!(
                        "Epoch {epoch:03} loss {:8.4} | train {:.1}s | blocks {part}",
                        loss.total, self.train_seconds
                    ));
                }
            }
            TrainEvent::Evaluated {
                epoch,
                split,
                accuracy,
                ..
            } => {
                let seconds = self.last_mark.elapsed().as_secs_f64();
                self.last_mark = Instant::now();
                if *split == "validation" {
                    self.validation = Some(accuracy.percent());
                } else {
                    self.epoch_line(*epoch, accuracy.percent(), seconds);
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

    fn step(&mut self, epoch: usize, step: usize, block: Option<usize>, loss: Option<LossValues>) {
        self.loss = loss.or(self.loss);
        let done = (step - self.epoch_first_step.min(step)) * self.batch_size;
        let rate = done as f64 / self.epoch_started.elapsed().as_secs_f64().max(1e-9);
        let loss = self.loss.map(|loss| {
            format!(
                " loss {:.4} (ce {:.4} kl {:.4} denoise {:.4})",
                loss.total, loss.ce, loss.kl, loss.denoise
            )
        });
        let block = block.map(|t| format!(" block {t}")).unwrap_or_default();
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

    /// The line that the reference prints, with the validation accuracy added.
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

    fn line(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| println!("{line}")),
            None => println!("{line}"),
        }
    }
}
