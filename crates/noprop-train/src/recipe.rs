//! A recipe: all settings of a training.

use noprop_core::embedding::ClassEmbeddingConfig;
use noprop_core::inference::check_temperature;
use noprop_core::{BlockRange, ConfigError, Inference, Method, ModelConfig, Sampler, Views, Walk};
use noprop_data::FolderOptions;
use noprop_data::augment::AugmentConfig;
use serde::{Deserialize, Serialize};

use crate::train_config::TrainConfig;

/// All settings of a training; the content of a recipe file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// The method: loss, noise schedule, readout and default walk.
    pub method: Method,
    /// The architecture of the network.
    pub model: ModelConfig,
    /// The images.
    pub data: DataConfig,
    /// The optimisation: batches, optimiser and learning rate.
    pub train: TrainConfig,
    /// The evaluation after each epoch, and how the weights file recommends to ask the model.
    pub eval: EvalConfig,
}

/// The images that are trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// Name of the dataset; the command line has a catalogue of datasets.
    pub dataset: String,
    /// Number of training images that are held out for validation, so that the test images never choose anything.
    pub validation: usize,
    /// The largest number of training images to use; all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Random changes of the training images.
    pub augment: AugmentConfig,
    /// The options for reading a folder of images; other datasets ignore them.
    pub folder: FolderOptions,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            dataset: "mnist".to_owned(),
            validation: 1000,
            limit: None,
            augment: AugmentConfig::default(),
            folder: FolderOptions::default(),
        }
    }
}

/// The evaluation after an epoch. Its walk, votes and views are also those that the weights file recommends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvalConfig {
    /// The sampler; the method's default when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampler: Option<Sampler>,
    /// The number of steps T of a walk; the method's default when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
    /// The number of epochs from one evaluation to the next.
    pub every: usize,
    /// The seed of z_0.
    pub seed: u64,
    /// The number of walks of each image; the answer is the class with the largest mean probability.
    pub votes: usize,
    /// The factor on z_0, 0 … 4: with 1 walks start from noise, with 0 from its mean; the method's default when
    /// absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// The views of each image; the answer is the class with the largest mean probability.
    pub views: Views,
}

impl Default for EvalConfig {
    fn default() -> Self {
        Self {
            sampler: None,
            steps: None,
            every: 1,
            seed: 0,
            votes: 1,
            temperature: None,
            views: Views::None,
        }
    }
}

impl Recipe {
    /// The walk of the evaluation.
    pub fn eval_walk(&self) -> Walk {
        let usual = self.method.default_walk();
        Walk {
            sampler: self.eval.sampler.unwrap_or(usual.sampler),
            steps: self.eval.steps.unwrap_or(usual.steps),
            seed: self.eval.seed,
            temperature: self
                .eval
                .temperature
                .map_or(usual.temperature, |t| t as f32),
        }
    }

    /// The walk, votes and views of the evaluation, which the weights file recommends, too.
    pub fn inference(&self) -> Inference {
        Inference {
            walk: self.eval_walk(),
            votes: self.eval.votes,
            views: self.eval.views,
        }
    }

    /// Checks every value and every combination of values.
    ///
    /// # Errors
    /// When a value is out of its range, or two values exclude each other; the error names the first problem.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.model.validate()?;
        self.method.validate(&self.model)?;
        let temperature = self.eval.temperature.unwrap_or_default();
        check(
            "eval.temperature",
            temperature,
            check_temperature(temperature as f32).is_ok(),
            "a number from 0 (walks start from the mean) to 4; 1 is noise",
        )?;
        let walk = self.eval_walk();
        let suits = self.method.check_walk(&walk);
        suits.map_err(|error| ConfigError::Combination(error.to_string()))?;
        self.validate_blocks()?;
        self.validate_augmentation()?;
        let train = &self.train;
        let positive = |field, found: usize| check(field, found, found > 0, "at least 1");
        positive("train.epochs", train.epochs)?;
        positive("train.batch_size", train.batch_size)?;
        positive("eval.votes", self.eval.votes)?;
        positive("eval.every", self.eval.every)?;
        check(
            "train.lr",
            train.lr,
            train.lr.is_finite() && train.lr > 0.0,
            "a positive number",
        )?;
        check(
            "train.muon_lr",
            train.muon_lr,
            train.muon_lr.is_finite() && train.muon_lr > 0.0,
            "a positive number",
        )?;
        check(
            "train.muon_momentum",
            train.muon_momentum,
            (0.0..1.0).contains(&train.muon_momentum),
            "at least 0 and below 1",
        )?;
        check(
            "train.weight_decay",
            train.weight_decay,
            train.weight_decay.is_finite() && train.weight_decay >= 0.0,
            "zero or a positive number",
        )?;
        if let Some(norm) = train.clip_norm {
            check(
                "train.clip_norm",
                norm,
                norm.is_finite() && norm > 0.0,
                "a positive number",
            )?;
        }
        if let Some(decay) = train.ema_decay {
            check(
                "train.ema_decay",
                decay,
                (0.0..1.0).contains(&decay),
                "at least 0 and below 1",
            )?;
        }
        Ok(())
    }

    fn validate_augmentation(&self) -> Result<(), ConfigError> {
        let augment = &self.data.augment;
        let [_, height, width] = self.model.input;
        let side = height.min(width);
        let within = |field, found: f32, largest: f32, expected| {
            let holds = (0.0..=largest).contains(&found);
            check(field, found, holds, expected)
        };
        within(
            "data.augment.rotation",
            augment.rotation,
            180.0,
            "degrees from 0 to 180",
        )?;
        within(
            "data.augment.scale",
            augment.scale,
            0.9,
            "from 0 to 0.9, as 0.1 for 10 % larger or smaller",
        )?;
        within(
            "data.augment.shear",
            augment.shear,
            60.0,
            "degrees from 0 to 60",
        )?;
        within("data.augment.stroke", augment.stroke, 1.0, "from 0 to 1")?;
        const BELOW: &str = "fewer pixels than the images have on their shorter side";
        for (field, found) in [
            ("data.augment.crop_padding", augment.crop_padding),
            ("data.augment.translation", augment.translation),
        ] {
            check(field, found, found < side, BELOW)?;
        }
        Ok(())
    }

    /// The blocks that the run trains, where there are blocks and it does not train all of them.
    pub fn part(&self) -> Option<BlockRange> {
        let count = self.method.independent_blocks()?;
        self.train
            .blocks
            .filter(|blocks| *blocks != BlockRange::all(count))
    }

    fn validate_blocks(&self) -> Result<(), ConfigError> {
        let refuse = |message: String| Err(ConfigError::Combination(message));
        let Some(count) = self.method.independent_blocks() else {
            const NONE: &str = "nothing, since the method trains one network by one loss; the blocks of \
                                NoProp-DT (method.kind \"dt\") are trained apart";
            let train = &self.train;
            let is_absent = |field, found: Option<String>| {
                found.map_or(Ok(()), |found| check(field, found, false, NONE))
            };
            is_absent(
                "train.blocks",
                train.blocks.map(|blocks| blocks.to_string()),
            )?;
            let order = train.block_order.map(|order| order.to_string());
            return is_absent("train.block_order", order);
        };
        let Some(blocks) = self.train.blocks else {
            return Ok(());
        };
        if blocks.last() > count {
            return refuse(format!(
                "train.blocks is {blocks}, and the model has blocks 1-{count}"
            ));
        }
        if self.part().is_none() {
            return Ok(());
        }
        if self.model.class_embedding != ClassEmbeddingConfig::OneHot {
            return refuse(
                "every block moves learned class embeddings, which all blocks use, so blocks cannot be trained \
                 apart; set class_embedding kind \"one-hot\", or leave out train.blocks"
                    .into(),
            );
        }
        if self.train.clip_norm.is_some() {
            return refuse(
                "train.clip_norm bounds the gradient of all that a step trains together, so blocks cannot be \
                 trained apart; leave it out, or leave out train.blocks"
                    .into(),
            );
        }
        Ok(())
    }
}

fn check(
    field: &'static str,
    found: impl ToString,
    holds: bool,
    expected: &'static str,
) -> Result<(), ConfigError> {
    if holds {
        Ok(())
    } else {
        Err(ConfigError::Value {
            field,
            found: found.to_string(),
            expected,
        })
    }
}

#[cfg(test)]
mod tests;
