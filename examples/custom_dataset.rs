//! A dataset of one's own, made in memory: circles and crosses.
//! `cargo run --release --example custom_dataset`
//!
//! A dataset is a value: u8 pixels, a label for each image, and names for the labels. What the trainer
//! does with MNIST it does with any such value.

use std::error::Error;

use burn::tensor::Device;
use noprop_core::ModelConfig;
use noprop_core::backbone::{BackboneConfig, CnnConfig};
use noprop_data::{DataError, Dataset, Split};
use noprop_train::{DataConfig, Flow, Recipe, TrainConfig, TrainEvent, Trainer, TrainerOptions};

/// Height and width of an image.
const SIZE: usize = 16;

/// Image `i`, row by row: a circle where `i` is even, a cross where it is odd, of changing size and place.
fn image(i: usize) -> Vec<u8> {
    let radius = 3.0 + (i % 5) as f32 * 0.8;
    let centre = |step: usize| 7.5 + (i / 2 * step % 5) as f32 - 2.0;
    let pixel = |k: usize| {
        let (x, y) = ((k % SIZE) as f32 - centre(3), (k / SIZE) as f32 - centre(7));
        let is_drawn = match i % 2 {
            0 => (x.hypot(y) - radius).abs() < 0.8,
            _ => (x.abs() - y.abs()).abs() < 0.8 && x.hypot(y) < radius,
        };
        if is_drawn { 230 } else { 20 }
    };
    (0..SIZE * SIZE).map(pixel).collect()
}

/// The images `range` with their labels, grey: one channel.
fn split(range: std::ops::Range<usize>) -> Result<Split, DataError> {
    let labels = range.clone().map(|i| (i % 2) as u16).collect();
    Split::new(range.flat_map(image).collect(), labels, [1, SIZE, SIZE], 2)
}

fn main() -> Result<(), Box<dyn Error>> {
    let (train, test) = (split(0..800)?, split(1000..1200)?);
    let dataset = Dataset::new("shapes", ["circle", "cross"], train, test)?;

    let recipe = Recipe {
        model: ModelConfig {
            classes: 2,
            input: [1, SIZE, SIZE],
            embed_dim: 32,
            backbone: BackboneConfig::Cnn(CnnConfig {
                width: 8,
                dropout: 0.0,
            }),
            ..Default::default()
        },
        data: DataConfig {
            validation: 100,
            ..Default::default()
        },
        train: TrainConfig {
            epochs: 6,
            batch_size: 50,
            ..Default::default()
        },
        ..Default::default()
    };
    let mut trainer = Trainer::new(recipe, &dataset, TrainerOptions::on(Device::flex()))?;
    trainer.run(&mut |event| {
        if let TrainEvent::Evaluated {
            epoch,
            split,
            accuracy,
            ..
        } = event
        {
            println!("epoch {epoch}, {split:?}: {:.1} %", accuracy.percent());
        }
        Flow::Continue
    })?;
    Ok(())
}
