//! Whether the published weights use the latents of their walks.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::io::Read;
use std::path::Path;

use burn::tensor::Device;
use flate2::read::GzDecoder;
use noprop_core::sampler::{DDIM, SeenLatents};
use noprop_core::{Classifier, Walk, Walks};
use noprop_data::Split;
use noprop_tests::mnist_subset;
use noprop_train::{Evaluator, Workers};

/// The accuracy in percent of walks from noise whose denoiser sees each image's own latents, and of those where it
/// sees the latents of another image in every step.
fn own_and_swapped(weights: &str, images: &Split) -> [f64; 2] {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../assets")
        .join(weights);
    let classifier = Classifier::load(std::fs::read(file).unwrap(), &Device::flex()).unwrap();
    let workers = Workers::new(1).unwrap();
    let evaluator = Evaluator::new(&classifier, images, &workers).unwrap();
    let found = [SeenLatents::Own, SeenLatents::OfAnotherImage].map(|seen| {
        let walks = Walks {
            walk: Walk::new(DDIM, 10),
            votes: 1,
            seen,
        };
        evaluator.accuracy_of(&walks).unwrap().percent()
    });
    println!(
        "{weights}: {} % with own latents, {} % with swapped ones",
        found[0], found[1]
    );
    found
}

/// A network that ignored z would keep its accuracy.
#[test]
fn published_weights_for_cifar10_use_the_latents() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/cifar10-subset");
    let mut bytes = Vec::new();
    let file = File::open(folder.join("test_batch.bin.gz")).unwrap();
    GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    let images = Split::from_cifar(&bytes, 1, 10).unwrap();
    let [own, swapped] = own_and_swapped("cifar10.safetensors", &images);
    // Measured: 87 % and 25 %. The standard deviation of the difference on 500 images is 3 points.
    assert!(own - swapped > 30.0, "{own} % and {swapped} %");
}

#[test]
fn published_weights_for_mnist_use_the_latents() {
    let images = mnist_subset(1000).unwrap().test;
    let [own, swapped] = own_and_swapped("mnist.safetensors", &images);
    // Measured: 99.6 % and 28 %.
    assert!(own - swapped > 30.0, "{own} % and {swapped} %");
}
