//! Training by numbers: the moving average, clipping, and a loss that is not finite.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use noprop_core::backbone::{BackboneConfig, CnnConfig};
use noprop_core::config::HeadConfig;
use noprop_core::dropout::Dropout;
use noprop_core::method::{Batch, HostDraws};
use noprop_core::noise::{NoiseSource, Purpose};
use noprop_core::{Method, ModelConfig, NoProp};
use noprop_data::{Dataset, Split};

use crate::gradients::clip;
use crate::recipe::{DataConfig, EvalConfig, Recipe};
use crate::train_config::TrainConfig;
use crate::{Flow, TrainError, Trainer, TrainerOptions};

fn recipe() -> Recipe {
    Recipe {
        method: Method::default(),
        model: ModelConfig {
            classes: 2,
            input: [1, 4, 4],
            embed_dim: 4,
            time_dim: 4,
            backbone: BackboneConfig::Cnn(CnnConfig {
                width: 2,
                dropout: 0.0,
            }),
            head: HeadConfig {
                hidden: [4, 4],
                batch_norm: false,
            },
            ..Default::default()
        },
        data: DataConfig {
            validation: 0,
            ..Default::default()
        },
        train: TrainConfig {
            epochs: 1,
            batch_size: 2,
            lr: 1e-2,
            ..Default::default()
        },
        eval: EvalConfig {
            steps: Some(1),
            ..Default::default()
        },
    }
}

/// A trainer on 2·`batches` images in batches of two.
fn trainer(recipe: &Recipe, batches: usize) -> Trainer {
    let split = |count: usize| {
        let pixels = (0..count * 16).map(|i| (i * 37 % 251) as u8).collect();
        let labels = (0..count).map(|i| (i % 2) as u16).collect();
        Split::new(pixels, labels, [1, 4, 4], 2).unwrap()
    };
    let dataset = Dataset::new("dots", ["a", "b"], split(2 * batches), split(2)).unwrap();
    Trainer::new(recipe.clone(), &dataset, TrainerOptions::on(Device::flex())).unwrap()
}

/// All parameters of a network in a row.
fn weights(model: &NoProp) -> Vec<f64> {
    struct Collect(Vec<f64>);
    impl ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(param.val().into_data().iter::<f64>());
        }
    }
    let mut collect = Collect(Vec::new());
    model.visit(&mut collect);
    collect.0
}

/// The average by its recursion in f64, from the weights of the same training without an average.
#[test]
fn the_moving_average_is_that_of_the_weights_after_each_step() {
    const STEPS: usize = 12;
    for limit in [0.5, 0.15] {
        let plain = recipe();
        let mut averaged = recipe();
        averaged.train.ema_decay = Some(limit);
        let mut plain = trainer(&plain, STEPS);
        let mut averaged = trainer(&averaged, STEPS);
        let mut expected = weights(&plain.trained());
        for (n, batch) in plain.batches().enumerate() {
            plain.step(&batch).unwrap();
            averaged.step(&batch).unwrap();
            // With few steps behind it the average forgets its random start faster.
            let decay = f64::min(limit, (1 + n) as f64 / (10 + n) as f64);
            for (mean, new) in expected.iter_mut().zip(weights(&plain.trained())) {
                *mean = decay * *mean + (1.0 - decay) * new;
            }
        }
        let pairs = weights(&averaged.trained()).into_iter().zip(expected);
        let error = |(a, b): (f64, f64)| (a - b).abs() / b.abs().max(1.0);
        let worst = pairs.map(error).fold(0.0, f64::max);
        // A few f32 roundings in each step; a step moves a weight by 1e-2. The output head has numbers of 1,000.
        assert!(worst < 3e-6, "{limit}: {worst}");
    }
}

/// Gradients with one value for every entry: their norm is that value times √n.
#[test]
fn clipping_scales_all_gradients_to_the_norm() {
    struct Fill(GradientsParams, f64);
    impl ModuleVisitor for Fill {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let gradient = param.val().zeros_like().add_scalar(self.1);
            self.0.register::<D>(param.id, gradient);
        }
    }
    struct Read(GradientsParams, Vec<f64>);
    impl ModuleVisitor for Read {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let gradient = self.0.get::<D>(param.id).unwrap();
            self.1.extend(gradient.into_data().iter::<f64>());
        }
    }
    let recipe = recipe();
    let model = NoProp::new(&recipe.method, &recipe.model, 1, &Device::flex()).unwrap();
    let count = weights(&model).len() as f64;
    // Entries of 0.25 have a norm of √n/4: the limit 3/4 of it scales by 3/4, a larger one changes nothing.
    let norm = 0.25 * count.sqrt();
    for (limit, expected) in [
        (0.75 * norm, 0.1875),
        (0.01 * norm, 0.0025),
        (1.5 * norm, 0.25),
    ] {
        let mut fill = Fill(GradientsParams::new(), 0.25);
        model.visit(&mut fill);
        let mut read = Read(clip(&model, fill.0, limit), Vec::new());
        model.visit(&mut read);
        assert_eq!(read.1.len() as f64, count);
        for value in read.1 {
            // The norm is a sum of some hundred squares in f32, and 1e-6 is added to it.
            assert!(
                (value / expected - 1.0).abs() < 1e-5,
                "{limit}: {value}, not {expected}"
            );
        }
    }
}

/// A loss that is not a number ends the training with the epoch and step at which it was read: every twentieth step
/// of an epoch, and its last.
#[test]
fn a_loss_that_is_not_finite_is_reported_with_its_step() {
    for (batches, expected) in [(30, 20), (7, 7)] {
        let mut recipe = recipe();
        recipe.train.epochs = 3;
        let mut trainer = trainer(&recipe, batches);
        for batch in trainer.batches() {
            trainer.step(&batch).unwrap();
        }
        trainer.end_epoch().unwrap();
        // The first step of the second epoch sees pixels that are not numbers.
        let mut source = NoiseSource::new(1, Purpose::Training, 0);
        let device = trainer.device().clone();
        let batch = Batch {
            images: Tensor::full([2, 1, 4, 4], f64::NAN, &device),
            labels: Tensor::from_data([0, 1], &device),
            draws: HostDraws::new(&mut source, 2, 2, &recipe.method).upload(0..2, &device),
            dropout: Dropout::Off,
            block: None,
        };
        trainer.step_on(batch).unwrap();
        let error = trainer.run(&mut |_| Flow::Continue).unwrap_err();
        let TrainError::Diverged { value, epoch, step } = error else {
            panic!("{error}")
        };
        assert!(value.is_nan(), "{value}");
        assert_eq!((epoch, step), (2, expected));
    }
}
