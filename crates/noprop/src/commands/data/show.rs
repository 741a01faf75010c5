//! `noprop data show`.

use anyhow::Result;
use burn::tensor::Device;
use image::{Rgb, RgbImage};
use noprop_core::noise::{NoiseSource, Purpose};
use noprop_data::augment::{Draws, UNIFORMS};
use noprop_data::{DatasetName, DeviceSplit, FolderOptions, Normalization, is_image_folder};

use super::{Part, ShowArgs};
use crate::contact_sheet;
use crate::run_folder::write_atomically;

pub fn run(args: &ShowArgs) -> Result<()> {
    let root = args.source.data_root.as_deref();
    let name = args.dataset.unwrap_or(match root {
        Some(root) if is_image_folder(root) => DatasetName::Folder,
        _ => DatasetName::Mnist,
    });
    let folder = args.source.folder(&FolderOptions::default());
    let dataset = crate::dataset::load(name, &args.source, &folder)?;
    let split = match args.split {
        Part::Train => &dataset.train,
        Part::Test => &dataset.test,
    };
    let mut order = NoiseSource::new(args.seed, Purpose::Shuffling, 0).permutation(split.len());
    order.truncate(args.count);

    // The way of a training batch, and back to pixels.
    let on_device = DeviceSplit::new(
        &split.select(&order),
        &dataset.normalization,
        split.shape[0],
        &Device::flex(),
    );
    let all: Vec<usize> = (0..order.len()).collect();
    let (batch, _) = match &args.augment {
        Some(recipe) => {
            let config = crate::recipes::find(recipe)?.data.augment;
            let mut source = NoiseSource::new(args.seed, Purpose::Augmenting, 0);
            let uniforms = source.uniform(order.len() * UNIFORMS);
            on_device.augmented(&all, &Draws::new(config, on_device.size(), &uniforms))
        }
        None => on_device.batch(&all),
    };
    let values: Vec<f32> = batch.into_data().iter::<f32>().collect();
    let size = split.shape.iter().product();
    let pictures: Vec<(RgbImage, &str)> = values
        .chunks_exact(size)
        .zip(&order)
        .map(|(image, &index)| {
            let label = usize::from(split.labels[index]);
            let picture = picture(image, split.shape, &dataset.normalization);
            (picture, dataset.classes[label].as_str())
        })
        .collect();
    write_atomically(&args.out, &contact_sheet::png(&pictures)?)?;
    println!(
        "{}: {} images of {name} from {}",
        args.out.display(),
        pictures.len(),
        dataset.source
    );
    Ok(())
}

/// Normalised pixels `[c, h, w]` as a picture; grey has one channel.
fn picture(image: &[f32], [c, h, w]: [usize; 3], normalization: &Normalization) -> RgbImage {
    let byte = |channel: usize, position: usize| {
        let channel = channel.min(c - 1);
        let value = image[channel * h * w + position];
        let pixel = value * normalization.std[channel] + normalization.mean[channel];
        (255.0 * pixel).round() as u8
    };
    RgbImage::from_fn(w as u32, h as u32, |x, y| {
        let position = y as usize * w + x as usize;
        Rgb([0, 1, 2].map(|channel| byte(channel, position)))
    })
}
