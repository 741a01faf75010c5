//! The way in which the loss is minimised: the section `[train]` of a recipe.

use core::fmt;
use core::str::FromStr;

use noprop_core::BlockRange;
use serde::{Deserialize, Serialize};

/// The settings of the optimisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// The number of epochs. An epoch is a pass over the training images, or T passes if NoProp-DT trains a block at a
    /// time.
    pub epochs: usize,
    /// The number of images of a step; an incomplete last batch of a pass is left out.
    pub batch_size: usize,
    /// The seed of the initial weights, of the order of the images and of the noise.
    pub seed: u64,
    /// The file with the initial weights of the backbone. The trainer does not read the file: it is given the weights
    /// by [`Start::Backbone`](crate::Start::Backbone).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_backbone: Option<String>,
    /// The optimiser.
    pub optimizer: OptimizerKind,
    /// The peak of the learning rate.
    pub lr: f64,
    /// The peak of the learning rate of Muon; not used by other optimisers. It follows the same course.
    pub muon_lr: f64,
    /// The momentum of Muon; not used by other optimisers.
    pub muon_momentum: f64,
    /// The course of the learning rate.
    pub lr_schedule: LrSchedule,
    /// The number of steps at the start over which the learning rate rises linearly to its peak.
    pub warmup_steps: usize,
    /// The weight decay.
    pub weight_decay: f64,
    /// Whether biases, normalisation layers, noise schedule and class embeddings decay, too, as in the reference.
    pub decay_all: bool,
    /// The largest norm of all gradients together; unlimited when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// The decay of the exponential moving average of the weights; there is no average when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema_decay: Option<f64>,
    /// The order in which the blocks of NoProp-DT are trained; the paper's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_order: Option<BlockOrder>,
    /// The blocks of NoProp-DT that this run trains; all when absent. Other runs train the other blocks, and
    /// [`merge`](noprop_core::weights::merge) joins the weights of all runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocks: Option<BlockRange>,
    /// The number of shards of a batch on the CPU, one thread each; 0 stands for one per core. The trainer does not
    /// read this setting but [`TrainerOptions::threads`](crate::TrainerOptions::threads).
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
            muon_lr: 0.24,
            muon_momentum: 0.6,
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

/// The order in which the blocks of NoProp-DT are trained. In every order each block sees the same number of images in
/// an epoch, on average.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlockOrder {
    /// Algorithm 1 of the paper: an epoch is a pass over the training images for block 1, then one for block 2, up to
    /// T.
    #[default]
    Paper,
    /// An epoch is T passes; each step trains a block that is drawn at random.
    Random,
    /// An epoch is one pass; each step trains all blocks on the same images.
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

/// The optimiser. AdamW and Adam have β = (0.9, 0.999) and ε = 1e-8, which are PyTorch's defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// AdamW: weight decay is separate from the gradient.
    #[serde(rename = "adamw")]
    AdamW,
    /// Adam: weight decay is added to the gradient.
    Adam,
    /// Muon for the kernels of convolutions, each of which has a norm of √(output channels) at every step, and AdamW
    /// for all other parameters.
    Muon,
}

/// The course of the learning rate after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LrSchedule {
    /// The peak in every step.
    #[default]
    Constant,
    /// Half a cosine from the peak to zero.
    Cosine,
    /// From the peak to zero along a line.
    Linear,
    /// Linear from 1/25 of the peak to the peak over the first 30 %, then half a cosine to zero
    /// (Smith & Topin, arXiv:1708.07120).
    OneCycle,
}

impl LrSchedule {
    /// The learning rate of step `step` (from 0) of `total`, with the peak `peak` and `warmup` steps of
    /// linear warm-up.
    pub fn at(self, step: usize, total: usize, warmup: usize, peak: f64) -> f64 {
        const RISE: f64 = 0.3;
        const START: f64 = 1.0 / 25.0;
        if step < warmup {
            return peak * (step + 1) as f64 / warmup as f64;
        }
        let position = (step - warmup) as f64 / (total.saturating_sub(warmup)).max(1) as f64;
        let half_cosine = |x: f64| 0.5 * (1.0 + (core::f64::consts::PI * x.min(1.0)).cos());
        match self {
            Self::Constant => peak,
            Self::Cosine => peak * half_cosine(position),
            Self::Linear => peak * (1.0 - position).max(0.0),
            Self::OneCycle if position < RISE => peak * (START + (1.0 - START) * position / RISE),
            Self::OneCycle => peak * half_cosine((position - RISE) / (1.0 - RISE)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn courses_have_their_ends() {
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} against {b}");
        close(LrSchedule::Constant.at(7, 10, 0, 0.5), 0.5);
        close(LrSchedule::Cosine.at(0, 100, 0, 2.0), 2.0);
        close(LrSchedule::Cosine.at(50, 100, 0, 2.0), 1.0);
        close(LrSchedule::Linear.at(0, 100, 0, 2.0), 2.0);
        close(LrSchedule::Linear.at(75, 100, 0, 2.0), 0.5);
        close(LrSchedule::Linear.at(4, 110, 10, 1.0), 0.5);
        close(LrSchedule::Linear.at(60, 110, 10, 1.0), 0.5);
        close(LrSchedule::Linear.at(100, 100, 0, 2.0), 0.0);
        close(LrSchedule::OneCycle.at(0, 100, 0, 1.0), 0.04);
        close(LrSchedule::OneCycle.at(30, 100, 0, 1.0), 1.0);
        close(LrSchedule::OneCycle.at(65, 100, 0, 1.0), 0.5);
        close(LrSchedule::Cosine.at(4, 100, 10, 1.0), 0.5);
        assert!(LrSchedule::Cosine.at(99, 100, 10, 1.0) < 1e-3);
    }
}
