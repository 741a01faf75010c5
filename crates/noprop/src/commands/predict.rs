//! `noprop predict`: the class of one image.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use image::RgbImage;
use noprop_core::{Classifier, Inference, ProcessKind, RecordedWalk, Sampler, Walk, Walks};
use noprop_data::decode_image;
use serde_json::json;

use crate::devices;
use crate::flags::{AskArgs, DeviceArgs, positive, sampler};
use crate::picture::{self, RecordedStep};
use crate::run_folder::{load_classifier, write_new_file};

/// Arguments of `predict`.
#[derive(Debug, Args)]
pub struct PredictArgs {
    /// Run folder or .safetensors file.
    run: PathBuf,
    /// PNG, JPEG, WebP or BMP file. Digits are light on dark, as in MNIST.
    image: PathBuf,
    /// Sampler of the walk [default: as the weights recommend, else the usual one of the model's method].
    #[arg(long, value_parser = sampler())]
    sampler: Option<Sampler>,
    /// Steps T of the walk [default: as the weights recommend, else the usual T of the model's method;
    /// NoProp-DT takes no other than its number of blocks].
    #[arg(long, value_name = "T", value_parser = positive)]
    steps: Option<usize>,
    /// Walk, votes and views in place of those that the weights recommend.
    #[command(flatten)]
    ask: AskArgs,
    /// Print the class probabilities after each step of the walk of the image itself; of several walks their
    /// mean.
    #[arg(long)]
    walk: bool,
    /// Write the walk of the image itself from the first noise seed as an animated picture.
    #[arg(long, value_name = "FILE.svg")]
    picture: Option<PathBuf>,
    /// Invert light and dark before classifying.
    #[arg(long)]
    invert: bool,
    /// Print one JSON object on standard output.
    #[arg(long)]
    json: bool,
    /// Device.
    #[command(flatten)]
    device: DeviceArgs,
}

/// The largest number of classes in the table.
const COLUMNS: usize = 10;

pub fn run(args: &PredictArgs) -> Result<()> {
    let classifier = args.classifier()?;
    let Inference { walk, votes, views } = classifier.inference();
    let mut pixels = decode_image(&args.image, classifier.image_shape())?;
    if args.invert {
        pixels.iter_mut().for_each(|pixel| *pixel = 255 - *pixel);
    }
    let prediction = classifier.classify(&pixels)?;
    if let Some(path) = &args.picture {
        let svg = picture::animated_svg(&recorded(&classifier, &pixels)?)?;
        write_new_file(path, svg.as_bytes())?;
    }
    let (classes, last) = (classifier.classes(), &prediction.probabilities);
    let (class, probability) = (&classes[prediction.class], last[prediction.class]);
    let along = match args.walk {
        true => mean_walk(&classifier, &pixels)?,
        false => vec![last.clone()],
    };
    if args.json {
        let mut out = json!({
            "class": class,
            "probability": probability,
            "classes": classes,
            "probabilities": last,
            "sampler": walk.sampler,
            "steps": walk.steps,
            "seed": walk.seed,
            "temperature": walk.temperature,
            "votes": votes,
            "views": views,
        });
        if args.walk {
            out["walk"] = json!(along);
        }
        println!("{out}");
        return Ok(());
    }
    println!("{class} ({:.2} %)", 100.0 * probability);
    print_table(classes, &along, last);
    Ok(())
}

impl PredictArgs {
    /// The classifier, asked as its weights recommend where the flags do not say otherwise.
    fn classifier(&self) -> Result<Classifier> {
        let chosen = devices::choose(self.device.device)?;
        let classifier = load_classifier(&self.run, &chosen.device)?;
        let mut asked = self.ask.apply(classifier.inference());
        asked.walk = Walk {
            sampler: self.sampler.unwrap_or(asked.walk.sampler),
            steps: self.steps.unwrap_or(asked.walk.steps),
            ..asked.walk
        };
        self.ask.note_equal_votes(&[asked.walk]);
        Ok(classifier.with_inference(asked)?)
    }
}

/// The class probabilities at the T + 1 states of the walk, as means over the votes.
fn mean_walk(classifier: &Classifier, pixels: &[u8]) -> Result<Vec<Vec<f32>>> {
    let walk = classifier.walk();
    let votes = Walks::new(walk, classifier.votes()).different_votes();
    let mut mean: Vec<Vec<f32>> = vec![vec![0.0; classifier.classes().len()]; walk.steps + 1];
    for vote in 0..votes as u64 {
        let of_vote = walk.with_seed(walk.seed.wrapping_add(vote));
        let recorded = classifier.clone().with_walk(of_vote)?.record(pixels)?;
        for (row, found) in mean.iter_mut().zip(&recorded.probabilities) {
            for (sum, p) in row.iter_mut().zip(found) {
                *sum += p / votes as f32;
            }
        }
    }
    Ok(mean)
}

/// The walk from the first noise seed, in the form that the picture needs.
fn recorded(classifier: &Classifier, pixels: &[u8]) -> Result<picture::RecordedWalk> {
    let walk = classifier.record(pixels)?;
    let along = coordinates(classifier, &walk);
    let is_flow = classifier.card().method.process() == ProcessKind::Flow;
    let noise_share = |k: usize| match walk.alpha_bar.get(k) {
        Some(alpha_bar) if !is_flow => 1.0 - alpha_bar,
        _ => 1.0 - walk.times[k],
    };
    let step = |(k, along)| RecordedStep {
        noise_share: noise_share(k).into(),
        estimate: walk.beliefs[k].clone(),
        readout: walk.probabilities[k].clone(),
        along,
    };
    Ok(picture::RecordedWalk {
        image: rgb(pixels, classifier.image_shape())?,
        classes: classifier.classes().to_vec(),
        steps: along.into_iter().enumerate().map(step).collect(),
    })
}

/// z_k · u_c / ‖u_c‖² for each latent z_k of the walk and each class embedding u_c.
fn coordinates(classifier: &Classifier, walk: &RecordedWalk) -> Vec<Vec<f32>> {
    let weight = classifier.model().class_embedding.weight.val();
    let width = weight.dims()[1];
    let values: Vec<f32> = weight.into_data().iter::<f32>().collect();
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let of_latent = |z: &Vec<f32>| {
        let embeddings = values.chunks_exact(width);
        embeddings.map(|u| dot(z, u) / dot(u, u)).collect()
    };
    walk.latents.iter().map(of_latent).collect()
}

/// Pixels `[channels, height, width]` as an RGB image; a single channel is grey.
fn rgb(pixels: &[u8], [channels, height, width]: [usize; 3]) -> Result<RgbImage> {
    let plane = height * width;
    let interleaved = (0..plane)
        .flat_map(|i| [0, 1, 2].map(|channel| pixels[channel.min(channels - 1) * plane + i]));
    RgbImage::from_raw(width as u32, height as u32, interleaved.collect())
        .context("the image has no pixels")
}

/// Prints probabilities in percent: a line for each state of a walk, and a column for each of the classes with the
/// largest probabilities `last` at the end.
fn print_table(classes: &[String], rows: &[Vec<f32>], last: &[f32]) {
    let mut shown: Vec<usize> = (0..classes.len()).collect();
    shown.sort_by(|&a, &b| last[b].total_cmp(&last[a]));
    shown.truncate(COLUMNS);
    shown.sort_unstable();
    let width = |class: usize| classes[class].chars().count().max(6) + 1;
    let line = |cell: &dyn Fn(usize) -> String| -> String {
        let cells = shown
            .iter()
            .map(|&class| format!("{:>1$}", cell(class), width(class)));
        cells.collect()
    };
    println!("{:>6}{}", "class", line(&|class| classes[class].clone()));
    for (k, row) in rows.iter().enumerate() {
        let name = match rows.len() {
            1 => "%".to_owned(),
            _ => format!("k={k}"),
        };
        println!(
            "{name:>6}{}",
            line(&|class| format!("{:.2}", 100.0 * row[class]))
        );
    }
}
