//! The complete state of training, in memory and as bytes. The caller decides where the bytes are kept.

use core::fmt::Display;

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::store::ModuleRecord;
use burn::tensor::Bytes;
use noprop_core::NoProp;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::optimizer;
use crate::recipe::Recipe;
use crate::report::LossValues;
use crate::train_config::TrainConfig;

/// The counters of a training. The order of the images and all noise are functions of the seed and of these counters,
/// so no state of a random generator is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The number of completed epochs.
    pub epoch: usize,
    /// The number of steps of the current epoch so far.
    pub step_in_epoch: usize,
    /// The number of images that the steps of the current epoch have seen so far.
    pub images_in_epoch: usize,
    /// The number of steps of all epochs so far.
    pub step: usize,
    /// The sum of the losses of the steps of the current epoch.
    pub loss_sum: LossValues,
    /// The number of steps whose losses are in `loss_sum`: in NoProp-DT the steps that train a block of this run.
    pub loss_steps: usize,
    /// The total loss of the first step of the training.
    #[serde(default)]
    pub first_loss: Option<f32>,
    /// The recipe, to refuse a checkpoint of another run.
    pub recipe: Recipe,
}

impl Progress {
    /// Adds the sum of the losses of the last `steps` steps.
    pub(crate) fn add_loss(&mut self, sum: LossValues, steps: usize) {
        self.loss_steps += steps;
        self.loss_sum = self.loss_sum.plus(sum);
        if self.step == 1 {
            self.first_loss = Some(sum.total);
        }
    }
}

/// A state from which training continues as if it had never stopped.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The counters and the recipe.
    pub progress: Progress,
    /// The weights and BatchNorm statistics (burnpack).
    pub model: Vec<u8>,
    /// The state of the optimiser (burnpack).
    pub optimizer: Vec<u8>,
    /// The averaged weights (burnpack), if the recipe asks for them.
    pub ema: Option<Vec<u8>>,
}

/// The state of a training that a step changes: network, optimiser, moving average and counters.
pub(crate) struct State {
    /// The network, on the autodiff device.
    pub model: NoProp,
    pub optimizer: ModuleOptimizer,
    /// The moving average of the weights, off the autodiff device, if the recipe asks for it.
    pub average: Option<NoProp>,
    pub progress: Progress,
}

impl State {
    /// The state before the first step of `recipe`. The training starts from the weights of `model`, which is on the
    /// autodiff device.
    pub fn new(recipe: &Recipe, model: NoProp) -> Self {
        Self {
            optimizer: optimizer::build(&recipe.train),
            average: recipe.train.ema_decay.map(|_| model.valid()),
            model,
            progress: Progress {
                epoch: 0,
                step_in_epoch: 0,
                images_in_epoch: 0,
                step: 0,
                loss_sum: LossValues::default(),
                loss_steps: 0,
                first_loss: None,
                recipe: recipe.clone(),
            },
        }
    }

    /// The state that `checkpoint` holds, for a run by `recipe`. `model` is a network of that recipe on the autodiff
    /// device; the weights of the checkpoint replace its weights.
    ///
    /// # Errors
    /// When the checkpoint was made with another recipe or is damaged.
    pub fn resume(
        recipe: &Recipe,
        model: NoProp,
        checkpoint: Checkpoint,
    ) -> Result<Self, TrainError> {
        if !can_continue(recipe, &checkpoint.progress.recipe) {
            return Err(TrainError::OtherRecipe);
        }
        let load = |model: NoProp, bytes: Vec<u8>| {
            let record = ModuleRecord::from_bytes(Bytes::from_bytes_vec(bytes));
            let model = model.try_load_record(record.map_err(damaged)?);
            model.map_err(damaged)
        };
        let average = checkpoint.ema.map(|bytes| load(model.valid(), bytes));
        let state = Bytes::from_bytes_vec(checkpoint.optimizer);
        Ok(Self {
            average: average.transpose()?,
            model: load(model, checkpoint.model)?,
            optimizer: optimizer::build(&recipe.train)
                .from_bytes(state)
                .map_err(damaged)?,
            progress: Progress {
                recipe: recipe.clone(),
                ..checkpoint.progress
            },
        })
    }

    /// Serialises this state.
    ///
    /// # Errors
    /// When the state cannot be serialised.
    pub fn checkpoint(&self) -> Result<Checkpoint, TrainError> {
        let bytes = |model: NoProp| {
            let bytes = model.into_record().into_bytes();
            bytes.map(|bytes| bytes.to_vec()).map_err(damaged)
        };
        Ok(Checkpoint {
            progress: self.progress.clone(),
            model: bytes(self.model.valid())?,
            optimizer: self.optimizer.into_bytes().map_err(damaged)?.to_vec(),
            ema: self.average.clone().map(bytes).transpose()?,
        })
    }

    /// The model to use, off the autodiff device: with averaged weights if the recipe asks for them.
    pub fn trained(&self) -> NoProp {
        self.average.clone().unwrap_or_else(|| self.model.valid())
    }
}

fn damaged(error: impl Display) -> TrainError {
    TrainError::Checkpoint(error.to_string())
}

/// Whether a run with the recipe `ours` may continue a run with the recipe `theirs`: only the last epoch, the number of
/// threads and the evaluation may differ.
fn can_continue(ours: &Recipe, theirs: &Recipe) -> bool {
    let comparable = Recipe {
        train: TrainConfig {
            epochs: ours.train.epochs,
            threads: ours.train.threads,
            ..theirs.train.clone()
        },
        eval: ours.eval.clone(),
        ..theirs.clone()
    };
    *ours == comparable
}
