//! The NoProp trainer.
//!
//! [`Trainer::run`] is the loop: shuffle, step, evaluate, hand out a checkpoint. It touches no
//! files and no clock: it emits [`TrainEvent`]s, and the command line's progress line, the log
//! and the tests are consumers of those.
#![warn(missing_docs)]

mod block_order;
mod checkpoint;
mod config;
mod ema;
mod error;
mod evaluation;
mod event;
mod gradients;
mod learning_rate;
mod optimizer;
mod prototypes;
mod trainer;
mod workers;

pub use block_order::BlockOrder;
pub use checkpoint::{Checkpoint, Progress};
pub use config::{DataConfig, EvalConfig, OptimizerKind, Recipe, TrainConfig};
pub use error::TrainError;
pub use evaluation::{Evaluator, Outcome};
pub use event::{Flow, LossValues, TrainEvent};
pub use learning_rate::LrSchedule;
pub use noprop_core::Accuracy;
pub use optimizer::build as build_optimizer;
pub use trainer::{LOG_INTERVAL, Trainer};
pub use workers::Workers;
