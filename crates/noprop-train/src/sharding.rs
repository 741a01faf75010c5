//! One batch on several threads and devices: each computes the gradients of a shard of the batch, from a copy of
//! the training images and, step by step, of the weights. The first device averages and takes the optimiser's
//! step.
//!
//! Gradients are copied from device to device by the engine. Its collectives (`burn::tensor::distributed`) would do
//! so without the first device in between, but in Burn 0.22 they exist for CUDA only, and not for the CPU.

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
    /// The first one holds the weights.
    replicas: Vec<Replica>,
    workers: Workers,
}

impl Sharding {
    /// Sharding over `threads` threads at least, and over the device of `first` and `more`, plain devices. No
    /// device waits for another, so there are as many threads as devices at least.
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

    /// The device that holds the weights.
    pub fn first(&self) -> &Replica {
        &self.replicas[0]
    }

    /// The threads.
    pub fn workers(&self) -> &Workers {
        &self.workers
    }

    /// The gradients of a batch of `count` images: the mean of what `of_rows` gives for the rows of each shard.
    /// BatchNorm sees a shard, not the batch. `blocks` are those that the step trains, from 0; the running
    /// statistics of `model` move in place, or are replaced by the mean of the shards'.
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
    /// Images `[b, c, h, w]` and labels `[b]` of the training images `indices`, changed as `changes` says.
    pub fn batch(&self, indices: &[usize], changes: Option<Draws>) -> (Tensor<4>, Tensor<1, Int>) {
        match changes {
            Some(changes) => self.images.augmented(indices, &changes),
            None => self.images.batch(indices),
        }
    }

    /// A copy of `model`, which is off the autodiff device, to differentiate on this device.
    fn copy(&self, model: &NoProp) -> NoProp {
        let plain = self.device.clone().inner();
        let here = match model.device() == plain {
            // Its running statistics are its own.
            true => model.valid(),
            false => model.clone().fork(&plain),
        };
        here.train()
    }
}
