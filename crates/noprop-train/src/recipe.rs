//! A recipe: everything that determines a run.

use core::fmt;
use core::str::FromStr;

use noprop_core::embedding::ClassEmbeddingConfig;
use noprop_core::inference::check_temperature;
use noprop_core::{BlockRange, ConfigError, Inference, Method, ModelConfig, Sampler, Views, Walk};
use noprop_data::FolderOptions;
use noprop_data::augment::AugmentConfig;
use serde::{Deserialize, Serialize};

use crate::optimizer::{LrSchedule, OptimizerKind};

/// The network, the images and the way of training; the content of a recipe file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// The method: loss, noise schedule, readout and default walk.
    pub method: Method,
    /// The architecture of the network.
    pub model: ModelConfig,
    /// The images.
    pub data: DataConfig,
    /// The way in which the loss is minimised.
    pub train: TrainConfig,
    /// The evaluation after each epoch, and how the weights file recommends to ask the model.
    pub eval: EvalConfig,
}

/// The images that are trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// Name of the dataset; the command line has a catalogue of names.
    pub dataset: String,
    /// Training images held out for validation, so that the test set never chooses anything.
    pub validation: usize,
    /// At most so many training images; all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Random changes of the training images.
    pub augment: AugmentConfig,
    /// How a folder of images is read; not used for other datasets.
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

/// How the loss is minimised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Epochs: passes over the training images, or T passes where NoProp-DT trains a block at a time.
    pub epochs: usize,
    /// Images of a step; an incomplete last batch of a pass is left out.
    pub batch_size: usize,
    /// Seed of the initial weights, of the order of the images and of the noise.
    pub seed: u64,
    /// The file whose weights the backbone starts from. The trainer does not read it; it is given the
    /// weights themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_backbone: Option<String>,
    /// The optimiser.
    pub optimizer: OptimizerKind,
    /// The peak of the learning rate.
    pub lr: f64,
    /// The course of the learning rate.
    pub lr_schedule: LrSchedule,
    /// Steps over which the learning rate rises linearly to its peak at first.
    pub warmup_steps: usize,
    /// The weight decay.
    pub weight_decay: f64,
    /// Whether biases, normalisation, schedule and embeddings decay, too, as in the reference.
    pub decay_all: bool,
    /// The largest norm of the whole gradient; unlimited when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// The decay of the exponential moving average of the weights; there is no average when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema_decay: Option<f64>,
    /// The order in which the blocks of NoProp-DT are trained; the paper's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_order: Option<BlockOrder>,
    /// The blocks of NoProp-DT that this run trains; all when absent. The other blocks are trained by other
    /// runs, and [`merge`](noprop_core::weights::merge) brings their weights together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocks: Option<BlockRange>,
    /// Shards that a batch is split into on the CPU, one thread each; 0 stands for one per core. The trainer takes
    /// their number from [`TrainerOptions`](crate::TrainerOptions).
    pub threads: usize,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch_size: 128,
            seed: 0,
            init_backbone: None,
            optimizer: OptimizerKind::AdamW,
            lr: 1e-3,
            lr_schedule: LrSchedule::Constant,
            warmup_steps: 0,
            weight_decay: 1e-3,
            decay_all: false,
            clip_norm: None,
            ema_decay: None,
            block_order: None,
            blocks: None,
            threads: 0,
        }
    }
}

/// The order in which the blocks of NoProp-DT are trained. In all of them every block sees as many images in an
/// epoch, on average.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlockOrder {
    /// Algorithm 1 of the paper: in each epoch, for t = 1 … T, a pass over the training images for block t.
    #[default]
    Paper,
    /// T passes an epoch; each step trains a block that is drawn at random.
    Random,
    /// One pass an epoch; each step trains all blocks on the same images.
    Parallel,
}

impl BlockOrder {
    const ALL: [(Self, &'static str); 3] = [
        (Self::Paper, "paper"),
        (Self::Random, "random"),
        (Self::Parallel, "parallel"),
    ];
}

impl fmt::Display for BlockOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(order, _)| order == self);
        f.pad(name.map_or("", |(_, name)| name))
    }
}

impl FromStr for BlockOrder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|(_, name)| *name == text);
        found.map(|(order, _)| order).ok_or_else(|| {
            format!("no order is called {text:?}, expected paper, random or parallel")
        })
    }
}

/// How the model is evaluated after an epoch. The weights file recommends the same way to those who use it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvalConfig {
    /// The sampler; the method's default when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampler: Option<Sampler>,
    /// T, the number of steps of a walk; the method's default when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
    /// Epochs between evaluations.
    pub every: usize,
    /// Seed of z_0.
    pub seed: u64,
    /// Walks of each image; the answer is the class with the largest mean probability.
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

    /// How the evaluation asks the model, which is what the weights file recommends.
    pub fn inference(&self) -> Inference {
        Inference {
            walk: self.eval_walk(),
            votes: self.eval.votes,
            views: self.eval.views,
        }
    }

    /// Checks every value and combination.
    ///
    /// # Errors
    /// When a value is out of its range, or two of them exclude each other; the first that is found.
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
        let rotation = self.data.augment.rotation;
        check(
            "data.augment.rotation",
            rotation,
            (0.0..=180.0).contains(&rotation),
            "degrees from 0 to 180",
        )?;
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
