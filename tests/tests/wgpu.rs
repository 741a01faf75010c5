//! Burn's wgpu backend against the CPU: features, logits, walks and a training step.
//!
//! The test runs on a software Vulkan driver, so that it needs no GPU.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use burn::tensor::{Device, DeviceKind, Tensor, TensorData};
use noprop_core::backbone::{BackboneConfig, CnnConfig, Depth, ResNetConfig, Stem};
use noprop_core::config::HeadConfig;
use noprop_core::noise::{NoiseSource, Purpose};
use noprop_core::sampler::{DDIM, HEUN};
use noprop_core::weights::{self, ModelCard, Precision};
use noprop_core::{Method, ModelConfig, NoProp, Normalization, Walk, predicted_class};
use noprop_data::augment::{AugmentConfig, Draws, Flip, UNIFORMS};
use noprop_data::{Dataset, DeviceSplit};
use noprop_tests::{has_software_vulkan, mnist_subset};
use noprop_train::{Checkpoint, DataConfig, Recipe, Start, TrainConfig, Trainer, TrainerOptions};

const BATCH: usize = 4;

fn config(backbone: BackboneConfig) -> ModelConfig {
    ModelConfig {
        embed_dim: 16,
        time_dim: 8,
        backbone,
        head: HeadConfig {
            hidden: [16, 16],
            batch_norm: false,
        },
        ..Default::default()
    }
}

fn to_bytes(model: &NoProp) -> Vec<u8> {
    let card = ModelCard {
        method: model.method().clone(),
        model: model.config().clone(),
        normalization: Normalization {
            mean: vec![0.0],
            std: vec![1.0],
        },
        classes: (0..10).map(|i| i.to_string()).collect(),
        dataset: "mnist".into(),
        blocks: None,
        inference: None,
    };
    weights::to_bytes(model, &card, Precision::Full).unwrap()
}

fn values(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

fn assert_near(what: &str, a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len(), "{what}");
    let pairs = a.iter().zip(b);
    let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("{what}: largest difference {worst:e}");
    assert!(
        worst <= tolerance && b.iter().all(|v| v.is_finite()),
        "{what}: {worst} is above {tolerance}"
    );
}

/// Features and logits, and for each sampler z_1 and class scores, each with a name.
fn inference(bytes: &[u8], device: &Device) -> Vec<(String, Vec<f32>)> {
    let (model, _) = weights::from_bytes(bytes.to_vec(), device).unwrap();
    let mut source = NoiseSource::new(3, Purpose::Training, 0);
    let images = TensorData::new(source.normal(BATCH * 784), [BATCH, 1, 28, 28]);
    let features = model.features(Tensor::from_data(images, device));
    let dim = model.config().latent_dim();
    let z = TensorData::new(source.normal(BATCH * dim), [BATCH, dim]);
    let t = TensorData::new(source.uniform(BATCH), [BATCH, 1]);
    let z = Tensor::from_data(z, device);
    let t = Tensor::from_data(t, device);
    let logits = model.estimate_at_step(&features, z, 0, t).logits;
    let mut out = vec![
        ("features".to_owned(), values(features.values.clone())),
        ("logits".to_owned(), values(logits)),
    ];
    for sampler in [DDIM, HEUN] {
        let walk = Walk::new(sampler, 5);
        let z_1 = model.walk(&features, &walk, 0).unwrap();
        out.push((format!("{sampler} z_1"), values(z_1.clone())));
        out.push((
            format!("{sampler} scores"),
            values(model.readout(&features, z_1)),
        ));
    }
    out
}

fn classes(scores: &[f32]) -> Vec<usize> {
    scores.chunks(10).map(predicted_class).collect()
}

fn compare_inference(name: &str, backbone: BackboneConfig, cpu: &Device, gpu: &Device) {
    let bytes = to_bytes(&NoProp::new(&Method::default(), &config(backbone), 1, cpu).unwrap());
    let (ours, theirs) = (inference(&bytes, cpu), inference(&bytes, gpu));
    for ((what, a), (_, b)) in ours.iter().zip(&theirs) {
        // The tolerance covers f32 sums in another order; a walk of five steps amplifies the difference.
        let walk = what.contains(' ');
        let tolerance = if walk { 1e-3 } else { 1e-4 };
        assert_near(&format!("{name} {what}"), a, b, tolerance);
        if what.ends_with("scores") {
            assert_eq!(classes(a), classes(b), "{name} {what}");
        }
    }
}

/// Takes one step from `start`, sharded over `devices`. Returns the loss terms, and the weights by name.
fn one_step(
    recipe: &Recipe,
    dataset: &Dataset,
    devices: &[&Device],
    start: Checkpoint,
) -> (Vec<f32>, BTreeMap<String, Vec<f32>>) {
    let options = TrainerOptions {
        more_devices: devices[1..].iter().copied().cloned().collect(),
        start: Start::Checkpoint(Box::new(start)),
        ..TrainerOptions::on(devices[0].clone())
    };
    let mut trainer = Trainer::new(recipe.clone(), dataset, options).unwrap();
    let batch = trainer.batches().next().unwrap();
    let report = trainer.step(&batch).unwrap();
    // The loss of the first step of a training is read in the step.
    let sum = report.loss.or(trainer.read_loss().unwrap()).unwrap();
    let loss = vec![sum.total, sum.ce, sum.kl, sum.denoise];
    let bytes = to_bytes(&trainer.trained());
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let weights = file.tensors().into_iter().map(|(name, tensor)| {
        let numbers = tensor.data().chunks_exact(4);
        let numbers = numbers.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        (name, numbers.collect())
    });
    (loss, weights.collect())
}

/// Compares a step on `devices` with one on `cpu`.
fn compare_training(cpu: &Device, devices: &[&Device]) {
    let recipe = Recipe {
        model: config(cnn()),
        data: DataConfig {
            limit: Some(2 * BATCH),
            validation: 0,
            ..Default::default()
        },
        train: TrainConfig {
            epochs: 1,
            batch_size: BATCH,
            lr: 1e-2,
            ..Default::default()
        },
        ..Default::default()
    };
    let dataset = mnist_subset(10).unwrap();
    let options = TrainerOptions::on(cpu.clone());
    let mut start = Trainer::new(recipe.clone(), &dataset, options).unwrap();
    let start = start.checkpoint().unwrap();
    let (loss, weights) = one_step(&recipe, &dataset, &[cpu], start.clone());
    let (loss_gpu, weights_gpu) = one_step(&recipe, &dataset, devices, start);
    for (a, b) in loss.iter().zip(&loss_gpu) {
        println!("loss term {a} and {b}");
        assert!((a - b).abs() <= 1e-3 * a.abs().max(1e-3), "{a} and {b}");
    }
    let (mut all, mut far) = (0, 0);
    for (name, ours) in &weights {
        // Adam's first step is lr · sign(g). If g is only rounding, its sign may differ, which is a difference of 2 lr.
        assert_near(name, ours, &weights_gpu[name], 2.1e-2);
        let pairs = ours.iter().zip(&weights_gpu[name]);
        far += pairs.filter(|(a, b)| (*a - *b).abs() > 1e-3).count();
        all += ours.len();
    }
    assert!(far * 100 <= all, "{far} of {all} weights differ by > 1e-3");
}

fn compare_augmentation(cpu: &Device, gpu: &Device) {
    let dataset = mnist_subset(16).unwrap();
    let indices: Vec<usize> = (0..16).collect();
    let uniforms = NoiseSource::new(5, Purpose::Augmenting, 0).uniform(16 * UNIFORMS);
    let moves = AugmentConfig {
        crop_padding: 4,
        flip: Flip::Random,
        translation: 2,
        cutout: 8,
        ..Default::default()
    };
    let turned = AugmentConfig {
        rotation: 15.0,
        ..moves
    };
    for (config, allowed) in [(moves, 0), (turned, 16 * 784 / 1000)] {
        let draws = Draws::new(config, [28, 28], &uniforms);
        let images = |device: &Device| {
            let split = DeviceSplit::new(&dataset.test, &dataset.normalization, 1, device);
            values(split.augmented(&indices, &draws).0.flatten::<2>(1, 3))
        };
        // Pixels are looked up. Only a rotation may round to the neighbouring pixel, by another order of operations;
        // and normalising rounds numbers below 3.
        let (ours, theirs) = (images(cpu), images(gpu));
        let pairs = ours.iter().zip(&theirs);
        let far = pairs.filter(|(a, b)| (*a - *b).abs() > 1e-6).count();
        println!("{config:?}: {far} of {} pixels differ", ours.len());
        assert!(
            far <= allowed && ours.len() == theirs.len(),
            "{far} pixels differ"
        );
    }
}

/// The CPU and a software adapter; `None`, with a printed note, if there is no such adapter.
fn devices() -> Option<(Device, Device)> {
    has_software_vulkan("wgpu path").then(|| (Device::flex(), Device::wgpu(DeviceKind::Cpu)))
}

fn cnn() -> BackboneConfig {
    BackboneConfig::Cnn(CnnConfig {
        width: 4,
        dropout: 0.0,
    })
}

/// There is a single test, so that all work on the device is on one thread.
#[test]
fn wgpu_agrees_with_the_cpu() {
    let Some((cpu, gpu)) = devices() else { return };
    let resnet = BackboneConfig::Resnet(ResNetConfig {
        depth: Depth::ResNet10,
        stem: Stem::Strided,
        width: 4,
    });
    compare_augmentation(&cpu, &gpu);
    compare_inference("cnn", cnn(), &cpu, &gpu);
    compare_inference("resnet", resnet, &cpu, &gpu);
    compare_training(&cpu, &[&gpu]);
    compare_training(&cpu, &[&cpu, &gpu]);
}
