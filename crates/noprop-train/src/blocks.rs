//! The losses of a step: one loss of the whole network, or in NoProp-DT the loss of one block or of every block.
//!
//! A run that trains some blocks only takes the same steps, with the same random numbers, as a run that trains all
//! blocks. For a block that it does not train it computes the gradients of the output head alone, since all blocks
//! share the output head.

use core::ops::Range;

use burn::tensor::{Device, Int, Tensor};
use noprop_core::NoProp;
use noprop_core::dropout::Dropout;
use noprop_core::method::{Batch, HostDraws};
use noprop_core::noise::{NoiseSource, Purpose};
use noprop_core::seeded;

use crate::gradients::Gradients;
use crate::recipe::Recipe;
use crate::train_config::BlockOrder;

/// One loss of a step, with the random numbers of its batch.
pub(crate) struct Task {
    /// The block that the loss belongs to, from 0; 0 if the model has no blocks with losses of their own.
    pub block: usize,
    /// Whether this run trains the block.
    pub is_ours: bool,
    /// The times and the noise of the batch.
    draws: HostDraws,
    /// The number of the loss in the run, which keys its random numbers: the step times the number of blocks, plus the
    /// block.
    stream: u64,
    seed: u64,
    has_dropout: bool,
}

/// The number of passes over the training images in an epoch of `recipe`.
pub(crate) fn passes_per_epoch(recipe: &Recipe) -> usize {
    match (recipe.method.independent_blocks(), order(recipe)) {
        (None, _) | (_, BlockOrder::Parallel) => 1,
        (Some(blocks), BlockOrder::Paper | BlockOrder::Random) => blocks,
    }
}

/// The losses of step `step` (from 0) on `count` images. A pass over the training images takes `steps_per_pass` steps.
/// All random numbers of a loss are a function of the seed, the step and the block, so that a resumed run and a run
/// that trains other blocks draw the same numbers.
pub(crate) fn tasks(
    recipe: &Recipe,
    step: usize,
    count: usize,
    steps_per_pass: usize,
) -> Vec<Task> {
    let seed = recipe.train.seed;
    let dim = recipe.model.latent_dim();
    let blocks = recipe.method.independent_blocks().unwrap_or(1);
    let ours = recipe.part().map_or(0..blocks, |part| part.indices());
    let task = |block| {
        let stream = (step * blocks + block) as u64;
        let mut source = NoiseSource::new(seed, Purpose::Training, stream);
        Task {
            block,
            is_ours: ours.contains(&block),
            draws: HostDraws::new(&mut source, count, dim, &recipe.method),
            stream,
            seed,
            has_dropout: recipe.model.backbone.is_stochastic(),
        }
    };
    let one = |block: usize| block..block + 1;
    let of_step = match order(recipe) {
        _ if blocks == 1 => one(0),
        BlockOrder::Parallel => 0..blocks,
        BlockOrder::Paper => one(step / steps_per_pass % blocks),
        BlockOrder::Random => {
            let draw = NoiseSource::new(seed, Purpose::Blocks, step as u64).uniform(1)[0];
            one((f64::from(draw) * blocks as f64) as usize)
        }
    };
    of_step.map(task).collect()
}

/// The blocks, from 0, whose BatchNorm statistics a step with these losses moves.
pub(crate) fn moved_blocks(recipe: &Recipe, tasks: &[Task]) -> Vec<usize> {
    match recipe.method.independent_blocks() {
        Some(_) => {
            let ours = tasks.iter().filter(|task| task.is_ours);
            ours.map(|task| task.block).collect()
        }
        None => (0..recipe.method.blocks().unwrap_or(0)).collect(),
    }
}

fn order(recipe: &Recipe) -> BlockOrder {
    recipe.train.block_order.unwrap_or_default()
}

impl Task {
    /// The gradients of this loss on `device` for `images` `[b, c, h, w]` and `labels` `[b]`, which are `rows` of the
    /// batch. If another run trains the block, these are the gradients of the output head alone.
    pub fn gradients(
        &self,
        model: &NoProp,
        images: Tensor<4>,
        labels: Tensor<1, Int>,
        rows: Range<usize>,
        device: &Device,
    ) -> Gradients {
        let first_row = rows.start;
        let batch = Batch {
            images,
            labels,
            draws: self.draws.upload(rows.clone(), device),
            dropout: self.dropout(rows, device),
            block: self.is_ours.then_some(self.block),
        };
        match batch.dropout {
            Dropout::Device => {
                // Each shard has a seed of its own: with a common seed the masks of all shards would be equal.
                let place = self.stream ^ (first_row as u64) << 40;
                let seed = self.seed ^ place.wrapping_mul(0x9E37_79B9_7F4A_7C15);
                seeded(&model.device(), seed, || Gradients::of(model, batch))
            }
            _ => Gradients::of(model, batch),
        }
    }

    /// The source of the dropout masks for `rows` of the batch on `device`.
    fn dropout(&self, rows: Range<usize>, device: &Device) -> Dropout {
        if !self.has_dropout {
            Dropout::Off
        } else if *device == Device::flex() {
            Dropout::streams(self.seed, self.stream, rows)
        } else {
            Dropout::Device
        }
    }
}
