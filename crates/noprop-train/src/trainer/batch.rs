//! The images of a step, changed as the recipe asks for.

use core::ops::Range;

use burn::tensor::{Int, Tensor};
use noprop_core::noise::{NoiseSource, Purpose};
use noprop_data::augment::{Draws, UNIFORMS};

use super::Trainer;
use super::replica::Replica;

impl Trainer {
    /// How each of `count` images of a step is changed; nothing when the recipe asks for none. It
    /// depends on the seed and the step alone, so that a resumed run draws the same.
    pub(super) fn changes(&self, count: usize, step: usize) -> Option<Draws> {
        let config = self.recipe.data.augment;
        if config.is_off() {
            return None;
        }
        let seed = self.recipe.train.seed;
        let uniforms =
            NoiseSource::new(seed, Purpose::Augmenting, step as u64).uniform(count * UNIFORMS);
        Some(Draws::new(config, self.replicas[0].train.size(), &uniforms))
    }

    /// Images `[b, c, h, w]` and labels `[b]` of a shard: the training images `indices`, which are
    /// `rows` of the batch.
    pub(super) fn images(
        replica: &Replica,
        indices: &[usize],
        rows: Range<usize>,
        changes: Option<&Draws>,
    ) -> (Tensor<4>, Tensor<1, Int>) {
        match changes {
            Some(changes) => replica.train.augmented(indices, &changes.rows(rows)),
            None => replica.train.batch(indices),
        }
    }
}
