//! The self-test: a device is compared with the CPU before the page shows anything that it computed. In a
//! browser an invalid shader gives wrong numbers and no error.

use burn::tensor::Device;
use burn::tensor::activation::softmax;
use noprop_core::predicted_class;
use noprop_core::sampler::Sampler;

use super::walk::WalkInput;
use super::{Engine, Failure, JoinedRead};
use noprop_protocol::{Backend, SelfTest, Walk};

/// The number of images that are compared.
const IMAGES: usize = 16;

/// The largest difference of class probabilities that passes. After ten steps they differ by about 1e-5 if
/// kernels only sum in another order, and by 0.1 or more if a kernel is wrong.
const TOLERANCE: f32 = 1e-3;

/// Compares `engine` with the CPU on the first images of `images` `[n, c, h, w]`.
///
/// # Errors
/// When the device or the CPU fails.
pub async fn self_test(
    engine: &mut Engine,
    weights: Vec<u8>,
    images: &[u8],
) -> Result<SelfTest, Failure> {
    let mut cpu = Engine::new(weights, Backend::Cpu, Device::flex())?;
    let pixels = &images[..images.len().min(IMAGES * engine.image_size())];
    // Ten steps of the first sampler of the table that serves the model, which is DDIM for diffusion.
    let method = cpu.model().method();
    let usual = method.default_walk().sampler;
    let walk = Walk {
        sampler: Sampler::serving(method.process()).next().unwrap_or(usual),
        steps: method.blocks().unwrap_or(10) as u32,
        seed: 0,
        temperature: 1.0,
    };
    let ours = probabilities(&mut cpu, pixels, &walk).await?;
    let theirs = probabilities(engine, pixels, &walk).await?;
    let classes = engine.classes().len();
    let differences = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs());
    let max_difference = differences.fold(0.0, f32::max);
    let rows = ours.chunks(classes).zip(theirs.chunks(classes));
    let agreeing = rows
        .filter(|(a, b)| predicted_class(a) == predicted_class(b))
        .count() as u32;
    let images = (pixels.len() / engine.image_size()) as u32;
    Ok(SelfTest {
        images,
        max_difference,
        agreeing,
        passed: agreeing == images && max_difference <= TOLERANCE,
    })
}

/// The class probabilities `[n, m]` at the end of a walk, computed on the path that requests of the page take.
async fn probabilities(
    engine: &mut Engine,
    pixels: &[u8],
    walk: &Walk,
) -> Result<Vec<f32>, Failure> {
    let features = engine.features(pixels)?;
    let start = WalkInput {
        features: &features,
        walk,
        first: 0,
        seeds: 1,
        record: false,
    };
    let walked = engine.walk(start).await?;
    let z_1 = walked.latents.flatten::<2>(0, 1);
    let mut joined = JoinedRead::default();
    joined.add(softmax(walked.model.readout(&walked.features, z_1), 1));
    let [probabilities] = joined.read().await?;
    Ok(probabilities)
}
