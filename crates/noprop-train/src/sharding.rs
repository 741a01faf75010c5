//! One batch on several threads and devices. Each computes the gradients of a shard of the batch, from a copy of the
//! training images and, in every step, a copy of the weights. The first device averages the gradients and takes the
//! optimiser step.
//!
//! Burn copies gradients from device to device. Its collective operations (`burn::tensor::distributed`) would do so
//! without the first device in between, but in Burn 0.22 they exist for CUDA only, and not for the CPU.

use core::ops::Range;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use noprop_core::NoProp;
use noprop_data::DeviceSplit;
use noprop_data::augment::Draws;

use crate::batch_norm::RunningStatistics;
use crate::error::TrainError;
use crate::gradients::Gradients;
use crate::workers::Workers;

/// A device, and the training images on it.
pub(crate) struct Replica {
    /// The device, with autodiff.
    pub device: Device,
    /// The training images.
    pub images: DeviceSplit,
}

/// The threads and devices that share the work of a step.
pub(crate) struct Sharding {
    /// The devices; the first one holds the weights.
    replicas: Vec<Replica>,
    workers: Workers,
}

impl Sharding {
    /// Shares work among at least `threads` threads, and among the device of `first` and the devices `more`, which are
    /// without autodiff. There are at least as many threads as devices, so no device waits for another.
    ///
    /// # Errors
    /// When the system starts no more threads.
    pub fn new(first: Replica, more: &[Device], threads: usize) -> Result<Self, TrainError> {
        let mut replicas = vec![first];
        for device in more {
            let device = device.clone().autodiff();
            let images = replicas[0].images.to_device(&device);
            replicas.push(Replica { device, images });
        }
        Ok(Self {
            workers: Workers::new(threads.max(replicas.len()))?,
            replicas,
        })
    }

    /// The replica on the device that holds the weights.
    pub fn first(&self) -> &Replica {
        &self.replicas[0]
    }

    /// The threads.
    pub fn workers(&self) -> &Workers {
        &self.workers
    }

    /// The gradients of a batch of `count` images: the mean of the gradients that `of_rows` computes for the rows of
    /// each shard. BatchNorm sees a shard, not the batch. `blocks` are the blocks whose running statistics the step
    /// moves, from 0. The statistics of `model` move in place if there is one shard; otherwise the mean over the shards
    /// replaces them.
    pub fn gradients(
        &self,
        model: &mut NoProp,
        count: usize,
        blocks: &[usize],
        of_rows: impl Fn(&NoProp, &Replica, Range<usize>) -> Gradients + Sync,
    ) -> Gradients {
        let shards = self.workers.count().min(count);
        if shards < 2 {
            return of_rows(model, self.first(), 0..count);
        }
        let plain = model.valid();
        let home = plain.device();
        let results = self.workers.map(shards, |i| {
            let rows = i * count / shards..(i + 1) * count / shards;
            let weight = rows.len() as f64 / count as f64;
            let replica = &self.replicas[i % self.replicas.len()];
            let model = replica.copy(&plain);
            let gradients = of_rows(&model, replica, rows);
            let statistics = RunningStatistics::of(&model.valid(), blocks);
            match model.device() == home {
                true => ((gradients, weight), (statistics, weight)),
                false => (
                    (gradients.moved_to(&home, &model), weight),
                    (statistics.moved_to(&home), weight),
                ),
            }
        });
        let (gradients, statistics): (Vec<_>, Vec<_>) = results.into_iter().unzip();
        *model = RunningStatistics::mean(&statistics).put_into(model.clone());
        Gradients::of_shards(model, gradients)
    }
}

impl Replica {
    /// The training images `[b, c, h, w]` at `indices`, changed by `changes`, and their labels `[b]`.
    pub fn batch(&self, indices: &[usize], changes: Option<Draws>) -> (Tensor<4>, Tensor<1, Int>) {
        match changes {
            Some(changes) => self.images.augmented(indices, &changes),
            None => self.images.batch(indices),
        }
    }

    /// A copy of `model` to differentiate on this device. `model` is off the autodiff device.
    fn copy(&self, model: &NoProp) -> NoProp {
        let plain = self.device.clone().inner();
        let here = match model.device() == plain {
            // The copy has running statistics of its own.
            true => model.valid(),
            false => model.clone().fork(&plain),
        };
        here.train()
    }
}
