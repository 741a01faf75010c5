//! Classifies an image of a digit with the published weights:
//! `cargo run --release --example classify -- DIGIT.png`
//!
//! The three lines that matter are `Classifier::load`, `classify` and `classes`.

use std::error::Error;

use burn::tensor::Device;
use image::imageops::FilterType;
use noprop_core::Classifier;

fn main() -> Result<(), Box<dyn Error>> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let weights = std::fs::read(format!("{root}/assets/mnist.safetensors"))?;
    let classifier = Classifier::load(weights, &Device::flex())?;

    // White on black, in the size that the weights were trained on.
    let path = std::env::args().nth(1);
    let path = path.unwrap_or_else(|| format!("{root}/assets/seven.png"));
    let [_, height, width] = classifier.image_shape();
    let image = image::open(&path)?.resize_exact(width as u32, height as u32, FilterType::Triangle);

    let prediction = classifier.classify(image.to_luma8().as_raw())?;
    let class = &classifier.classes()[prediction.class];
    let percent = 100.0 * prediction.probabilities[prediction.class];
    println!("{path}: {class} ({percent:.1} %)");
    Ok(())
}
