//! A stopped and resumed training is the uninterrupted one, to the bit; sharding is sound.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use burn::tensor::Device;
use noprop_core::backbone::{BackboneConfig, CnnConfig, Depth, ResNetConfig, Stem};
use noprop_core::config::HeadConfig;
use noprop_core::weights::{self, ModelCard, Precision};
use noprop_core::{ModelConfig, SamplerKind};
use noprop_data::augment::AugmentConfig;
use noprop_tests::mnist_subset;
use noprop_train::{
    Checkpoint, DataConfig, EvalConfig, Flow, Recipe, TrainConfig, TrainEvent, Trainer,
};

fn resnet() -> BackboneConfig {
    BackboneConfig::Resnet(ResNetConfig {
        depth: Depth::ResNet10,
        stem: Stem::Strided,
        width: 4,
    })
}

/// 3 steps an epoch.
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
            sampler: SamplerKind::Ddim,
            steps: 2,
            ..Default::default()
        },
        ..Default::default()
    }
}

fn trainer(recipe: &Recipe, threads: usize, checkpoint: Option<Checkpoint>) -> Trainer {
    Trainer::new(
        recipe.clone(),
        &mnist_subset(20).unwrap(),
        &Device::flex(),
        threads,
        checkpoint,
    )
    .unwrap()
}

/// Weights by name. Not the file's bytes: the order of its metadata is not fixed.
type Weights = BTreeMap<String, Vec<f32>>;

fn weights_of(trainer: &Trainer) -> Weights {
    let model = trainer.trained();
    let card = ModelCard {
        model: model.config().clone(),
        mean: vec![0.0],
        std: vec![1.0],
        classes: (0..10).map(|i| i.to_string()).collect(),
        dataset: "mnist".into(),
        blocks: None,
    };
    let bytes = weights::to_bytes(&model, &card, Precision::Full).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let weights = file.tensors().into_iter().map(|(name, tensor)| {
        let numbers = tensor.data().chunks_exact(4);
        let numbers = numbers.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        (name, numbers.collect())
    });
    weights.collect()
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
            TrainEvent::Step { step: 2, .. } => Flow::Stop,
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
        flip: true,
        rotation: 15.0,
        translation: 2,
        cutout: 8,
    };
    let dropout = recipe(
        BackboneConfig::Cnn(CnnConfig {
            width: 4,
            dropout: 0.2,
        }),
        2,
    );
    for (name, recipe, threads) in [
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
        // No tolerance: the same operations in the same order.
        assert!(
            whole == to_the_end(resumed),
            "{name}: the weights differ after resuming"
        );
    }
}

#[test]
fn augmentation_changes_what_is_trained() {
    let plain = recipe(resnet(), 1);
    let mut augmented = plain.clone();
    augmented.data.augment.flip = true;
    let weights = |recipe| to_the_end(trainer(recipe, 1, None));
    assert!(weights(&plain) != weights(&augmented));
}

/// Two devices that are both the CPU are two threads; a device more changes the order of sums.
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
    let on = |others: usize| {
        let others = vec![Device::flex(); others];
        let trainer = trainer(&recipe, 1, None).with_devices(&others).unwrap();
        to_the_end(trainer)
    };
    let threads = |count| to_the_end(trainer(&recipe, count, None));
    // No tolerance: the same operations in the same order.
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
    let result = Trainer::new(
        other,
        &mnist_subset(20).unwrap(),
        &Device::flex(),
        1,
        Some(checkpoint),
    );
    let message = result.err().expect("it must be refused").to_string();
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
