//! A trainer's state as a checkpoint, and back.

use burn::module::Module;
use burn::tensor::Bytes;
use noprop_core::NoProp;

use super::Trainer;
use crate::checkpoint::{Checkpoint, Progress};
use crate::config::Recipe;
use crate::error::TrainError;
use crate::optimizer;

impl Trainer {
    /// The complete state.
    ///
    /// # Errors
    /// When it cannot be serialised.
    pub fn checkpoint(&self) -> Result<Checkpoint, TrainError> {
        let failed = |e: &dyn core::fmt::Display| TrainError::Checkpoint(e.to_string());
        let record = |model: NoProp| model.into_record().into_bytes().map(|b| b.to_vec());
        Ok(Checkpoint {
            progress: self.progress.clone(),
            model: record(self.model.valid()).map_err(|e| failed(&e))?,
            optimizer: self
                .optimizer
                .into_bytes()
                .map_err(|e| failed(&e))?
                .to_vec(),
            ema: self
                .average
                .clone()
                .map(record)
                .transpose()
                .map_err(|e| failed(&e))?,
        })
    }

    pub(super) fn restore(&mut self, checkpoint: Checkpoint) -> Result<(), TrainError> {
        let failed = |e: &dyn core::fmt::Display| TrainError::Checkpoint(e.to_string());
        let (ours, theirs) = (&self.recipe, &checkpoint.progress.recipe);
        // Only the end and the reporting of a run may change when it resumes.
        let comparable = Recipe {
            train: crate::TrainConfig {
                epochs: ours.train.epochs,
                threads: ours.train.threads,
                ..theirs.train.clone()
            },
            eval: ours.eval.clone(),
            ..theirs.clone()
        };
        if *ours != comparable {
            return Err(TrainError::Checkpoint(
                "it was made with another configuration; resume with the run's own config.toml, \
                 or start a new run with --out"
                    .into(),
            ));
        }
        let load = |model: NoProp, bytes: Vec<u8>| {
            let record = burn::store::ModuleRecord::from_bytes(Bytes::from_bytes_vec(bytes));
            let record = record.map_err(|e| failed(&e))?;
            model.try_load_record(record).map_err(|e| failed(&e))
        };
        self.model = load(self.model.clone(), checkpoint.model)?;
        let bytes = Bytes::from_bytes_vec(checkpoint.optimizer);
        self.optimizer = optimizer::build(&self.recipe.train)
            .from_bytes(bytes)
            .map_err(|e| failed(&e))?;
        self.average = match checkpoint.ema {
            Some(bytes) => Some(load(self.model.valid(), bytes)?),
            None => None,
        };
        self.progress = Progress {
            recipe: self.recipe.clone(),
            ..checkpoint.progress
        };
        Ok(())
    }
}
