//! One step: gradients of a batch, optimiser, averages.

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use noprop_core::dropout::Dropout;
use noprop_core::method::{Batch, Loss};
use noprop_core::{NoProp, seeded};

use super::replica::Replica;
use super::tasks::Task;
use super::{LOG_INTERVAL, Trainer};
use crate::ema;
use crate::error::TrainError;
use crate::event::{LossValues, TrainEvent};
use crate::gradients::{self, Shard, Statistics};

impl Trainer {
    /// One optimiser step on the training images `indices`.
    pub(super) fn step(&mut self, indices: &[usize]) -> Result<TrainEvent, TrainError> {
        let config = self.recipe.train.clone();
        let step = self.progress.step;
        let total = config.epochs * self.steps_per_epoch();
        let lr = config
            .lr_schedule
            .at(step, total, config.warmup_steps, config.lr);

        let tasks = self.tasks(step, indices.len());
        let block = match &tasks[..] {
            [task] => self
                .recipe
                .method
                .independent_blocks()
                .map(|_| task.block + 1),
            _ => None,
        };
        let (gradients, losses) = self.gradients(indices, step, &tasks);
        let gradients = match config.clip_norm {
            Some(limit) => gradients::clip(&self.model, gradients, limit),
            None => gradients,
        };
        self.model = self.optimizer.step(lr, self.model.clone(), gradients);
        if let (Some(average), Some(decay)) = (self.average.take(), config.ema_decay) {
            self.average = Some(ema::update(average, &self.model.valid(), decay));
        }

        self.progress.step += 1;
        self.progress.step_in_epoch += 1;
        if let Some(losses) = losses {
            self.pending = Some(match self.pending.take() {
                Some((sum, steps)) => (sum + losses, steps + 1),
                None => (losses, 1),
            });
        }
        let loss = if self.progress.step_in_epoch.is_multiple_of(LOG_INTERVAL) {
            self.read_losses()?
        } else {
            None
        };
        Ok(TrainEvent::Step {
            epoch: self.progress.epoch + 1,
            step: self.progress.step_in_epoch,
            block,
            lr,
            loss,
        })
    }

    /// Gradients, and loss terms `[4]` where the step trains anything but the output head, of a batch
    /// sharded over the workers.
    fn gradients(
        &mut self,
        indices: &[usize],
        step: usize,
        tasks: &[Task],
    ) -> (GradientsParams, Option<Tensor<1>>) {
        let changes = self.changes(indices.len(), step);
        let count = self.workers.count().min(indices.len());
        let bounds: Vec<_> = (0..=count).map(|i| i * indices.len() / count).collect();
        let run = |model: &NoProp, replica: &Replica, rows: core::ops::Range<usize>| {
            let indices = &indices[rows.clone()];
            let (images, labels) = Self::images(replica, indices, rows.clone(), changes.as_ref());
            let device = &replica.device;
            let parts: Vec<_> = tasks
                .iter()
                .map(|task| {
                    let batch = Batch {
                        images: images.clone(),
                        labels: labels.clone(),
                        draws: task.draws.upload(rows.clone(), device),
                        dropout: self.dropout(task, rows.clone(), device),
                        block: task.is_ours.then_some(task.block),
                    };
                    self.run_task(task, model, batch, rows.start)
                })
                .collect();
            let (gradients, losses): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
            let losses = losses.into_iter().flatten().collect();
            (gradients::sum(model, gradients), mean(losses))
        };
        if count == 1 {
            return run(&self.model, self.replica(0), 0..indices.len());
        }

        // Each shard has running statistics of its own: shared ones would depend on timing.
        let plain = self.model.valid();
        let ours = tasks.iter().filter(|task| task.is_ours);
        let trained: Vec<usize> = match self.recipe.method.independent_blocks() {
            Some(_) => ours.map(|task| task.block).collect(),
            None => (0..self.recipe.method.blocks().unwrap_or(0)).collect(),
        };
        let results = self.workers.map(count, |i| {
            let rows = bounds[i]..bounds[i + 1];
            let weight = rows.len() as f64 / indices.len() as f64;
            let replica = self.replica(i);
            let model = replica.model(&plain);
            let (gradients, losses) = run(&model, replica, rows);
            let statistics = Statistics::of(&model.valid(), &trained);
            let shard = Shard {
                gradients,
                statistics,
                weight,
            };
            let losses = losses.map(|losses| losses.mul_scalar(weight));
            let home = plain.device();
            match model.device() == home {
                true => (shard, losses),
                false => (
                    shard.moved_to(&model, &home),
                    losses.map(|losses| losses.to_device(&home)),
                ),
            }
        });
        let (mut shards, losses): (Vec<_>, Vec<_>) = results.into_iter().unzip();
        let gradients = gradients::average(&self.model, &mut shards);
        self.model = gradients::merge_statistics(self.model.clone(), &mut shards);
        let losses: Vec<_> = losses.into_iter().flatten().collect();
        let losses = (!losses.is_empty()).then(|| sum(losses));
        (gradients, losses)
    }

    /// Gradients and loss terms of one task. Where the block is trained elsewhere, those of the output
    /// head alone, which takes its steps everywhere.
    fn run_task(
        &self,
        task: &Task,
        model: &NoProp,
        batch: Batch,
        first_row: usize,
    ) -> (GradientsParams, Option<Tensor<1>>) {
        let (gradients, loss) = match batch.dropout {
            Dropout::Device => {
                // Another seed for each shard: equal masks would be no masks of the batch.
                let place = task.stream ^ (first_row as u64) << 40;
                let seed = self.recipe.train.seed ^ place.wrapping_mul(0x9E37_79B9_7F4A_7C15);
                seeded(&model.device(), seed, || model.gradients(batch))
            }
            _ => model.gradients(batch),
        };
        (gradients, task.is_ours.then(|| terms(loss)))
    }

    /// Reads the pending losses: their mean per step, or nothing when there are none.
    pub(super) fn read_losses(&mut self) -> Result<Option<LossValues>, TrainError> {
        let Some((sum, steps)) = self.pending.take() else {
            return Ok(None);
        };
        let sum: Vec<f32> = sum.into_data().iter::<f32>().collect();
        self.progress.loss_steps += steps;
        let total = &mut self.progress.loss_sum;
        total.total += sum[0];
        total.ce += sum[1];
        total.kl += sum[2];
        total.denoise += sum[3];
        if !sum[0].is_finite() {
            return Err(TrainError::Diverged {
                value: sum[0],
                epoch: self.progress.epoch + 1,
                step: self.progress.step_in_epoch,
            });
        }
        let n = steps as f32;
        Ok(Some(LossValues {
            total: sum[0] / n,
            ce: sum[1] / n,
            kl: sum[2] / n,
            denoise: sum[3] / n,
        }))
    }
}

/// Sum of tensors `[4]`, at least one.
fn sum(losses: Vec<Tensor<1>>) -> Tensor<1> {
    Tensor::stack::<2>(losses, 0).sum_dim(0).flatten::<1>(0, 1)
}

/// Their mean, or nothing for none.
fn mean(losses: Vec<Tensor<1>>) -> Option<Tensor<1>> {
    let count = losses.len() as f64;
    match losses.len() {
        0 | 1 => losses.into_iter().next(),
        _ => Some(sum(losses).div_scalar(count)),
    }
}

/// Loss terms as one tensor, `[4]`: one read for all.
fn terms(loss: Loss) -> Tensor<1> {
    Tensor::cat(vec![loss.total.detach(), loss.ce, loss.kl, loss.denoise], 0).inner()
}
