//! The NoProp trainer: a loop over optimiser steps, and the accuracy of the models that it trains.
//!
//! A [`Recipe`] says what is trained and how, a [`Dataset`](noprop_data::Dataset) holds the images, and a [`Trainer`]
//! takes the steps. [`Trainer::run`] is the whole loop: it reports [`TrainEvent`]s to a listener, evaluates, and makes
//! checkpoints. A loop of your own is as short:
//!
//! ```
//! use burn::tensor::Device;
//! use noprop_core::ModelConfig;
//! use noprop_core::backbone::{BackboneConfig, CnnConfig};
//! use noprop_data::{Dataset, Split};
//! use noprop_train::{DataConfig, Recipe, TrainConfig, Trainer, TrainerOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Grey images of 8×8 pixels. Which half is bright, the upper (class 0) or the lower (class 1)?
//! let images = |count: usize| {
//!     let bright = |i: usize| 200 + (i % 50) as u8;
//!     let pixel = move |i: usize, row: usize| if row / 4 == i % 2 { bright(i) } else { 10 };
//!     let image = |i: usize| (0..64).map(move |place| pixel(i, place / 8));
//!     let labels = (0..count).map(|i| (i % 2) as u16).collect();
//!     Split::new((0..count).flat_map(image).collect(), labels, [1, 8, 8], 2)
//! };
//! let dataset = Dataset::new("halves", ["upper", "lower"], images(64)?, images(20)?)?;
//!
//! let recipe = Recipe {
//!     model: ModelConfig {
//!         classes: 2,
//!         input: [1, 8, 8],
//!         embed_dim: 8,
//!         backbone: BackboneConfig::Cnn(CnnConfig { width: 4, dropout: 0.0 }),
//!         ..Default::default()
//!     },
//!     data: DataConfig { validation: 0, ..Default::default() },
//!     train: TrainConfig { batch_size: 16, lr: 1e-2, ..Default::default() },
//!     ..Default::default()
//! };
//! let mut trainer = Trainer::new(recipe, &dataset, TrainerOptions::on(Device::flex()))?;
//! for _ in 0..5 {
//!     for batch in trainer.batches() {
//!         trainer.step(&batch)?;
//!     }
//!     println!("{:?}", trainer.end_epoch()?.loss);
//! }
//! let accuracy = trainer.evaluate(trainer.test())?;
//! println!("{} %", accuracy.percent());
//! # assert!(accuracy.percent() > 90.0, "{accuracy:?}");
//! # Ok(())
//! # }
//! ```
//!
//! [`Trainer::classifier`] gives the trained network as a [`Classifier`](noprop_core::Classifier), and an
//! [`Evaluator`] measures the accuracy of any classifier for any number of walks.
//!
//! | file | what it holds |
//! |---|---|
//! | `trainer.rs` | the loop and its step |
//! | `setup.rs` | options, training images and initial weights |
//! | `blocks.rs` | the losses of a step: in NoProp-DT those of one block or of all |
//! | `sharding.rs`, `gradients.rs`, `batch_norm.rs` | one batch on several threads and devices |
//! | `optimizer.rs` | optimiser, learning rate, moving average |
//! | `checkpoint.rs` | interruption and resumption |
//!
//! This crate uses neither files nor clocks. The same recipe, seed, number of threads and kind of device give the same
//! weights, to the bit on the CPU, however often a run is interrupted.
#![warn(missing_docs)]

mod batch_norm;
mod blocks;
mod checkpoint;
mod error;
mod evaluator;
mod event;
mod gradients;
mod muon;
mod optimizer;
mod prototypes;
mod recipe;
mod report;
mod setup;
mod sharding;
mod train_config;
mod trainer;
mod workers;

pub use checkpoint::{Checkpoint, Progress};
pub use error::TrainError;
pub use evaluator::{Evaluator, Outcome};
pub use event::{Flow, HeldOut, TrainEvent};
pub use noprop_core::Accuracy;
pub use recipe::{DataConfig, EvalConfig, Recipe};
pub use report::{EpochReport, LOG_INTERVAL, LossValues, StepReport};
pub use setup::{Start, TrainerOptions};
pub use train_config::{BlockOrder, LrSchedule, OptimizerKind, TrainConfig};
pub use trainer::Trainer;
pub use workers::Workers;
