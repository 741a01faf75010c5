//! The training loop.

mod batch;
mod fit;
mod replica;
mod start;
mod state;
mod step;
mod tasks;

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::{Device, Tensor};
use noprop_core::NoProp;
use noprop_core::noise::{NoiseSource, Purpose};
use noprop_data::{Dataset, DeviceSplit, holdout};

use crate::checkpoint::Progress;
use crate::config::Recipe;
use crate::error::TrainError;
use crate::evaluation::Evaluator;
use crate::event::{Flow, LossValues, TrainEvent};
use crate::workers::Workers;
use crate::{optimizer, prototypes};
use replica::Replica;
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
    /// The first one holds the weights.
    replicas: Vec<Replica>,
    held_out: Vec<(&'static str, DeviceSplit)>,
    workers: Workers,
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
                 choose a smaller train.batch_size",
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

        let model = start.apply(NoProp::new(&recipe.method, &recipe.model, seed, &tracked)?)?;
        let mut trainer = Self {
            optimizer: optimizer::build(&recipe.train),
            model,
            average: None,
            held_out,
            workers: Workers::new(threads)?,
            progress: Progress {
                epoch: 0,
                step_in_epoch: 0,
                step: 0,
                loss_sum: LossValues::default(),
                loss_steps: 0,
                recipe: recipe.clone(),
            },
            recipe,
            replicas: vec![Replica {
                device: tracked,
                train,
            }],
            pending: None,
        };
        match start {
            Start::Checkpoint(checkpoint) => trainer.restore(*checkpoint)?,
            Start::Random | Start::Backbone(_) => {
                trainer.model = prototypes::initialise(
                    trainer.model,
                    &train_split,
                    &trainer.replicas[0].train,
                    seed,
                );
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
        let steps_per_pass = self.steps_per_pass();
        while self.progress.epoch < epochs {
            let begun = self.progress.step_in_epoch;
            for pass in begun / steps_per_pass..self.passes() {
                let order = self.order_of_pass(pass);
                let done = begun.saturating_sub(pass * steps_per_pass);
                for batch in order.chunks_exact(batch_size).skip(done) {
                    let event = self.step(batch)?;
                    if listen(event) == Flow::Stop {
                        self.read_losses()?;
                        listen(self.checkpoint_event()?);
                        return Ok(());
                    }
                }
            }
            listen(self.end_epoch()?);
            self.evaluate(listen)?;
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

    fn end_epoch(&mut self) -> Result<TrainEvent, TrainError> {
        self.read_losses()?;
        let images = self.progress.step_in_epoch * self.recipe.train.batch_size;
        let steps = self.progress.loss_steps.max(1) as f32;
        let sum = self.progress.loss_sum;
        self.progress.epoch += 1;
        self.progress.step_in_epoch = 0;
        self.progress.loss_sum = LossValues::default();
        self.progress.loss_steps = 0;
        Ok(TrainEvent::Epoch {
            epoch: self.progress.epoch,
            loss: LossValues {
                total: sum.total / steps,
                ce: sum.ce / steps,
                kl: sum.kl / steps,
                denoise: sum.denoise / steps,
            },
            images,
        })
    }

    fn evaluate(&self, listen: &mut dyn FnMut(TrainEvent) -> Flow) -> Result<(), TrainError> {
        let epoch = self.progress.epoch;
        let config = &self.recipe.eval;
        if !epoch.is_multiple_of(config.every) && epoch != self.recipe.train.epochs {
            return Ok(());
        }
        if self.recipe.part().is_some() {
            // A walk needs all blocks.
            return Ok(());
        }
        let model = self.trained();
        let walk = self.recipe.eval_walk();
        for (name, split) in &self.held_out {
            let evaluator = Evaluator::new(&model, split, &self.workers);
            let accuracy = evaluator.with_votes(config.votes).accuracy(&walk)?;
            listen(TrainEvent::Evaluated {
                epoch,
                split: name,
                sampler: walk.sampler,
                steps: walk.steps,
                accuracy,
            });
        }
        Ok(())
    }

    fn checkpoint_event(&self) -> Result<TrainEvent, TrainError> {
        Ok(TrainEvent::Checkpointed {
            checkpoint: Box::new(self.checkpoint()?),
            epoch: self.progress.epoch,
            step: self.progress.step,
        })
    }

    fn train_len(&self) -> usize {
        self.replicas[0].train.len()
    }

    fn steps_per_pass(&self) -> usize {
        self.train_len() / self.recipe.train.batch_size
    }

    fn steps_per_epoch(&self) -> usize {
        self.passes() * self.steps_per_pass()
    }

    /// The order of the training images in a pass of the current epoch.
    fn order_of_pass(&self, pass: usize) -> Vec<usize> {
        let pass = (self.progress.epoch * self.passes() + pass) as u64;
        NoiseSource::new(self.recipe.train.seed, Purpose::Shuffling, pass)
            .permutation(self.train_len())
    }
}
