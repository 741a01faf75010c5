//! Micro-benchmarks on the CPU: `cargo bench --workspace --bench speed`, with a filter such as
//! `-- sampler`. `noprop bench` times any device, `cargo xtask bench` compares with PyTorch.

use std::hint::black_box;

use burn::tensor::{Device, Tensor};
use divan::Bencher;
use divan::counter::ItemsCount;
use noprop_core::backbone::{BackboneConfig, Depth, ResNetConfig, Stem};
use noprop_core::{Method, ModelConfig, NoProp, Normalization, ProcessKind, Sampler, Walk};
use noprop_data::{DeviceSplit, Split};
use noprop_tests::mnist_subset;
use noprop_train::{DataConfig, Recipe, TrainConfig, Trainer, TrainerOptions};

const BATCH: usize = 128;
/// The number of training steps in a sample.
const STEPS: usize = 10;

fn main() {
    divan::main();
}

/// A model with the backbone of `mnist-small`, and one with a ResNet-18.
fn models() -> [ModelConfig; 2] {
    let resnet = |depth, stem, width| BackboneConfig::Resnet(ResNetConfig { depth, stem, width });
    [
        resnet(Depth::ResNet10, Stem::Strided, 24),
        resnet(Depth::ResNet18, Stem::Imagenet, 64),
    ]
    .map(|backbone| ModelConfig {
        backbone,
        ..Default::default()
    })
}

fn trainer(model: &ModelConfig, threads: usize) -> Trainer {
    let recipe = Recipe {
        model: model.clone(),
        data: DataConfig {
            validation: 0,
            ..Default::default()
        },
        train: TrainConfig {
            batch_size: BATCH,
            ..Default::default()
        },
        ..Default::default()
    };
    let dataset = mnist_subset(1).expect("the embedded subset");
    let options = TrainerOptions {
        threads,
        ..TrainerOptions::on(Device::flex())
    };
    Trainer::new(recipe, &dataset, options).expect("a valid recipe")
}

fn train(mut trainer: Trainer) -> Trainer {
    for batch in trainer.batches().take(STEPS) {
        trainer.step(&batch).expect("a finite loss");
    }
    trainer
}

#[divan::bench(args = [1, 2], sample_count = 10)]
fn step_resnet10(bencher: Bencher, threads: usize) {
    step(bencher, 0, threads);
}

#[divan::bench(args = [1, 2], sample_count = 5)]
fn step_resnet18(bencher: Bencher, threads: usize) {
    step(bencher, 1, threads);
}

fn step(bencher: Bencher, model: usize, threads: usize) {
    let trainer = || trainer(&models()[model], threads);
    bencher
        .counter(ItemsCount::new(STEPS * BATCH))
        .with_inputs(trainer)
        .bench_values(train);
}

#[divan::bench(args = [0, 1], sample_count = 20)]
fn forward(bencher: Bencher, model: usize) {
    let device = Device::flex();
    let model =
        NoProp::new(&Method::default(), &models()[model], 0, &device).expect("a valid model");
    let images = Tensor::<4>::ones([BATCH, 1, 28, 28], &device);
    bencher
        .counter(ItemsCount::new(BATCH))
        .bench(|| model.features(images.clone()));
}

/// Times the walks of a batch in ten steps.
#[divan::bench(args = Sampler::serving(ProcessKind::Diffusion))]
fn sampler(bencher: Bencher, sampler: &Sampler) {
    let device = Device::flex();
    let model = NoProp::new(&Method::default(), &models()[1], 0, &device).expect("a valid model");
    let features = model.features(Tensor::ones([BATCH, 1, 28, 28], &device));
    let walk = Walk::new(*sampler, 10);
    bencher
        .counter(ItemsCount::new(BATCH))
        .bench(|| model.walk(black_box(&features), &walk, 0));
}

/// Times the selection, unpacking and normalisation of a batch.
#[divan::bench]
fn batch_of_data(bencher: Bencher) {
    let split = Split {
        images: (0..6000 * 28 * 28).map(|i| (i % 251) as u8).collect(),
        labels: (0..6000).map(|i| i % 10).collect(),
        shape: [1, 28, 28],
    };
    let normalization = Normalization {
        mean: vec![0.1307],
        std: vec![0.3081],
    };
    let indices: Vec<usize> = (0..BATCH).map(|i| i * 41 % 6000).collect();
    let on_device = DeviceSplit::new(&split, &normalization, 3, &Device::flex());
    bencher
        .counter(ItemsCount::new(BATCH))
        .bench(|| on_device.batch(black_box(&indices)));
}
