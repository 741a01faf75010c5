//! NoProp-DT in training: resumption, the parts that a step leaves unchanged, and blocks that are trained apart.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use burn::tensor::Device;
use noprop_core::backbone::{BackboneConfig, CnnConfig};
use noprop_core::config::HeadConfig;
use noprop_core::embedding::ClassEmbeddingConfig;
use noprop_core::method::Dt;
use noprop_core::sampler::{ANCESTRAL, HEUN};
use noprop_core::weights::{self, Precision};
use noprop_core::{Method, ModelConfig};
use noprop_data::augment::AugmentConfig;
use noprop_tests::mnist_subset;
use noprop_train::{
    BlockOrder, Checkpoint, DataConfig, EvalConfig, Flow, Recipe, Start, TrainConfig, TrainEvent,
    Trainer, TrainerOptions,
};

const STEPS: usize = 3;
const ORDERS: [BlockOrder; 3] = [BlockOrder::Paper, BlockOrder::Random, BlockOrder::Parallel];

/// A recipe with 2 steps a pass and 3 blocks; `dropout` is the backbone's.
fn recipe(order: BlockOrder, dropout: f64) -> Recipe {
    Recipe {
        method: Method::Dt(Dt {
            steps: STEPS,
            ..Default::default()
        }),
        model: ModelConfig {
            embed_dim: 8,
            backbone: BackboneConfig::Cnn(CnnConfig { width: 2, dropout }),
            head: HeadConfig {
                hidden: [8, 8],
                batch_norm: true,
            },
            ..Default::default()
        },
        data: DataConfig {
            limit: Some(66),
            validation: 0,
            augment: AugmentConfig {
                translation: 2,
                ..Default::default()
            },
            ..Default::default()
        },
        train: TrainConfig {
            epochs: 2,
            batch_size: 33,
            block_order: Some(order),
            ..Default::default()
        },
        eval: EvalConfig {
            sampler: Some(ANCESTRAL),
            steps: Some(STEPS),
            ..Default::default()
        },
    }
}

fn trainer(recipe: &Recipe, threads: usize, checkpoint: Option<Checkpoint>) -> Trainer {
    let dataset = mnist_subset(20).unwrap();
    let options = TrainerOptions {
        threads,
        start: checkpoint.map_or(Start::Scratch, |checkpoint| {
            Start::Checkpoint(Box::new(checkpoint))
        }),
        ..TrainerOptions::on(Device::flex())
    };
    Trainer::new(recipe.clone(), &dataset, options).unwrap()
}

fn file_of(trainer: &Trainer) -> Vec<u8> {
    weights::to_bytes(&trainer.trained(), trainer.card(), Precision::Full).unwrap()
}

fn trained(recipe: &Recipe, threads: usize) -> Vec<u8> {
    let mut trainer = trainer(recipe, threads, None);
    trainer.run(&mut |_| Flow::Continue).unwrap();
    file_of(&trainer)
}

/// The bytes of each tensor in a weights file, by name.
fn tensors(file: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let file = safetensors::SafeTensors::deserialize(file).unwrap();
    let tensors = file.tensors().into_iter();
    tensors
        .map(|(name, tensor)| (name, tensor.data().to_vec()))
        .collect()
}

#[test]
fn a_resumed_run_is_the_uninterrupted_one() {
    for order in ORDERS {
        let mut recipe = recipe(order, 0.2);
        recipe.train.ema_decay = Some(0.9);
        let whole = trained(&recipe, 1);
        // The run stops in the second pass of the first epoch, if there is one.
        let last = if order == BlockOrder::Parallel { 1 } else { 3 };
        let mut checkpoint = None;
        trainer(&recipe, 1, None)
            .run(&mut |event| match event {
                TrainEvent::Step(report) if report.step == last => Flow::Stop,
                TrainEvent::Checkpointed { checkpoint: c, .. } => {
                    checkpoint = Some(*c);
                    Flow::Continue
                }
                _ => Flow::Continue,
            })
            .unwrap();
        let mut resumed = trainer(&recipe, 1, checkpoint);
        resumed.run(&mut |_| Flow::Continue).unwrap();
        // There is no tolerance: both runs do the same operations in the same order.
        assert!(file_of(&resumed) == whole, "{order}");
    }
}

#[test]
fn a_step_leaves_the_other_blocks_alone() {
    // There are two threads and uneven shards: running statistics of the other blocks must not be averaged.
    let mut recipe = recipe(BlockOrder::Paper, 0.0);
    recipe.train.weight_decay = 0.1;
    let start = tensors(&file_of(&trainer(&recipe, 2, None)));
    let mut trainer = trainer(&recipe, 2, None);
    let mut seen = Vec::new();
    trainer
        .run(&mut |event| match event {
            TrainEvent::Step(report) => {
                seen.push(report.block.unwrap());
                if report.step == 3 {
                    Flow::Stop
                } else {
                    Flow::Continue
                }
            }
            _ => Flow::Continue,
        })
        .unwrap();
    assert_eq!(seen, [1, 1, 2]);
    for (name, bytes) in tensors(&file_of(&trainer)) {
        let same = start[&name] == bytes;
        if name.starts_with("blocks.2.") || name.starts_with("class_embedding") {
            assert!(same, "{name} has moved");
        } else if name.ends_with("weight") || name.ends_with("running_mean") {
            assert!(!same, "{name} has not moved");
        }
    }
}

#[test]
fn every_order_trains_every_block() {
    for (order, steps) in [
        (BlockOrder::Paper, 6),
        (BlockOrder::Random, 6),
        (BlockOrder::Parallel, 2),
    ] {
        let mut recipe = recipe(order, 0.0);
        recipe.train.epochs = 4;
        let mut blocks = [0; STEPS];
        let mut epochs = 0;
        trainer(&recipe, 1, None)
            .run(&mut |event| {
                match event {
                    TrainEvent::Started {
                        steps_per_epoch, ..
                    } => assert_eq!(steps_per_epoch, steps),
                    TrainEvent::Step(report) => {
                        if let Some(block) = report.block {
                            blocks[block - 1] += 1;
                        }
                    }
                    TrainEvent::Epoch(report) => {
                        epochs += 1;
                        assert_eq!(report.images, steps * 33);
                        let loss = report.loss;
                        let sum = loss.ce + loss.kl + loss.denoise;
                        assert!((loss.total - sum).abs() < 1e-4 * loss.total);
                    }
                    _ => {}
                }
                Flow::Continue
            })
            .unwrap();
        assert_eq!(epochs, 4);
        match order {
            BlockOrder::Paper => assert_eq!(blocks, [8; STEPS]),
            // Of 24 draws among 3 blocks, fewer than 2 of one block have a probability below 0.3 %.
            BlockOrder::Random => assert!(blocks.iter().all(|&n| n > 1), "{blocks:?}"),
            BlockOrder::Parallel => assert_eq!(blocks, [0; STEPS]),
        }
    }
}

#[test]
fn blocks_trained_apart_make_the_model_trained_together() {
    for (order, dropout, threads) in [
        (BlockOrder::Paper, 0.2, 1),
        (BlockOrder::Random, 0.2, 1),
        (BlockOrder::Parallel, 0.2, 1),
        (BlockOrder::Parallel, 0.2, 2),
    ] {
        let mut whole = recipe(order, dropout);
        whole.train.ema_decay = Some(0.5);
        let together = trained(&whole, threads);
        let parts = ["2-3", "1"].map(|blocks| {
            let mut part = whole.clone();
            part.train.blocks = Some(blocks.parse().unwrap());
            let file = trained(&part, threads);
            let (model, card) = weights::from_bytes(file, &Device::flex()).unwrap();
            assert!(card.check_complete().is_err());
            (blocks.to_owned(), model, card)
        });
        let (model, card) = weights::merge(parts.into()).unwrap();
        let merged = weights::to_bytes(&model, &card, Precision::Full).unwrap();
        // There is no tolerance, and the card is compared, too: these are whole files.
        assert!(
            merged == together,
            "{order}, dropout {dropout}, {threads} threads"
        );
    }
}

#[test]
fn parts_of_different_runs_are_refused() {
    let part = |blocks: &str, seed: u64| {
        let mut recipe = recipe(BlockOrder::Paper, 0.0);
        recipe.train.blocks = Some(blocks.parse().unwrap());
        recipe.train.epochs = 1;
        recipe.train.seed = seed;
        let (model, card) = weights::from_bytes(trained(&recipe, 1), &Device::flex()).unwrap();
        (blocks.to_owned(), model, card)
    };
    let result = weights::merge(vec![part("1", 0), part("2-3", 1)]);
    let message = result.map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("seed"), "{message}");
}

#[test]
fn nonsense_is_refused() {
    let mut wrong = recipe(BlockOrder::Paper, 0.0);
    wrong.train.blocks = Some("2-4".parse().unwrap());
    let message = |recipe: &Recipe| recipe.validate().unwrap_err().to_string();
    assert!(message(&wrong).contains("the model has blocks 1-3"));
    wrong.train.blocks = Some("1-2".parse().unwrap());
    wrong.validate().unwrap();
    wrong.train.clip_norm = Some(1.0);
    assert!(message(&wrong).contains("clip_norm"));
    wrong.train.clip_norm = None;
    wrong.model.class_embedding = ClassEmbeddingConfig::Learned {
        dim: None,
        init: Default::default(),
    };
    assert!(message(&wrong).contains("learned class embeddings"));
    let mut ct = Recipe::default();
    ct.validate().unwrap();
    ct.train.blocks = Some("1".parse().unwrap());
    assert!(message(&ct).contains("method.kind \"dt\""));
    let mut walk = recipe(BlockOrder::Paper, 0.0);
    walk.eval.steps = Some(4);
    assert!(message(&walk).contains("T = 3"));
    walk.eval.steps = Some(STEPS);
    walk.eval.sampler = Some(HEUN);
    assert!(message(&walk).contains("ddim or ancestral"));
}
