//! Random images to time with.

use anyhow::Result;
use noprop_core::ModelConfig;
use noprop_core::noise::{NoiseSource, Purpose};
use noprop_data::{Dataset, Split};

/// A dataset of `count` images of random pixels for training, and one for the test.
///
/// # Errors
/// When the model's input has no pixels.
pub fn dataset(model: &ModelConfig, count: usize) -> Result<Dataset> {
    let classes = (0..model.classes).map(|class| class.to_string());
    let (train, test) = (split(model, count)?, split(model, 1)?);
    Ok(Dataset::new("random pixels", classes, train, test)?)
}

/// `count` images of random pixels; the classes take turns.
///
/// # Errors
/// When the model's input has no pixels.
pub fn split(model: &ModelConfig, count: usize) -> Result<Split> {
    let pixels = count * model.input.iter().product::<usize>();
    let mut source = NoiseSource::new(0, Purpose::Training, 0);
    let images = source.uniform(pixels);
    Ok(Split::new(
        images.iter().map(|x| (x * 255.0) as u8).collect(),
        (0..count).map(|i| (i % model.classes) as u16).collect(),
        model.input,
        model.classes,
    )?)
}
