//! The paper's baselines learn, with the same blocks and the same trainer as NoProp.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use burn::tensor::Device;
use noprop_core::backbone::{BackboneConfig, CnnConfig};
use noprop_core::config::HeadConfig;
use noprop_core::method::{Adjoint, Backprop};
use noprop_core::weights;
use noprop_core::{Method, ModelConfig};
use noprop_tests::mnist_subset;
use noprop_train::{
    DataConfig, EvalConfig, Evaluator, Flow, Recipe, TrainConfig, Trainer, TrainerOptions, Workers,
};

const STEPS: usize = 4;

fn recipe(method: Method) -> Recipe {
    let batch_norm = method.blocks().is_some();
    Recipe {
        method,
        model: ModelConfig {
            embed_dim: 32,
            time_dim: 8,
            backbone: BackboneConfig::Cnn(CnnConfig {
                width: 4,
                dropout: 0.1,
            }),
            head: HeadConfig {
                hidden: [32, 16],
                batch_norm,
            },
            ..Default::default()
        },
        data: DataConfig {
            limit: Some(3200),
            validation: 0,
            ..Default::default()
        },
        train: TrainConfig {
            epochs: 2,
            batch_size: 64,
            lr: 3e-3,
            ..Default::default()
        },
        eval: EvalConfig {
            steps: Some(STEPS),
            ..Default::default()
        },
    }
}

fn backprop() -> Recipe {
    recipe(Method::Backprop(Backprop {
        steps: STEPS,
        ..Default::default()
    }))
}

fn adjoint() -> Recipe {
    recipe(Method::Adjoint(Adjoint {
        steps: STEPS,
        ..Default::default()
    }))
}

fn trained(recipe: &Recipe, threads: usize) -> Trainer {
    let dataset = mnist_subset(500).unwrap();
    let options = TrainerOptions {
        threads,
        ..TrainerOptions::on(Device::flex())
    };
    let mut trainer = Trainer::new(recipe.clone(), &dataset, options).unwrap();
    trainer.run(&mut |_| Flow::Continue).unwrap();
    trainer
}

#[test]
fn they_learn() {
    let dataset = mnist_subset(500).unwrap();
    let workers = Workers::new(1).unwrap();
    for recipe in [backprop(), adjoint()] {
        let classifier = trained(&recipe, 2).classifier().unwrap();
        let evaluator = Evaluator::new(&classifier, &dataset.test, &workers).unwrap();
        let percent = evaluator.accuracy(&classifier.walk()).unwrap().percent();
        println!("{:?}: {percent} %", recipe.method);
        // Chance is 10 %, with a standard deviation of 1.3 % on 500 images.
        assert!(percent > 60.0, "{:?}: {percent} %", recipe.method);
    }
}

/// The baseline has one loss for all blocks, so shards must average the statistics of all blocks, not of one.
#[test]
fn shards_keep_the_statistics_of_every_block() {
    let mut short = backprop();
    short.data.limit = Some(128);
    short.train.epochs = 1;
    let model = trained(&short, 2).trained();
    let parameters = weights::parameters(&model).unwrap();
    let means = parameters
        .iter()
        .filter(|(name, _)| name.ends_with("running_mean"));
    let mut count = 0;
    for (name, tensor) in means {
        assert!(
            tensor.values.iter().any(|&x| x != 0.0),
            "{name} has not moved"
        );
        count += 1;
    }
    assert!(count >= STEPS, "{count}");
}

#[test]
fn their_blocks_are_not_trained_apart() {
    let mut part = backprop();
    part.train.blocks = Some("1-2".parse().unwrap());
    let message = part.validate().unwrap_err().to_string();
    assert!(message.contains("one loss"), "{message}");
}
