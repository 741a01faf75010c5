//! `noprop eval --ablate`: what is left of the accuracy when the denoiser is given a wrong input.
//!
//! A network that ignored z would lose nothing when it sees the latents of other images; one whose z_0
//! gave the label away would lose nothing without the images.

use anyhow::Result;
use noprop_core::noise::{NoiseSource, Purpose};
use noprop_core::sampler::Sampling;
use noprop_core::{Accuracy, NoProp, SamplerKind};
use noprop_data::{DeviceSplit, Normalization, Split};
use noprop_train::{Evaluator, Workers};
use serde::Serialize;

/// One sampler.
#[derive(Debug, Clone, Serialize)]
pub struct Ablation {
    sampler: SamplerKind,
    steps: usize,
    /// Percent, as in the table.
    accuracy: f64,
    /// With the latent of another image at every step, percent.
    swapped_latents: f64,
    /// With images of uniform noise, percent; chance is one of the classes.
    random_images: f64,
}

/// Measures it for every walk on the images of `test`, `votes` walks of each image.
///
/// # Errors
/// When the random images cannot be made.
pub fn measure(
    model: &NoProp,
    test: &Split,
    normalization: &Normalization,
    workers: &Workers,
    walks: &[Sampling],
    votes: usize,
) -> Result<Vec<Ablation>> {
    let upload = |split: &Split| {
        DeviceSplit::new(
            split,
            normalization,
            model.config().input[0],
            &model.device(),
        )
    };
    let (right, random) = (upload(test), upload(&random_images(model, test)?));
    let right = Evaluator::new(model, &right, workers).with_votes(votes);
    let random = Evaluator::new(model, &random, workers).with_votes(votes);
    let percent = |accuracy: Accuracy| accuracy.percent();
    let rows = walks.iter().map(|&walk| Ablation {
        sampler: walk.kind,
        steps: walk.steps,
        accuracy: percent(right.accuracy(walk)),
        swapped_latents: percent(right.accuracy_on_swapped_latents(walk)),
        random_images: percent(random.accuracy(walk)),
    });
    Ok(rows.collect())
}

/// The labels of `test` on pixels that are independent and uniform.
fn random_images(model: &NoProp, test: &Split) -> Result<Split> {
    let mut noise = NoiseSource::new(0, Purpose::Augmenting, 0);
    let uniform = noise.uniform(test.len() * test.shape.iter().product::<usize>());
    let pixels = uniform.into_iter().map(|u| (u * 256.0) as u8).collect();
    let classes = model.config().classes;
    Ok(Split::new(
        pixels,
        test.labels.clone(),
        test.shape,
        classes,
    )?)
}

/// Prints them for people.
pub fn print(rows: &[Ablation]) {
    println!(
        "{:<16} {:>4}  {:>10}  {:>17}  {:>15}",
        "ablation", "T", "accuracy %", "z of other images", "random images"
    );
    for row in rows {
        println!(
            "{:<16} {:>4}  {:>10.2}  {:>17.2}  {:>15.2}",
            row.sampler, row.steps, row.accuracy, row.swapped_latents, row.random_images
        );
    }
}
