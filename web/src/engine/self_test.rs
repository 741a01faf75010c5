//! A device against the CPU, before anything of it is shown: an invalid shader gives wrong
//! numbers in a browser, and no error.

use burn::tensor::Device;
use noprop_core::SamplerKind;

use super::{Engine, Failure};
use crate::protocol::{Backend, SelfTest, Walk};

/// Images compared.
const IMAGES: usize = 16;

/// Probabilities after ten steps differ by 1e-5 where kernels sum in another order, and by 0.1
/// and more where one is wrong.
const TOLERANCE: f32 = 1e-3;

/// Compares `engine` with the CPU on the first images of `images` `[n, 28, 28]`.
///
/// # Errors
/// When either fails.
pub async fn self_test(
    engine: &Engine,
    weights: Vec<u8>,
    images: &[u8],
) -> Result<SelfTest, Failure> {
    let cpu = Engine::new(weights, Backend::Cpu, Device::flex())?;
    let pixels = &images[..images.len().min(IMAGES * 784)];
    let walk = Walk {
        sampler: SamplerKind::Ddim,
        steps: 10,
        seed: 0,
        temperature: 1.0,
    };
    let probabilities = async |engine: &Engine| -> Result<Vec<f32>, Failure> {
        let numbers = engine.check(pixels, &[walk]).await?;
        let classes = engine.classes().len();
        Ok(numbers.walks[0]
            .logits
            .chunks(classes)
            .flat_map(softmax)
            .collect())
    };
    let (ours, theirs) = (probabilities(&cpu).await?, probabilities(engine).await?);
    let classes = engine.classes().len();
    let differences = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs());
    let max_difference = differences.fold(0.0, f32::max);
    let rows = ours.chunks(classes).zip(theirs.chunks(classes));
    let agreeing = rows
        .filter(|(a, b)| super::argmax(a) == super::argmax(b))
        .count() as u32;
    let images = (pixels.len() / 784) as u32;
    Ok(SelfTest {
        images,
        max_difference,
        agreeing,
        passed: agreeing == images && max_difference <= TOLERANCE,
    })
}

fn softmax(row: &[f32]) -> Vec<f32> {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exp: Vec<f32> = row.iter().map(|x| (x - top).exp()).collect();
    let sum: f32 = exp.iter().sum();
    exp.iter().map(|x| x / sum).collect()
}
