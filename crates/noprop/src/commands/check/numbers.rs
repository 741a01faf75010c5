//! What one device computes.

use std::time::Instant;

use anyhow::{Context, Result};
use burn::tensor::Tensor;
use noprop_core::weights;
use noprop_data::{DeviceSplit, Normalization};
use noprop_train::Workers;

use super::Task;
use crate::adapters::Chosen;

/// Images that go through the network together.
const BATCH: usize = 250;

/// Results for n images; arrays are row-major.
#[derive(Debug, Clone)]
pub struct Numbers {
    /// What computed.
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
/// When the weights do not fit.
pub fn measure(task: &Task, chosen: &Chosen, threads: Option<usize>) -> Result<Numbers> {
    let start = Instant::now();
    let (model, card) = weights::from_bytes(task.weights.clone(), &chosen.device)
        .context("these weights cannot be used")?;
    let normalization = Normalization {
        mean: card.mean,
        std: card.std,
    };
    let channels = card.model.input[0];
    let split = DeviceSplit::new(&task.images, &normalization, channels, &chosen.device);
    let workers = Workers::new(chosen.threads(threads))?;
    let total = split.len();
    let batches = workers.map(total.div_ceil(BATCH), |i| {
        let indices: Vec<usize> = (i * BATCH..((i + 1) * BATCH).min(total)).collect();
        let features = model.features(split.batch(&indices).0);
        let walks: Vec<WalkNumbers> = task
            .walks
            .iter()
            .map(|walk| {
                let z_1 = walk.run(&model, &features, indices[0]);
                WalkNumbers {
                    logits: values(model.readout(&features, z_1.clone())),
                    latents: values(z_1),
                }
            })
            .collect();
        (values(features.values), walks)
    });

    let mut numbers = Numbers {
        device: chosen.name.clone(),
        features: Vec::new(),
        walks: vec![WalkNumbers::default(); task.walks.len()],
        seconds: 0.0,
    };
    for (features, walks) in batches {
        numbers.features.extend(features);
        for (all, part) in numbers.walks.iter_mut().zip(walks) {
            all.latents.extend(part.latents);
            all.logits.extend(part.logits);
        }
    }
    numbers.seconds = start.elapsed().as_secs_f64();
    Ok(numbers)
}

fn values(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}
