//! What a step trains: the model, or in NoProp-DT one block or all of them.
//!
//! A run that trains some blocks only goes through the same steps as one that trains all, with the
//! same random numbers for each. It leaves out what belongs to the other blocks, but for the steps of
//! the output head, which are common to all.

use core::ops::Range;

use burn::tensor::Device;
use noprop_core::dropout::Dropout;
use noprop_core::method::HostDraws;
use noprop_core::noise::{NoiseSource, Purpose};

use super::Trainer;
use crate::block_order::BlockOrder;

/// One loss of a step.
pub(super) struct Task {
    /// The block, from 0.
    pub block: usize,
    /// Whether this run trains it.
    pub is_ours: bool,
    /// Noise for the batch.
    pub draws: HostDraws,
    /// A number that no other loss of the run has.
    pub stream: u64,
}

impl Trainer {
    /// Passes over the training images in an epoch.
    pub(super) fn passes(&self) -> usize {
        match (self.recipe.method.independent_blocks(), self.order()) {
            (None, _) | (_, BlockOrder::Parallel) => 1,
            (Some(blocks), BlockOrder::Paper | BlockOrder::Random) => blocks,
        }
    }

    /// The losses of a step on `count` images. Everything random about them is a function of the
    /// seed, the step and the block, so that a resumed run and one that trains other blocks draw the
    /// same.
    pub(super) fn tasks(&self, step: usize, count: usize) -> Vec<Task> {
        let seed = self.recipe.train.seed;
        let dim = self.recipe.model.latent_dim();
        let times = self.recipe.method.time_sampling();
        let blocks = self.recipe.method.independent_blocks().unwrap_or(1);
        let ours = self.recipe.part().map_or(0..blocks, |part| part.indices());
        let task = |block| {
            let stream = (step * blocks + block) as u64;
            let mut source = NoiseSource::new(seed, Purpose::Training, stream);
            Task {
                block,
                is_ours: ours.contains(&block),
                draws: HostDraws::new(&mut source, count, dim, times),
                stream,
            }
        };
        self.blocks_of(step, blocks).map(task).collect()
    }

    /// What draws dropout's masks for `rows` of the batch on `device`.
    pub(super) fn dropout(&self, task: &Task, rows: Range<usize>, device: &Device) -> Dropout {
        if !self.recipe.model.backbone.is_stochastic() {
            Dropout::Off
        } else if *device == Device::flex() {
            Dropout::streams(self.recipe.train.seed, task.stream, rows)
        } else {
            Dropout::Device
        }
    }

    /// The blocks that a step is about, from 0.
    fn blocks_of(&self, step: usize, blocks: usize) -> Range<usize> {
        let one = |block: usize| block..block + 1;
        match self.order() {
            _ if blocks == 1 => one(0),
            BlockOrder::Parallel => 0..blocks,
            BlockOrder::Paper => one(step % self.steps_per_epoch() / self.steps_per_pass()),
            BlockOrder::Random => {
                let seed = self.recipe.train.seed;
                let draw = NoiseSource::new(seed, Purpose::Blocks, step as u64).uniform(1)[0];
                one((f64::from(draw) * blocks as f64) as usize)
            }
        }
    }

    fn order(&self) -> BlockOrder {
        self.recipe.train.block_order.unwrap_or_default()
    }
}
