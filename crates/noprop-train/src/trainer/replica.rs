//! Training on several devices at once: each computes the gradients of a shard of every batch, from a copy of the
//! images and, step by step, of the weights. The first device averages and takes the optimiser's step.
//!
//! Gradients are copied from device to device by the engine. Its collectives (`burn::tensor::distributed`) would do
//! so without the first device in between, but in Burn 0.22 they exist for CUDA only, and not for the CPU.

use burn::module::Module;
use burn::tensor::Device;
use noprop_core::NoProp;
use noprop_data::DeviceSplit;

use super::Trainer;
use crate::error::TrainError;
use crate::workers::Workers;

/// What a device needs of its own.
pub(super) struct Replica {
    /// With autodiff.
    pub device: Device,
    pub train: DeviceSplit,
}

impl Replica {
    /// A copy of `model`, which is off the autodiff device, to differentiate on this one.
    pub(super) fn model(&self, model: &NoProp) -> NoProp {
        let plain = self.device.clone().inner();
        let here = match model.device() == plain {
            true => model.valid(),
            false => model.clone().fork(&plain),
        };
        here.train()
    }
}

impl Trainer {
    /// The same, with every batch sharded over `devices`, too (off autodiff; the CPU may be among them). BatchNorm
    /// then sees a shard, as with threads.
    ///
    /// # Errors
    /// When the system starts no more threads.
    pub fn with_devices(mut self, devices: &[Device]) -> Result<Self, TrainError> {
        for device in devices {
            let device = device.clone().autodiff();
            let train = self.replicas[0].train.to_device(&device);
            self.replicas.push(Replica { device, train });
        }
        // No device waits for another.
        if self.workers.count() < self.replicas.len() {
            self.workers = Workers::new(self.replicas.len())?;
        }
        Ok(self)
    }

    /// Where shard `shard` of a batch is computed.
    pub(super) fn replica(&self, shard: usize) -> &Replica {
        &self.replicas[shard % self.replicas.len()]
    }
}
