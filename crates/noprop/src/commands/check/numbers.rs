//! The numbers that one device computes.

use std::time::Instant;

use anyhow::{Context, Result};
use burn::tensor::Tensor;
use noprop_core::{Classifier, ClassifyError, Walk};
use noprop_data::Split;
use noprop_train::Workers;

use crate::devices::Chosen;

/// The number of images that go through the network together.
const BATCH: usize = 250;

/// The work that every device does.
pub struct Task {
    /// The bytes of the weights file.
    pub weights: Vec<u8>,
    /// Test images with their labels.
    pub images: Split,
    /// The walks from noise to label, at least one.
    pub walks: Vec<Walk>,
}

/// The results for n images; arrays are row-major.
#[derive(Debug, Clone)]
pub struct Numbers {
    /// Name of the device.
    pub device: String,
    /// The output of the backbone, `[n, embed_dim]`.
    pub features: Vec<f32>,
    /// The end of each walk of the task, in the same order.
    pub walks: Vec<WalkNumbers>,
    /// The wall time in seconds, with the compilation of kernels.
    pub seconds: f64,
}

/// The end of one walk, for n images.
#[derive(Debug, Clone, Default)]
pub struct WalkNumbers {
    /// The final latents z_1, `[n, d]`.
    pub latents: Vec<f32>,
    /// The class logits of the readout, `[n, m]`.
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

/// Computes the features and the ends of all walks for the images `pixels`, of which the first has the index `first`.
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
