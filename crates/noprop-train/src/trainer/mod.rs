//! The training loop.

mod batch;
mod fit;
mod start;
mod state;

use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor};
use noprop_core::NoProp;
use noprop_core::noise::{NoiseSource, Purpose};
use noprop_core::objective::{Batch, HostDraws, Loss};
use noprop_core::sampler::Sampling;
use noprop_data::{Dataset, DeviceSplit, holdout};

use crate::checkpoint::Progress;
use crate::config::Recipe;
use crate::error::TrainError;
use crate::evaluation::Evaluator;
use crate::event::{Flow, LossValues, TrainEvent};
use crate::gradients::{self, Shard, Statistics};
use crate::workers::Workers;
use crate::{ema, optimizer, prototypes};
use start::Start;

/// Steps between two reads of the loss from the device.
pub const LOG_INTERVAL: usize = 20;

/// A model in training.
pub struct Trainer {
    recipe: Recipe,
    /// On the autodiff device.
    model: NoProp,
    optimizer: ModuleOptimizer,
    /// Off the autodiff device.
    average: Option<NoProp>,
    train: DeviceSplit,
    held_out: Vec<(&'static str, DeviceSplit)>,
    workers: Workers,
    device: Device,
    progress: Progress,
    /// Losses since the last read, `[4]`, and how many steps they are of.
    pending: Option<(Tensor<1>, usize)>,
}

impl Trainer {
    /// A trainer whose weights begin as `start` says.
    fn start(
        recipe: Recipe,
        dataset: &Dataset,
        device: &Device,
        threads: usize,
        start: Start,
    ) -> Result<Self, TrainError> {
        recipe.validate()?;
        fit::check(&recipe, dataset)?;
        let seed = recipe.train.seed;
        let classes = dataset.classes.len();
        let limited = match recipe.data.limit {
            Some(limit) => dataset.train.take(limit),
            None => dataset.train.clone(),
        };
        let (train_split, validation) = holdout(&limited, recipe.data.validation, classes, seed);
        if train_split.len() < recipe.train.batch_size {
            return Err(TrainError::Data(format!(
                "{} training images remain after holding out {} for validation, fewer than one batch of {}; \
                 choose a smaller --batch-size",
                train_split.len(),
                validation.len(),
                recipe.train.batch_size
            )));
        }

        let channels = recipe.model.input[0];
        let tracked = device.clone().autodiff();
        let upload =
            |split, device| DeviceSplit::new(split, &dataset.normalization, channels, device);
        let train = upload(&train_split, &tracked);
        let mut held_out = vec![("test", upload(&dataset.test, device))];
        if !validation.is_empty() {
            held_out.insert(0, ("validation", upload(&validation, device)));
        }

        let model = start.apply(NoProp::new(&recipe.model, seed, &tracked)?)?;
        // Dropout draws from one generator of the device, which threads would share.
        let threads = if recipe.model.backbone.is_stochastic() {
            1
        } else {
            threads
        };
        let mut trainer = Self {
            optimizer: optimizer::build(&recipe.train),
            model,
            average: None,
            held_out,
            workers: Workers::new(threads)?,
            device: tracked,
            progress: Progress {
                epoch: 0,
                step_in_epoch: 0,
                step: 0,
                loss_sum: LossValues::default(),
                recipe: recipe.clone(),
            },
            recipe,
            train,
            pending: None,
        };
        match start {
            Start::Checkpoint(checkpoint) => trainer.restore(*checkpoint)?,
            Start::Random | Start::Backbone(_) => {
                trainer.model =
                    prototypes::initialise(trainer.model, &train_split, &trainer.train, seed);
                trainer.average = trainer
                    .recipe
                    .train
                    .ema_decay
                    .map(|_| trainer.model.valid());
            }
        }
        Ok(trainer)
    }

    /// Trains to the last epoch, or until `listen` answers [`Flow::Stop`].
    ///
    /// # Errors
    /// When the loss is NaN or infinite, or the state cannot be serialised.
    pub fn run(&mut self, listen: &mut dyn FnMut(TrainEvent) -> Flow) -> Result<(), TrainError> {
        let epochs = self.recipe.train.epochs;
        let batch_size = self.recipe.train.batch_size;
        listen(TrainEvent::Started {
            step: self.progress.step,
            steps_per_epoch: self.steps_per_epoch(),
            epochs,
            parameters: self.model.num_params(),
            threads: self.workers.count(),
        });
        while self.progress.epoch < epochs {
            let order = self.order_of_epoch();
            for batch in order
                .chunks_exact(batch_size)
                .skip(self.progress.step_in_epoch)
            {
                let event = self.step(batch)?;
                if listen(event) == Flow::Stop {
                    self.read_losses()?;
                    listen(self.checkpoint_event()?);
                    return Ok(());
                }
            }
            listen(self.end_epoch()?);
            self.evaluate(listen);
            if listen(self.checkpoint_event()?) == Flow::Stop {
                return Ok(());
            }
        }
        listen(TrainEvent::Finished { epochs });
        Ok(())
    }

    /// The model to use: averaged when the recipe says so, off the autodiff device.
    pub fn trained(&self) -> NoProp {
        self.average.clone().unwrap_or_else(|| self.model.valid())
    }

    /// The held-out test images on the device.
    pub fn test(&self) -> &DeviceSplit {
        &self.held_out[self.held_out.len() - 1].1
    }

    /// The threads that the batches are sharded over.
    pub fn workers(&self) -> &Workers {
        &self.workers
    }

    /// One optimiser step on the training images `indices`.
    fn step(&mut self, indices: &[usize]) -> Result<TrainEvent, TrainError> {
        let config = self.recipe.train.clone();
        let step = self.progress.step;
        let total = config.epochs * self.steps_per_epoch();
        let lr = config
            .lr_schedule
            .at(step, total, config.warmup_steps, config.lr);

        let (gradients, losses) = self.gradients(indices, step);
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
        self.pending = Some(match self.pending.take() {
            Some((sum, steps)) => (sum + losses, steps + 1),
            None => (losses, 1),
        });
        let loss = if self.progress.step_in_epoch.is_multiple_of(LOG_INTERVAL) {
            self.read_losses()?
        } else {
            None
        };
        Ok(TrainEvent::Step {
            epoch: self.progress.epoch + 1,
            step: self.progress.step_in_epoch,
            lr,
            loss,
        })
    }

    /// Gradients and loss terms `[4]` of a batch, sharded over the workers.
    fn gradients(&mut self, indices: &[usize], step: usize) -> (GradientsParams, Tensor<1>) {
        let seed = self.recipe.train.seed;
        let dim = self.recipe.model.latent_dim();
        let mut source = NoiseSource::new(seed, Purpose::Training, step as u64);
        let draws = HostDraws::new(&mut source, indices.len(), dim);
        let changes = self.changes(indices.len(), step);
        if self.recipe.model.backbone.is_stochastic() {
            // Dropout's masks are a function of the step, so that a resumed run draws the same.
            self.device
                .seed(seed ^ (step as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        }

        let count = self.workers.count().min(indices.len());
        let bounds: Vec<_> = (0..=count).map(|i| i * indices.len() / count).collect();
        let objective = &self.recipe.objective;
        let run = |model: &NoProp, rows: core::ops::Range<usize>| {
            let (images, labels) =
                self.images(&indices[rows.clone()], rows.clone(), changes.as_ref());
            let draws = draws.upload(rows, &self.device);
            let loss = objective.loss(
                model,
                Batch {
                    images,
                    labels,
                    draws,
                },
            );
            let gradients = GradientsParams::from_grads(loss.total.backward(), model);
            (gradients, terms(loss))
        };
        if count == 1 {
            return run(&self.model, 0..indices.len());
        }

        // Each shard has running statistics of its own: shared ones would depend on timing.
        let plain = self.model.valid();
        let results = self.workers.map(count, |i| {
            let rows = bounds[i]..bounds[i + 1];
            let weight = rows.len() as f64 / indices.len() as f64;
            let model = plain.valid().train();
            let (gradients, losses) = run(&model, rows);
            let statistics = Statistics::of(&model.valid());
            (
                Shard {
                    gradients,
                    statistics,
                    weight,
                },
                losses.mul_scalar(weight),
            )
        });
        let (mut shards, losses): (Vec<_>, Vec<_>) = results.into_iter().unzip();
        let gradients = gradients::average(&self.model, &mut shards);
        self.model = gradients::merge_statistics(self.model.clone(), &mut shards);
        let losses = Tensor::stack::<2>(losses, 0).sum_dim(0).flatten::<1>(0, 1);
        (gradients, losses)
    }

    /// Reads the pending losses: their mean per step, or nothing when there are none.
    fn read_losses(&mut self) -> Result<Option<LossValues>, TrainError> {
        let Some((sum, steps)) = self.pending.take() else {
            return Ok(None);
        };
        let sum: Vec<f32> = sum.into_data().iter::<f32>().collect();
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

    fn end_epoch(&mut self) -> Result<TrainEvent, TrainError> {
        self.read_losses()?;
        let steps = self.progress.step_in_epoch.max(1) as f32;
        let sum = self.progress.loss_sum;
        self.progress.epoch += 1;
        self.progress.step_in_epoch = 0;
        self.progress.loss_sum = LossValues::default();
        Ok(TrainEvent::Epoch {
            epoch: self.progress.epoch,
            loss: LossValues {
                total: sum.total / steps,
                ce: sum.ce / steps,
                kl: sum.kl / steps,
                denoise: sum.denoise / steps,
            },
            images: steps as usize * self.recipe.train.batch_size,
        })
    }

    fn evaluate(&self, listen: &mut dyn FnMut(TrainEvent) -> Flow) {
        let epoch = self.progress.epoch;
        let config = &self.recipe.eval;
        if !epoch.is_multiple_of(config.every) && epoch != self.recipe.train.epochs {
            return;
        }
        let model = self.trained();
        let sampling = Sampling {
            kind: config.sampler,
            steps: config.steps,
            seed: config.seed,
        };
        for (name, split) in &self.held_out {
            let accuracy = Evaluator::new(&model, split, &self.workers).accuracy(sampling);
            listen(TrainEvent::Evaluated {
                epoch,
                split: name,
                sampler: config.sampler,
                steps: config.steps,
                accuracy,
            });
        }
    }

    fn checkpoint_event(&self) -> Result<TrainEvent, TrainError> {
        Ok(TrainEvent::Checkpointed {
            checkpoint: Box::new(self.checkpoint()?),
            epoch: self.progress.epoch,
            step: self.progress.step,
        })
    }

    fn steps_per_epoch(&self) -> usize {
        self.train.len() / self.recipe.train.batch_size
    }

    fn order_of_epoch(&self) -> Vec<usize> {
        let epoch = self.progress.epoch as u64;
        NoiseSource::new(self.recipe.train.seed, Purpose::Shuffling, epoch)
            .permutation(self.train.len())
    }
}

/// Loss terms as one tensor, `[4]`: one read for all.
fn terms(loss: Loss) -> Tensor<1> {
    Tensor::cat(vec![loss.total.detach(), loss.ce, loss.kl, loss.denoise], 0).inner()
}
