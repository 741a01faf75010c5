//! The timed parts of the work, on images with random pixels.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::Result;
use burn::tensor::Device;
use cubecl::logging::{LaunchObservation, LaunchObserver};
use noprop_core::noise::{NoiseSource, Purpose};
use noprop_core::weights::ModelCard;
use noprop_core::{Classifier, ModelConfig, NoProp, Walk, WalkError};
use noprop_data::{Dataset, DeviceSplit, Split};
use noprop_train::{Evaluator, Flow, Recipe, TrainEvent, Trainer, TrainerOptions, Workers};
use serde::Serialize;

/// A part of the work, timed several times.
#[derive(Debug, Serialize)]
pub struct Timing {
    /// Name of the part.
    pub what: String,
    /// Number of images that the part works on.
    pub images: usize,
    /// Seconds of each repetition.
    pub seconds: Vec<f64>,
    /// Kernel launches of each repetition; 0 on the CPU.
    pub launches: Vec<f64>,
}

/// The time and the kernel launches of one repetition.
struct Repetition {
    seconds: f64,
    launches: f64,
}

impl Timing {
    /// The median of the seconds.
    pub fn median(&self) -> f64 {
        middle(&self.seconds)
    }

    /// The median of the kernel launches.
    pub fn launches(&self) -> f64 {
        middle(&self.launches)
    }

    /// The seconds of the fastest repetition.
    pub fn fastest(&self) -> f64 {
        self.seconds.iter().copied().fold(f64::INFINITY, f64::min)
    }
}

fn middle(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// The model, the device and the number of repetitions of a measurement.
pub struct Bench<'a> {
    pub recipe: &'a Recipe,
    pub device: &'a Device,
    pub is_cpu: bool,
    pub workers: Workers,
    /// The number of repetitions before those that count; kernels are compiled and memory is allocated in them.
    pub warm_up: usize,
    /// The number of repetitions that count.
    pub repeats: usize,
}

impl Bench<'_> {
    /// Times a training step as `noprop train` takes it: batch, loss, gradients, optimiser.
    ///
    /// # Errors
    /// When the recipe cannot be trained.
    pub fn step(&self) -> Result<Vec<Timing>> {
        let batch_size = self.recipe.train.batch_size;
        // A GPU is still busy when a step returns; only a read of the loss waits for it. So on a GPU a repetition is
        // the mean of the steps between two reads.
        let steps_per_read = noprop_train::LOG_INTERVAL;
        let reads = self.warm_up + self.repeats;
        let steps = if self.is_cpu {
            reads
        } else {
            reads * steps_per_read
        };
        let dataset = random_dataset(&self.recipe.model, batch_size * steps)?;
        let options = TrainerOptions {
            threads: self.workers.count(),
            ..TrainerOptions::on(self.device.clone())
        };
        let mut trainer = Trainer::new(self.recipe.clone(), &dataset, options)?;

        let mut repetitions = Vec::new();
        let launches = Launches::new();
        let (mut last, mut launched, mut pending) = (Instant::now(), 0, 0);
        trainer.run(&mut |event| {
            let TrainEvent::Step(report) = event else {
                return Flow::Continue;
            };
            pending += 1;
            if self.is_cpu || report.loss.is_some() {
                let (now, count) = (Instant::now(), launches.count());
                repetitions.push(Repetition {
                    seconds: (now - last).as_secs_f64() / f64::from(pending),
                    launches: (count - launched) as f64 / f64::from(pending),
                });
                (last, launched, pending) = (now, count, 0);
            }
            if repetitions.len() < reads {
                Flow::Continue
            } else {
                Flow::Stop
            }
        })?;
        Ok(vec![self.timing("training step", batch_size, repetitions)])
    }

    /// Times the features of a batch of `images` images.
    ///
    /// # Errors
    /// When the recipe's model cannot be built.
    pub fn forward(&self, images: usize) -> Result<Vec<Timing>> {
        let (classifier, split) = self.classifier(images)?;
        let passes = self.repeat(|| {
            Evaluator::on_device(&classifier, &split, &self.workers).wait();
            Ok(())
        })?;
        Ok(vec![self.timing("forward", images, passes)])
    }

    /// Times the features of `images` images with their walks from noise to label in `steps` steps, and the walks
    /// alone.
    ///
    /// # Errors
    /// When the recipe's model cannot be built.
    pub fn solve(&self, images: usize, steps: usize) -> Result<Vec<Timing>> {
        let (classifier, split) = self.classifier(images)?;
        let method = &self.recipe.method;
        let walk = Walk {
            // A model with blocks walks in one step for each block.
            steps: method.blocks().unwrap_or(steps),
            seed: 0,
            ..self.recipe.eval_walk()
        };
        method.check_walk(&walk)?;
        let evaluator = Evaluator::on_device(&classifier, &split, &self.workers);
        let walks = self.repeat(|| evaluator.accuracy(&walk).map(drop))?;
        let whole = self.repeat(|| {
            let evaluator = Evaluator::on_device(&classifier, &split, &self.workers);
            evaluator.accuracy(&walk).map(drop)
        })?;
        let walk = format!("{}, T={}", walk.sampler, walk.steps);
        Ok(vec![
            self.timing(&format!("{walk}, with features"), images, whole),
            self.timing(&format!("{walk}, walks alone"), images, walks),
        ])
    }

    /// The recipe's model with initial weights, and random images on its device.
    fn classifier(&self, images: usize) -> Result<(Classifier, DeviceSplit)> {
        let (method, config) = (&self.recipe.method, &self.recipe.model);
        let dataset = random_dataset(config, images)?;
        let normalization = &dataset.normalization;
        let split = DeviceSplit::new(&dataset.train, normalization, config.input[0], self.device);
        let model = NoProp::new(method, config, 0, self.device)?;
        let card = ModelCard {
            method: method.clone(),
            model: config.clone(),
            normalization: dataset.normalization,
            classes: dataset.classes,
            dataset: dataset.name,
            blocks: None,
            inference: None,
        };
        Ok((Classifier::new(model, card)?, split))
    }

    fn repeat(&self, work: impl Fn() -> Result<(), WalkError>) -> Result<Vec<Repetition>> {
        let repetitions = (0..self.warm_up + self.repeats).map(|_| {
            let (launches, start) = (Launches::new(), Instant::now());
            work()?;
            Ok(Repetition {
                seconds: start.elapsed().as_secs_f64(),
                launches: launches.count() as f64,
            })
        });
        repetitions.collect()
    }

    fn timing(&self, what: &str, images: usize, repetitions: Vec<Repetition>) -> Timing {
        let counted = &repetitions[self.warm_up..];
        Timing {
            what: what.into(),
            images,
            seconds: counted.iter().map(|r| r.seconds).collect(),
            launches: counted.iter().map(|r| r.launches).collect(),
        }
    }
}

/// A counter of the kernel launches of this process; it counts as long as it lives. Burn's CPU backend launches no
/// kernels.
struct Launches {
    counter: Arc<Counter>,
    _observation: LaunchObservation,
}

#[derive(Default)]
struct Counter(AtomicUsize);

impl LaunchObserver for Counter {
    fn launched(&self, _kernel: &'static str) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Launches {
    /// Starts a count.
    fn new() -> Self {
        let counter = Arc::new(Counter::default());
        Self {
            _observation: LaunchObservation::new(counter.clone()),
            counter,
        }
    }

    /// The number of launches so far.
    fn count(&self) -> usize {
        self.counter.0.load(Ordering::Relaxed)
    }
}

/// A dataset of `count` training images and one test image, all with random pixels.
///
/// # Errors
/// When the model's input has no pixels.
fn random_dataset(model: &ModelConfig, count: usize) -> Result<Dataset> {
    let classes = (0..model.classes).map(|class| class.to_string());
    let (train, test) = (random_split(model, count)?, random_split(model, 1)?);
    Ok(Dataset::new("random pixels", classes, train, test)?)
}

/// A split of `count` images with random pixels, whose labels are all classes in turn.
///
/// # Errors
/// When the model's input has no pixels.
fn random_split(model: &ModelConfig, count: usize) -> Result<Split> {
    let pixels = count * model.input.iter().product::<usize>();
    let mut source = NoiseSource::new(0, Purpose::Training, 0);
    let images = source.uniform(pixels);
    Ok(Split::new(
        images.iter().map(|x| (x * 255.0) as u8).collect(),
        (0..count).map(|i| (i % model.classes) as u16).collect(),
        model.input,
        model.classes,
    )?)
}
