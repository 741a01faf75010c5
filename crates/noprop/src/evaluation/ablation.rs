//! The accuracy that is left when the denoiser is given wrong inputs, or walks otherwise: what the walk
//! contributes.

use anyhow::Result;
use noprop_core::noise::{NoiseSource, Purpose};
use noprop_core::{Classifier, Sampler, SeenLatents, Walk, Walks};
use noprop_data::Split;
use noprop_train::{Evaluator, Workers};
use serde::Serialize;

use super::Plan;

/// The accuracy of one walk, and the accuracies when something is taken from it; all in percent. A network that
/// ignored z would lose nothing when it sees other latents. One whose z_0 gave the label away would lose nothing
/// without the images. Where the estimate without a walk is as good, the walk contributes nothing to accuracy.
#[derive(Debug, Clone, Serialize)]
pub struct Ablation {
    sampler: Sampler,
    steps: usize,
    /// The accuracy of the walks of the main table, with their temperature, votes and views.
    accuracy: f64,
    /// The accuracy of the walks of the main table if the denoiser sees the latent of another image at every step.
    swapped_latents: f64,
    /// The accuracy of the walks of the main table if the denoiser sees z = 0 at every step.
    zero_latents: f64,
    /// The accuracy of one walk from noise (temperature 1).
    from_noise: f64,
    /// The accuracy of one walk from the mean of the noise, z_0 = 0 (temperature 0).
    from_mean: f64,
    /// The accuracy of the likeliest class of the estimate û at z_0 = 0 and t = 0, without a walk.
    without_walk: f64,
    /// The accuracy of the walks of the main table on images of uniform noise.
    random_images: f64,
}

impl Ablation {
    /// Measures every walk of `plan` on the images of `test`.
    ///
    /// # Errors
    /// When a walk of the plan does not suit the model.
    pub fn measure(
        classifier: &Classifier,
        test: &Split,
        workers: &Workers,
        plan: &Plan,
    ) -> Result<Vec<Self>> {
        let random = random_images(test, classifier.classes().len())?;
        let right = Evaluator::new(classifier, test, workers)?;
        let random = Evaluator::new(classifier, &random, workers)?;
        let without_walk = right.accuracy_without_walk().percent();
        let row = |walk: Walk| {
            let seeing = |seen| {
                let walks = Walks {
                    seen,
                    ..Walks::new(walk, classifier.votes())
                };
                right.accuracy_of(&walks)
            };
            let from = |temperature| {
                let walk = Walk {
                    temperature,
                    ..walk
                };
                right.accuracy_of(&Walks::new(walk, 1))
            };
            Ok(Self {
                sampler: walk.sampler,
                steps: walk.steps,
                accuracy: right.accuracy(&walk)?.percent(),
                swapped_latents: seeing(SeenLatents::OfAnotherImage)?.percent(),
                zero_latents: seeing(SeenLatents::Zero)?.percent(),
                from_noise: from(1.0)?.percent(),
                from_mean: from(0.0)?.percent(),
                without_walk,
                random_images: random.accuracy(&walk)?.percent(),
            })
        };
        plan.walks().into_iter().map(row).collect()
    }

    /// Prints rows for people: a line for each walk.
    pub fn print(rows: &[Self]) {
        println!("accuracy % when something is taken from the walk (--ablate):");
        println!(
            "{:<16} {:>4}  {:>8}  {:>9}  {:>6}  {:>10}  {:>9}  {:>8}  {:>13}",
            "walk",
            "T",
            "accuracy",
            "z swapped",
            "z = 0",
            "from noise",
            "from mean",
            "û, t = 0",
            "random images"
        );
        for row in rows {
            println!(
                "{:<16} {:>4}  {:>8.2}  {:>9.2}  {:>6.2}  {:>10.2}  {:>9.2}  {:>8.2}  {:>13.2}",
                row.sampler,
                row.steps,
                row.accuracy,
                row.swapped_latents,
                row.zero_latents,
                row.from_noise,
                row.from_mean,
                row.without_walk,
                row.random_images
            );
        }
        println!(
            "z swapped: every step sees the latent of another image; z = 0: every step sees zeros; from noise: one\n\
             walk at temperature 1; from mean: one walk at temperature 0; û, t = 0: the estimate at z_0 = 0, no walk"
        );
    }
}

/// The labels of `test` on pixels that are independent and uniform.
fn random_images(test: &Split, classes: usize) -> Result<Split> {
    let mut noise = NoiseSource::new(0, Purpose::Augmenting, 0);
    let uniform = noise.uniform(test.len() * test.shape.iter().product::<usize>());
    let pixels = uniform.into_iter().map(|u| (u * 256.0) as u8).collect();
    Ok(Split::new(
        pixels,
        test.labels.clone(),
        test.shape,
        classes,
    )?)
}
