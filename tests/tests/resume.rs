//! A stopped and resumed training equals the uninterrupted one to the bit; sharding is correct.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use burn::tensor::Device;
use noprop_core::backbone::{AirbenchConfig, BackboneConfig, CnnConfig, Depth, ResNetConfig, Stem};
use noprop_core::config::HeadConfig;
use noprop_core::sampler::DDIM;
use noprop_core::weights;
use noprop_core::{ModelConfig, NoProp};
use noprop_data::augment::{AugmentConfig, Fill, Flip};
use noprop_tests::mnist_subset;
use noprop_train::{
    Checkpoint, DataConfig, EvalConfig, Flow, OptimizerKind, Recipe, Start, StepReport,
    TrainConfig, TrainError, TrainEvent, Trainer, TrainerOptions,
};

fn resnet() -> BackboneConfig {
    BackboneConfig::Resnet(ResNetConfig {
        depth: Depth::ResNet10,
        stem: Stem::Strided,
        width: 4,
    })
}

/// A recipe with 3 steps an epoch.
fn recipe(backbone: BackboneConfig, epochs: usize) -> Recipe {
    Recipe {
        model: ModelConfig {
            embed_dim: 16,
            time_dim: 8,
            backbone,
            head: HeadConfig {
                hidden: [16, 16],
                ..Default::default()
            },
            ..Default::default()
        },
        data: DataConfig {
            limit: Some(96),
            validation: 0,
            ..Default::default()
        },
        train: TrainConfig {
            epochs,
            batch_size: 32,
            ..Default::default()
        },
        eval: EvalConfig {
            sampler: Some(DDIM),
            steps: Some(2),
            ..Default::default()
        },
        ..Default::default()
    }
}

fn options(threads: usize, checkpoint: Option<Checkpoint>) -> TrainerOptions {
    TrainerOptions {
        threads,
        start: checkpoint.map_or(Start::Scratch, |checkpoint| {
            Start::Checkpoint(Box::new(checkpoint))
        }),
        ..TrainerOptions::on(Device::flex())
    }
}

fn trainer(recipe: &Recipe, threads: usize, checkpoint: Option<Checkpoint>) -> Trainer {
    let dataset = mnist_subset(20).unwrap();
    Trainer::new(recipe.clone(), &dataset, options(threads, checkpoint)).unwrap()
}

/// The weights of a network, by name.
type Weights = BTreeMap<String, Vec<f32>>;

fn weights_of(trainer: &Trainer) -> Weights {
    let weights = weights::parameters(&trainer.trained()).unwrap().into_iter();
    weights
        .map(|(name, tensor)| (name, tensor.values))
        .collect()
}

fn to_the_end(mut trainer: Trainer) -> Weights {
    trainer.run(&mut |_| Flow::Continue).unwrap();
    weights_of(&trainer)
}

/// The checkpoint of a run that is stopped after two of three steps.
fn stopped(recipe: &Recipe, threads: usize) -> Checkpoint {
    let mut checkpoint = None;
    trainer(recipe, threads, None)
        .run(&mut |event| match event {
            TrainEvent::Step(StepReport { step: 2, .. }) => Flow::Stop,
            TrainEvent::Checkpointed { checkpoint: c, .. } => {
                checkpoint = Some(*c);
                Flow::Continue
            }
            _ => Flow::Continue,
        })
        .unwrap();
    let checkpoint = checkpoint.expect("a stop hands out a checkpoint");
    assert_eq!(checkpoint.progress.step, 2);
    checkpoint
}

#[test]
fn a_resumed_run_is_the_uninterrupted_one() {
    let plain = recipe(resnet(), 2);
    let mut averaged = plain.clone();
    averaged.train.ema_decay = Some(0.9);
    averaged.train.clip_norm = Some(1.0);
    let mut augmented = plain.clone();
    augmented.data.augment = AugmentConfig {
        crop_padding: 4,
        flip: Flip::Random,
        rotation: 15.0,
        translation: 2,
        cutout: 8,
        ..Default::default()
    };
    let dropout = recipe(
        BackboneConfig::Cnn(CnnConfig {
            width: 4,
            dropout: 0.2,
        }),
        2,
    );
    let airbench = airbench();
    for (name, recipe, threads) in [
        ("airbench and Muon", &airbench, 1),
        ("airbench and Muon, two threads", &airbench, 2),
        ("plain", &plain, 1),
        ("two threads", &plain, 2),
        ("average and clipping", &averaged, 1),
        ("augmentation", &augmented, 1),
        ("augmentation, two threads", &augmented, 2),
        ("dropout", &dropout, 1),
        ("dropout, two threads", &dropout, 2),
    ] {
        let whole = to_the_end(trainer(recipe, threads, None));
        let resumed = trainer(recipe, threads, Some(stopped(recipe, threads)));
        // There is no tolerance: both runs do the same operations in the same order.
        assert!(
            whole == to_the_end(resumed),
            "{name}: the weights differ after resuming"
        );
    }
}

/// All that goes with airbench: the backbone, Muon, flips by epoch, mirrored places, a moving average.
fn airbench() -> Recipe {
    let backbone = BackboneConfig::Airbench(AirbenchConfig { width: 4 });
    let mut recipe = recipe(backbone, 2);
    recipe.train.optimizer = OptimizerKind::Muon;
    recipe.train.ema_decay = Some(0.9);
    recipe.train.decay_all = true;
    recipe.data.augment = AugmentConfig {
        flip: Flip::Alternating,
        translation: 2,
        fill: Fill::Reflect,
        scale: 0.1,
        shear: 5.0,
        stroke: 0.3,
        ..Default::default()
    };
    recipe
}

#[test]
fn the_whitening_layer_stays_as_the_images_made_it() {
    let recipe = airbench();
    let filters = |weights: &Weights| {
        let found = weights
            .iter()
            .find(|(name, _)| name.ends_with("whitening.weight"));
        found.map(|(_, values)| values.clone()).unwrap()
    };
    let new = trainer(&recipe, 2, None);
    let before = filters(&weights_of(&new));
    let dataset = mnist_subset(20).unwrap();
    let fresh = NoProp::new(&recipe.method, &recipe.model, 0, &Device::flex()).unwrap();
    let fresh = weights::parameters(&fresh).unwrap();
    assert!(fresh.iter().all(|(_, tensor)| tensor.values != before));
    // ± 4 filters of 2×2 pixels of one channel.
    assert_eq!(before.len(), 8 * 4);
    let trained = new.card().clone();
    let after = to_the_end(new);
    assert_eq!(filters(&after), before);

    // A training that starts from these weights keeps them, and so does its optimiser.
    let tensors = weights::parameters(&trainer(&recipe, 1, None).trained()).unwrap();
    let mut other = recipe.clone();
    other.data.limit = Some(64);
    let options = TrainerOptions {
        start: Start::Weights(tensors),
        ..TrainerOptions::on(Device::flex())
    };
    let again = Trainer::new(other, &dataset, options).unwrap();
    assert_eq!(again.card().model, trained.model);
    assert_eq!(filters(&weights_of(&again)), before);
    assert_eq!(filters(&to_the_end(again)), before);
}

#[test]
fn augmentation_changes_what_is_trained() {
    let plain = recipe(resnet(), 1);
    let mut augmented = plain.clone();
    augmented.data.augment.flip = Flip::Random;
    let weights = |recipe| to_the_end(trainer(recipe, 1, None));
    assert!(weights(&plain) != weights(&augmented));
}

/// Two devices that are both the CPU equal two threads; one more device changes the order of sums.
#[test]
fn devices_share_a_batch() {
    let mut recipe = recipe(
        BackboneConfig::Cnn(CnnConfig {
            width: 4,
            dropout: 0.2,
        }),
        1,
    );
    recipe.data.augment.crop_padding = 4;
    let dataset = mnist_subset(20).unwrap();
    let on = |others: usize| {
        let options = TrainerOptions {
            more_devices: vec![Device::flex(); others],
            ..options(1, None)
        };
        to_the_end(Trainer::new(recipe.clone(), &dataset, options).unwrap())
    };
    let threads = |count| to_the_end(trainer(&recipe, count, None));
    // There is no tolerance: both runs do the same operations in the same order.
    assert!(on(1) == threads(2) && on(2) == threads(3));
    let (one, two) = (threads(1), on(1));
    for (name, ours) in &one {
        let pairs = ours.iter().zip(&two[name]);
        let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // Three steps move a weight by up to 3e-3.
        assert!(worst <= 1e-4, "{name} differs by {worst}");
    }
}

#[test]
fn a_checkpoint_of_another_recipe_is_refused() {
    let ours = recipe(resnet(), 2);
    let checkpoint = stopped(&ours, 1);
    let mut other = ours.clone();
    other.train.lr *= 2.0;
    let dataset = mnist_subset(20).unwrap();
    let result = Trainer::new(other, &dataset, options(1, Some(checkpoint)));
    let error = result.err().expect("it must be refused");
    assert!(matches!(error, TrainError::OtherRecipe), "{error}");
    let message = error.to_string();
    assert!(message.contains("another configuration"), "{message}");
}

#[test]
fn two_threads_are_deterministic() {
    let recipe = recipe(resnet(), 1);
    let run = || to_the_end(trainer(&recipe, 2, None));
    assert!(run() == run(), "two runs on two threads differ");
}

#[test]
fn shards_make_the_same_step_as_the_whole_batch() {
    let cnn = BackboneConfig::Cnn(CnnConfig {
        width: 4,
        dropout: 0.2,
    });
    let mut recipe = recipe(cnn, 1);
    recipe.data.augment.crop_padding = 4;
    let values = |threads| to_the_end(trainer(&recipe, threads, None));
    let (one, two) = (values(1), values(2));
    assert_eq!(one.len(), two.len());
    // Only the order of sums differs; three steps move a weight by up to 3e-3.
    for (name, ours) in &one {
        let pairs = ours.iter().zip(&two[name]);
        let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= 1e-4, "{name} differs by {worst}");
    }
}

#[test]
fn a_loop_of_ones_own_is_the_trainers() {
    let recipe = recipe(resnet(), 2);
    let mut own = trainer(&recipe, 1, None);
    let mut checkpoint = None;
    for epoch in 1..=2 {
        for batch in own.batches() {
            let report = own.step(&batch).unwrap();
            assert_eq!(report.epoch, epoch);
            if epoch == 1 && report.step == 2 {
                checkpoint = Some(own.checkpoint().unwrap());
            }
        }
        assert_eq!(own.end_epoch().unwrap().images, 96);
    }
    let whole = weights_of(&own);
    // There is no tolerance: both runs do the same operations in the same order.
    assert!(whole == to_the_end(trainer(&recipe, 1, None)));
    // The checkpoint was made after two of the three batches of the first epoch.
    let mut resumed = trainer(&recipe, 1, checkpoint);
    assert_eq!(resumed.batches().count(), 1);
    resumed.run(&mut |_| Flow::Continue).unwrap();
    assert!(whole == weights_of(&resumed));
}

#[test]
fn a_step_on_images_that_are_not_there_is_refused() {
    let mut trainer = trainer(&recipe(resnet(), 1), 1, None);
    assert_eq!(trainer.training_images(), 96);
    for indices in [&[][..], &[0, 96]] {
        let error = trainer.step(indices).unwrap_err();
        assert!(matches!(error, TrainError::NoSuchImages { .. }), "{error}");
    }
    trainer.step(&[95]).unwrap();
}

#[test]
fn a_training_starts_from_the_weights_of_another() {
    let first = recipe(resnet(), 1);
    let mut trained = trainer(&first, 1, None);
    trained.run(&mut |_| Flow::Continue).unwrap();
    let start = || weights::parameters(&trained.trained()).unwrap();
    let mut second = first.clone();
    second.train.seed = 7;
    let options = |start| TrainerOptions {
        start: Start::Weights(start),
        ..options(1, None)
    };
    let dataset = mnist_subset(20).unwrap();
    let tuned = Trainer::new(second.clone(), &dataset, options(start())).unwrap();
    assert!(weights_of(&tuned) == weights_of(&trained));
    assert!(to_the_end(tuned) != weights_of(&trained));
    second.model.embed_dim = 8;
    second.model.head.hidden = [8, 8];
    let error = Trainer::new(second, &dataset, options(start())).err();
    assert!(matches!(error, Some(TrainError::Weights(_))), "{error:?}");
}
