//! The numbers that one device computes.

use std::time::Instant;

use anyhow::{Context, Result};
use burn::tensor::Tensor;
use noprop_core::{Classifier, ClassifyError, Walk};
use noprop_data::Split;
use noprop_train::Workers;

use crate::devices::Chosen;

/// Images that go through the network together.
const BATCH: usize = 250;

/// The work of every device.
pub struct Task {
    /// Bytes of the weights file.
    pub weights: Vec<u8>,
    /// Test images with their labels.
    pub images: Split,
    /// Walks from noise to label, one at least.
    pub walks: Vec<Walk>,
}

/// Results for n images; arrays are row-major.
#[derive(Debug, Clone)]
pub struct Numbers {
    /// Name of the device.
    pub device: String,
    /// The backbone's output, `[n, embed_dim]`.
    pub features: Vec<f32>,
    /// One entry per walk of the task.
    pub walks: Vec<WalkNumbers>,
    /// Wall time in all, compilation of kernels included.
    pub seconds: f64,
}

/// Where a walk ends.
#[derive(Debug, Clone, Default)]
pub struct WalkNumbers {
    /// z_1, `[n, d]`.
    pub latents: Vec<f32>,
    /// Class logits, `[n, m]`.
    pub logits: Vec<f32>,
}

/// Runs `task` on a device of this machine.
///
/// # Errors
/// When the weights cannot be used, or do not fit the images.
pub fn measure(task: &Task, chosen: &Chosen, threads: Option<usize>) -> Result<Numbers> {
    let start = Instant::now();
    let classifier = Classifier::load(task.weights.clone(), &chosen.device)
        .context("these weights cannot be used")?;
    let workers = Workers::new(chosen.threads(threads))?;
    let total = task.images.len();
    let size: usize = task.images.shape.iter().product();
    let batches = workers.map(total.div_ceil(BATCH), |i| {
        let (first, end) = (i * BATCH, ((i + 1) * BATCH).min(total));
        batch(
            task,
            &classifier,
            first,
            &task.images.images[first * size..end * size],
        )
    });

    let mut numbers = Numbers {
        device: chosen.name.clone(),
        features: Vec::new(),
        walks: vec![WalkNumbers::default(); task.walks.len()],
        seconds: 0.0,
    };
    for batch in batches {
        let (features, walks) = batch?;
        numbers.features.extend(features);
        for (all, part) in numbers.walks.iter_mut().zip(walks) {
            all.latents.extend(part.latents);
            all.logits.extend(part.logits);
        }
    }
    numbers.seconds = start.elapsed().as_secs_f64();
    Ok(numbers)
}

/// The features of the images from number `first` on, whose pixels are given, and the ends of their walks.
fn batch(
    task: &Task,
    classifier: &Classifier,
    first: usize,
    pixels: &[u8],
) -> Result<(Vec<f32>, Vec<WalkNumbers>), ClassifyError> {
    let model = classifier.model();
    let features = classifier.features(pixels)?;
    let walk = |walk: &Walk| {
        let z_1 = model.walk(&features, walk, first)?;
        Ok(WalkNumbers {
            logits: values(model.readout(&features, z_1.clone())),
            latents: values(z_1),
        })
    };
    let walks: Result<Vec<WalkNumbers>, ClassifyError> = task.walks.iter().map(walk).collect();
    Ok((values(features.values.clone()), walks?))
}

fn values(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}
