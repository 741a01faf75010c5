//! The training loop.
//!
//! A step computes the gradients of a batch in shards ([`crate::sharding`]), then takes the optimiser step and updates
//! the moving average ([`crate::optimizer`]). [`Trainer::run`] is the loop over steps, evaluations and checkpoints. It
//! consists of public methods, so that you can write a loop of your own.

use core::ops::Range;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use noprop_core::method::Batch;
use noprop_core::noise::{NoiseSource, Purpose};
use noprop_core::weights::ModelCard;
use noprop_core::{Accuracy, Classifier, NoProp};
use noprop_data::augment::{Draws, UNIFORMS};
use noprop_data::{Dataset, DeviceSplit};

use crate::blocks;
use crate::checkpoint::{Checkpoint, State};
use crate::error::TrainError;
use crate::evaluator::Evaluator;
use crate::event::{Flow, HeldOut, TrainEvent};
use crate::gradients::{Gradients, clip};
use crate::optimizer::{decay_at, moving_average};
use crate::recipe::Recipe;
use crate::report::{EpochReport, LOG_INTERVAL, LossValues, StepReport};
use crate::setup::{TrainerOptions, card, training_images};
use crate::sharding::{Replica, Sharding};
use crate::workers::Workers;

/// A model in training.
pub struct Trainer {
    recipe: Recipe,
    card: ModelCard,
    state: State,
    sharding: Sharding,
    validation: Option<DeviceSplit>,
    test: DeviceSplit,
    /// The sum of the losses since the last read, `[4]`, and the number of steps in this sum.
    unread: Option<(Tensor<1>, usize)>,
}

impl Trainer {
    /// A trainer for `recipe` on `dataset`.
    ///
    /// # Errors
    /// When the recipe is invalid or does not fit the dataset, when the initial weights or the checkpoint do not fit,
    /// or when the system starts no more threads.
    pub fn new(
        recipe: Recipe,
        dataset: &Dataset,
        options: TrainerOptions,
    ) -> Result<Self, TrainError> {
        recipe.validate()?;
        let (train, validation) = training_images(&recipe, dataset)?;
        let upload = |split, device: &Device| {
            let channels = recipe.model.input[0];
            DeviceSplit::new(split, &dataset.normalization, channels, device)
        };
        let device = options.device.clone().autodiff();
        let images = upload(&train, &device);
        let card = card(&recipe, dataset);
        let state = options
            .start
            .state(&recipe, &card, &train, &images, &device)?;
        Ok(Self {
            sharding: Sharding::new(
                Replica { device, images },
                &options.more_devices,
                options.threads,
            )?,
            validation: (!validation.is_empty()).then(|| upload(&validation, &options.device)),
            test: upload(&dataset.test, &options.device),
            unread: None,
            recipe,
            card,
            state,
        })
    }

    /// Trains to the last epoch, or until `listen` answers [`Flow::Stop`]. After each epoch it evaluates as the recipe
    /// asks for, and reports a checkpoint; after a stop it reports a checkpoint, too.
    ///
    /// # Errors
    /// When the loss is NaN or infinite, or the state cannot be serialised.
    pub fn run(&mut self, listen: &mut dyn FnMut(TrainEvent) -> Flow) -> Result<(), TrainError> {
        let epochs = self.recipe.train.epochs;
        listen(TrainEvent::Started {
            step: self.state.progress.step,
            steps_per_epoch: self.steps_per_epoch(),
            epochs,
            parameters: self.state.model.num_params(),
            threads: self.workers().count(),
        });
        while self.state.progress.epoch < epochs {
            for batch in self.batches() {
                let report = self.step(&batch)?;
                if listen(TrainEvent::Step(report)) == Flow::Stop {
                    listen(self.checkpoint_event()?);
                    return Ok(());
                }
            }
            let report = self.end_epoch()?;
            listen(TrainEvent::Epoch(report));
            if let Some(warning) = TrainEvent::not_fallen(&report) {
                listen(warning);
            }
            self.evaluate_after(report.epoch, listen)?;
            if listen(self.checkpoint_event()?) == Flow::Stop {
                return Ok(());
            }
        }
        listen(TrainEvent::Finished { epochs });
        Ok(())
    }

    /// The remaining batches of the current epoch, each as positions of training images. Their order is a function of
    /// the recipe's seed and the epoch; an incomplete last batch of a pass is left out.
    pub fn batches(&self) -> impl Iterator<Item = Vec<usize>> + use<> {
        let (images, size) = (self.training_images(), self.recipe.train.batch_size);
        let seed = self.recipe.train.seed;
        let passes = blocks::passes_per_epoch(&self.recipe);
        let first = self.state.progress.epoch * passes;
        let batches_of_pass = move |pass: usize| {
            let mut source = NoiseSource::new(seed, Purpose::Shuffling, pass as u64);
            let order = source.permutation(images);
            let batches: Vec<_> = order.chunks_exact(size).map(<[usize]>::to_vec).collect();
            batches
        };
        let all = (first..first + passes).flat_map(batches_of_pass);
        all.skip(self.state.progress.step_in_epoch)
    }

    /// Takes one optimiser step on the training images at the positions `indices`, of which there may be any number
    /// from 1 on. The images are changed at random as the recipe asks for. All random numbers are a function of the
    /// recipe's seed and the number of steps done.
    ///
    /// # Errors
    /// When `indices` is empty or a position is not that of a training image, or when the loss was read and is NaN or
    /// infinite.
    pub fn step(&mut self, indices: &[usize]) -> Result<StepReport, TrainError> {
        let images = self.training_images();
        let outside = indices.iter().filter(|&&index| index >= images).count();
        if indices.is_empty() || outside > 0 {
            return Err(TrainError::NoSuchImages {
                batch: indices.len(),
                outside,
                images,
            });
        }
        let step = self.state.progress.step;
        let tasks = blocks::tasks(&self.recipe, step, indices.len(), self.steps_per_pass());
        let moved = blocks::moved_blocks(&self.recipe, &tasks);
        let changes = self.augmentation(indices);
        let of_rows = |model: &NoProp, replica: &Replica, rows: Range<usize>| {
            let changes = changes.as_ref().map(|changes| changes.rows(rows.clone()));
            let (images, labels) = replica.batch(&indices[rows.clone()], changes);
            let of_task = |task: &blocks::Task| {
                let (images, labels) = (images.clone(), labels.clone());
                task.gradients(model, images, labels, rows.clone(), &replica.device)
            };
            Gradients::of_losses(model, tasks.iter().map(of_task).collect())
        };
        let model = &mut self.state.model;
        let gradients = self
            .sharding
            .gradients(model, indices.len(), &moved, of_rows);
        let block = match &tasks[..] {
            [task] => Some(task.block),
            _ => None,
        };
        self.update(gradients, indices.len(), block)
    }

    /// Takes one optimiser step on a batch that the caller made. The batch is not sharded, and its tensors must be on
    /// [`Self::device`].
    ///
    /// # Errors
    /// When the loss was read and is NaN or infinite.
    pub fn step_on(&mut self, batch: Batch) -> Result<StepReport, TrainError> {
        let (images, block) = (batch.images.dims()[0], batch.block);
        let gradients = Gradients::of(&self.state.model, batch);
        self.update(gradients, images, block)
    }

    /// Clips the gradients, takes the optimiser step, and updates the moving average and the counters. `gradients` are
    /// those of `images` images and, if one block was trained, of `block`, from 0.
    fn update(
        &mut self,
        gradients: Gradients,
        images: usize,
        block: Option<usize>,
    ) -> Result<StepReport, TrainError> {
        let config = &self.recipe.train;
        let steps = config.epochs * self.steps_per_epoch();
        let state = &mut self.state;
        let schedule = config.lr_schedule;
        let lr = schedule.at(state.progress.step, steps, config.warmup_steps, config.lr);

        let parameters = match config.clip_norm {
            Some(limit) => clip(&state.model, gradients.parameters, limit),
            None => gradients.parameters,
        };
        state.model = state.optimizer.step(lr, state.model.clone(), parameters);
        if let (Some(average), Some(decay)) = (state.average.take(), config.ema_decay) {
            let decay = decay_at(state.progress.step, decay);
            state.average = Some(moving_average(average, &state.model.valid(), decay));
        }

        state.progress.step += 1;
        state.progress.step_in_epoch += 1;
        state.progress.images_in_epoch += images;
        let (epoch, step) = (state.progress.epoch + 1, state.progress.step_in_epoch);
        if let Some(loss) = gradients.loss {
            self.unread = Some(match self.unread.take() {
                Some((sum, steps)) => (sum + loss, steps + 1),
                None => (loss, 1),
            });
        }
        let has_blocks = self.recipe.method.independent_blocks().is_some();
        Ok(StepReport {
            epoch,
            step,
            block: block.filter(|_| has_blocks).map(|block| block + 1),
            lr,
            // The first loss of all is what later ones are compared with.
            loss: match step.is_multiple_of(LOG_INTERVAL) || self.state.progress.step == 1 {
                true => self.read_loss()?,
                false => None,
            },
        })
    }

    /// Reads the mean loss of the steps since the last read; `None` if there were none. A GPU finishes those steps
    /// first, so a read after every step costs time.
    ///
    /// # Errors
    /// When the loss is NaN or infinite.
    pub fn read_loss(&mut self) -> Result<Option<LossValues>, TrainError> {
        let Some((sum, steps)) = self.unread.take() else {
            return Ok(None);
        };
        let sum = LossValues::read(sum);
        let progress = &mut self.state.progress;
        progress.add_loss(sum, steps);
        if !sum.total.is_finite() {
            return Err(TrainError::Diverged {
                value: sum.total,
                epoch: progress.epoch + 1,
                step: progress.step_in_epoch,
            });
        }
        Ok(Some(sum.per_step(steps)))
    }

    /// Ends the current epoch; then [`Self::batches`] gives the batches of the next epoch.
    ///
    /// # Errors
    /// When the loss is NaN or infinite.
    pub fn end_epoch(&mut self) -> Result<EpochReport, TrainError> {
        self.read_loss()?;
        // Otherwise the first steps train one block alone.
        let is_comparable = blocks::passes_per_epoch(&self.recipe) == 1;
        let progress = &mut self.state.progress;
        let report = EpochReport {
            epoch: progress.epoch + 1,
            loss: progress.loss_sum.per_step(progress.loss_steps),
            first_loss: progress.first_loss.filter(|_| is_comparable),
            images: progress.images_in_epoch,
        };
        progress.epoch += 1;
        progress.step_in_epoch = 0;
        progress.images_in_epoch = 0;
        progress.loss_sum = LossValues::default();
        progress.loss_steps = 0;
        Ok(report)
    }

    /// The accuracy of the present model on `split`, with the walks that the recipe asks for.
    ///
    /// # Errors
    /// When other runs train some of the blocks: a walk needs all of them.
    pub fn evaluate(&self, split: &DeviceSplit) -> Result<Accuracy, TrainError> {
        let classifier = self.classifier()?;
        let evaluator = Evaluator::on_device(&classifier, split, self.workers());
        Ok(evaluator.accuracy(&classifier.walk())?)
    }

    /// Makes the evaluations after epoch `epoch`, if they are due.
    fn evaluate_after(
        &self,
        epoch: usize,
        listen: &mut dyn FnMut(TrainEvent) -> Flow,
    ) -> Result<(), TrainError> {
        let is_last = epoch == self.recipe.train.epochs;
        let is_due = epoch.is_multiple_of(self.recipe.eval.every) || is_last;
        if !is_due || self.recipe.part().is_some() {
            return Ok(());
        }
        let inference = self.recipe.inference();
        let validation = self.validation().map(|split| (HeldOut::Validation, split));
        for (name, split) in validation.into_iter().chain([(HeldOut::Test, self.test())]) {
            let accuracy = self.evaluate(split)?;
            listen(TrainEvent::evaluated(epoch, name, &inference, accuracy));
        }
        Ok(())
    }

    /// The complete state of the training, from which [`Start::Checkpoint`](crate::Start::Checkpoint) continues.
    ///
    /// # Errors
    /// When the state cannot be serialised, or the loss is NaN or infinite.
    pub fn checkpoint(&mut self) -> Result<Checkpoint, TrainError> {
        self.read_loss()?;
        self.state.checkpoint()
    }

    fn checkpoint_event(&mut self) -> Result<TrainEvent, TrainError> {
        let checkpoint = Box::new(self.checkpoint()?);
        Ok(TrainEvent::Checkpointed {
            epoch: checkpoint.progress.epoch,
            step: checkpoint.progress.step,
            checkpoint,
        })
    }

    /// A classifier with the weights as they are now, which is asked as the recipe says.
    ///
    /// # Errors
    /// When other runs train some of the blocks.
    pub fn classifier(&self) -> Result<Classifier, TrainError> {
        Ok(Classifier::new(self.trained(), self.card.clone())?)
    }

    /// The present network, off the autodiff device, with averaged weights if the recipe asks for them.
    pub fn trained(&self) -> NoProp {
        self.state.trained()
    }

    /// The card for a file of the present weights.
    pub fn card(&self) -> &ModelCard {
        &self.card
    }

    /// The autodiff device that holds the weights.
    pub fn device(&self) -> &Device {
        &self.sharding.first().device
    }

    /// The threads that the batches are sharded over.
    pub fn workers(&self) -> &Workers {
        self.sharding.workers()
    }

    /// The images that are held out of the training images for validation, if there are any.
    pub fn validation(&self) -> Option<&DeviceSplit> {
        self.validation.as_ref()
    }

    /// The test images.
    pub fn test(&self) -> &DeviceSplit {
        &self.test
    }

    /// Number of training images, without those held out for validation.
    pub fn training_images(&self) -> usize {
        self.sharding.first().images.len()
    }

    fn steps_per_pass(&self) -> usize {
        self.training_images() / self.recipe.train.batch_size
    }

    fn steps_per_epoch(&self) -> usize {
        blocks::passes_per_epoch(&self.recipe) * self.steps_per_pass()
    }

    /// The random changes of the training images `indices` in the next step; `None` if the recipe asks for none. They
    /// depend only on the seed, the number of steps done and the images, so that a resumed run draws the same changes.
    fn augmentation(&self, indices: &[usize]) -> Option<Draws> {
        let config = self.recipe.data.augment;
        if config.is_off() {
            return None;
        }
        let (seed, step) = (self.recipe.train.seed, self.state.progress.step);
        let mut source = NoiseSource::new(seed, Purpose::Augmenting, step as u64);
        let size = self.sharding.first().images.size();
        let uniforms = source.uniform(indices.len() * UNIFORMS);
        let draws = Draws::new(config, size, &uniforms);
        Some(draws.in_pass(seed, step / self.steps_per_pass(), indices))
    }
}
