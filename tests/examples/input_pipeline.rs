//! Milliseconds of a training batch on its way into the model (gather, augment, normalise) beside a
//! training step of ResNet-18, on the CPU with one thread; 128 images of CIFAR's size.
//!
//! `cargo build --release --workspace --example input_pipeline`, then
//! `target/release/examples/input_pipeline [imagenet|strided|small]`, the stem of the ResNet.

use std::error::Error;
use std::time::Instant;

use burn::tensor::Device;
use noprop_core::ModelConfig;
use noprop_core::backbone::{BackboneConfig, ResNetConfig, Stem};
use noprop_core::noise::{NoiseSource, Purpose};
use noprop_data::augment::{AugmentConfig, Draws, Flip, UNIFORMS};
use noprop_data::{Dataset, DeviceSplit, Split};
use noprop_train::{DataConfig, Recipe, TrainConfig, Trainer, TrainerOptions};

const SHAPE: [usize; 3] = [3, 32, 32];
const CLASSES: usize = 10;
const BATCH: usize = 128;
const IMAGES: usize = 2048;
const REPEATS: usize = 21;
/// The number of training steps, without the first, which is not counted.
const STEPS: usize = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let stem = match std::env::args().nth(1).as_deref() {
        None | Some("strided") => Stem::Strided,
        Some("imagenet") => Stem::Imagenet,
        Some("small") => Stem::Small,
        Some(other) => return Err(format!("no stem is called {other}").into()),
    };
    let dataset = random_images()?;
    let device = Device::flex().autodiff();
    let split = DeviceSplit::new(&dataset.train, &dataset.normalization, 3, &device);
    let mut noise = NoiseSource::new(0, Purpose::Augmenting, 0);

    let off = AugmentConfig::default();
    let reference = AugmentConfig {
        crop_padding: 4,
        flip: Flip::Random,
        ..off
    };
    let with_rotation = AugmentConfig {
        rotation: 15.0,
        ..reference
    };
    let all = AugmentConfig {
        translation: 2,
        cutout: 8,
        ..with_rotation
    };
    let mut milliseconds = Vec::new();
    for (name, config) in [
        ("no augmentation", off),
        ("crop and flip (CIFAR-10)", reference),
        ("crop, flip and rotation (CIFAR-100)", with_rotation),
        ("all of it", all),
    ] {
        let mut times: Vec<f64> = (0..REPEATS)
            .map(|_| {
                let indices = &noise.permutation(IMAGES)[..BATCH];
                let start = Instant::now();
                let images = if config.is_off() {
                    split.batch(indices).0
                } else {
                    let uniforms = noise.uniform(BATCH * UNIFORMS);
                    let draws = Draws::new(config, split.size(), &uniforms);
                    split.augmented(indices, &draws).0
                };
                let _ = images.into_data();
                start.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        let time = median(&mut times);
        println!("{name}: {time:.2} ms");
        milliseconds.push(time);
    }

    let mut times = step_milliseconds(&dataset, stem, reference)?;
    let step = median(&mut times);
    println!("a step of ResNet-18, stem {stem:?}, batch {BATCH}: {step:.0} ms");
    for time in milliseconds {
        println!("{:.2} % of it", 100.0 * time / step);
    }
    Ok(())
}

fn random_images() -> Result<Dataset, Box<dyn Error>> {
    let size: usize = SHAPE.iter().product();
    let mut noise = NoiseSource::new(1, Purpose::Initialising, 0);
    let pixels = noise.uniform(IMAGES * size);
    let pixels = pixels.into_iter().map(|u| (256.0 * u) as u8).collect();
    let labels = (0..IMAGES).map(|i| (i % CLASSES) as u16).collect();
    let train = Split::new(pixels, labels, SHAPE, CLASSES)?;
    let classes = (0..CLASSES).map(|class| class.to_string());
    let test = train.take(1);
    Ok(Dataset::new("random pixels", classes, train, test)?)
}

fn step_milliseconds(
    dataset: &Dataset,
    stem: Stem,
    augment: AugmentConfig,
) -> Result<Vec<f64>, Box<dyn Error>> {
    let recipe = Recipe {
        model: ModelConfig {
            input: SHAPE,
            backbone: BackboneConfig::Resnet(ResNetConfig {
                stem,
                ..Default::default()
            }),
            ..Default::default()
        },
        data: DataConfig {
            dataset: dataset.name.clone(),
            validation: 0,
            augment,
            ..Default::default()
        },
        train: TrainConfig {
            batch_size: BATCH,
            ..Default::default()
        },
        ..Default::default()
    };
    let mut trainer = Trainer::new(recipe, dataset, TrainerOptions::on(Device::flex()))?;
    let mut times = Vec::new();
    // The first step compiles and warms up.
    for (i, batch) in trainer.batches().take(STEPS + 1).enumerate() {
        let start = Instant::now();
        trainer.step(&batch)?;
        if i > 0 {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    Ok(times)
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
