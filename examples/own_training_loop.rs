//! A training loop of one's own around the trainer's `step`: NoProp-DT on a part of MNIST, with a look at
//! each block's loss. `cargo run --release --example own_training_loop`
//!
//! Each block of NoProp-DT is trained by a loss of its own; no gradient passes from one block to another.

use std::error::Error;
use std::io::Read;

use burn::tensor::Device;
use flate2::read::GzDecoder;
use noprop_core::backbone::{BackboneConfig, CnnConfig};
use noprop_core::method::Dt;
use noprop_core::{Method, ModelConfig};
use noprop_data::{Dataset, Split};
use noprop_train::{BlockOrder, DataConfig, Recipe, TrainConfig, Trainer, TrainerOptions};

/// The images and labels of MNIST that are in this repository, `part` being `train` or `t10k`.
fn mnist(part: &str) -> Result<Split, Box<dyn Error>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/mnist-subset");
    let read = |kind: &str| -> std::io::Result<Vec<u8>> {
        let file = std::fs::File::open(format!("{folder}/{part}-{kind}.idx.gz"))?;
        let mut bytes = Vec::new();
        GzDecoder::new(file).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    Ok(Split::from_idx(&read("images")?, &read("labels")?, 10)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let digits = (0..10).map(|digit| digit.to_string());
    let dataset = Dataset::new("digits", digits, mnist("train")?, mnist("t10k")?)?;
    let recipe = Recipe {
        method: Method::Dt(Dt {
            steps: 4,
            ..Default::default()
        }),
        model: ModelConfig {
            embed_dim: 64,
            backbone: BackboneConfig::Cnn(CnnConfig {
                width: 8,
                dropout: 0.0,
            }),
            ..Default::default()
        },
        data: DataConfig {
            limit: Some(3000),
            ..Default::default()
        },
        train: TrainConfig {
            batch_size: 50,
            block_order: Some(BlockOrder::Random),
            ..Default::default()
        },
        ..Default::default()
    };

    let mut trainer = Trainer::new(recipe, &dataset, TrainerOptions::on(Device::flex()))?;
    for _ in 0..2 {
        let mut losses = [(0.0, 0); 4];
        for batch in trainer.batches() {
            let report = trainer.step(&batch)?;
            // Reading the loss after every step costs time on a GPU; `step` reads it now and then.
            let loss = match report.loss {
                Some(loss) => Some(loss),
                None => trainer.read_loss()?,
            };
            if let (Some(block), Some(loss)) = (report.block, loss) {
                losses[block - 1].0 += loss.denoise;
                losses[block - 1].1 += 1;
            }
        }
        let epoch = trainer.end_epoch()?;
        let means = losses.map(|(sum, steps)| format!("{:.3}", sum / steps.max(1) as f32));
        let accuracy = trainer.evaluate(trainer.test())?.percent();
        println!(
            "epoch {}: denoising loss of blocks 1 to 4: {}; {accuracy:.1} % of 1000 test images",
            epoch.epoch,
            means.join(", ")
        );
    }
    Ok(())
}
