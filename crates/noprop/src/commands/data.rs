//! `noprop data`: datasets listed, fetched, verified, described and shown.

use std::path::PathBuf;

use anyhow::{Result, bail};
use burn::tensor::Device;
use clap::{Args, Subcommand, ValueEnum};
use image::{Rgb, RgbImage};
use noprop_core::Normalization;
use noprop_core::noise::{NoiseSource, Purpose};
use noprop_data::augment::{Draws, UNIFORMS};
use noprop_data::{
    DeviceSplit, FileState, FolderOptions, Loaded, PublishedDataset, file_reports, is_cached,
    is_image_folder,
};
use serde_json::{Value, json};

use crate::catalogue::{self, CATALOGUE, FOLDER, any_dataset, published_dataset};
use crate::contact_sheet;
use crate::flags::{SourceArgs, positive};
use crate::run_folder::write_atomically;

/// Arguments of `data`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DataArgs {
    /// Action [default: describe a dataset].
    #[command(subcommand)]
    command: Option<DataCommand>,
    /// Arguments of the description.
    #[command(flatten)]
    describe: DescribeArgs,
}

/// An action of `data`.
#[derive(Debug, Subcommand)]
enum DataCommand {
    /// List all datasets, and say which are on this machine.
    List(ListArgs),
    /// Download datasets into the cache; an interrupted download is resumed.
    Fetch(FetchArgs),
    /// Compare each file with its published checksum, without a network.
    Verify(VerifyArgs),
    /// Write a picture of some images with their labels.
    Show(ShowArgs),
}

/// Arguments of `data` without an action.
#[derive(Debug, Args)]
struct DescribeArgs {
    /// Dataset to describe; `folder` is your own images.
    #[arg(default_value = "mnist", value_parser = any_dataset())]
    dataset: String,
    /// Print one JSON object on standard output.
    #[arg(long)]
    json: bool,
    /// Dataset source.
    #[command(flatten)]
    source: SourceArgs,
}

/// Arguments of `data list`.
#[derive(Debug, Args)]
struct ListArgs {
    /// Print one JSON object on standard output.
    #[arg(long)]
    json: bool,
}

/// Arguments of `data fetch`.
#[derive(Debug, Args)]
struct FetchArgs {
    /// Datasets to download.
    #[arg(required = true, value_name = "DATASET", value_parser = published_dataset())]
    datasets: Vec<String>,
}

/// Arguments of `data verify`.
#[derive(Debug, Args)]
struct VerifyArgs {
    /// Dataset whose files are compared.
    #[arg(value_parser = published_dataset())]
    dataset: String,
    /// Folder with the files [default: the cache].
    #[arg(long, value_name = "DIR")]
    data_root: Option<PathBuf>,
    /// Print one JSON object on standard output.
    #[arg(long)]
    json: bool,
}

/// Arguments of `data show`.
#[derive(Debug, Args)]
struct ShowArgs {
    /// Dataset to show [default: folder if --data-root holds images in class folders, else mnist].
    #[arg(value_parser = any_dataset())]
    dataset: Option<String>,
    /// PNG file to write.
    #[arg(long, value_name = "FILE", default_value = "contact-sheet.png")]
    out: PathBuf,
    /// Number of images.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = positive)]
    count: usize,
    /// Split from which the images are chosen.
    #[arg(long, value_enum, default_value_t = Part::Train)]
    split: Part,
    /// Change the images at random, as training with this recipe does.
    #[arg(long, value_name = "RECIPE", num_args = 0..=1, default_missing_value = "cifar100-resnet18")]
    augment: Option<String>,
    /// Seed of the choice and of the changes.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Dataset source.
    #[command(flatten)]
    source: SourceArgs,
}

/// A split of a dataset.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Part {
    /// The training images.
    Train,
    /// The test images.
    Test,
}

pub fn run(args: &DataArgs) -> Result<()> {
    match &args.command {
        None => describe(&args.describe),
        Some(DataCommand::List(args)) => list(args),
        Some(DataCommand::Fetch(args)) => fetch(args),
        Some(DataCommand::Verify(args)) => verify(args),
        Some(DataCommand::Show(args)) => show(args),
    }
}

/// Prints the classes of a dataset and its numbers of images.
fn describe(args: &DescribeArgs) -> Result<()> {
    let folder = args.source.folder(&FolderOptions::default());
    let loaded = crate::dataset::load(&args.dataset, &args.source, &folder)?;
    let (dataset, source) = (loaded.dataset, loaded.source);
    let classes = dataset.classes.len();
    let train = dataset.train.class_counts(classes);
    let test = dataset.test.class_counts(classes);
    if args.json {
        let description = json!({
            "dataset": dataset.name,
            "source": source,
            "shape": dataset.train.shape,
            "classes": dataset.classes,
            "normalization": dataset.normalization,
            "train": { "images": dataset.train.len(), "per_class": train },
            "test": { "images": dataset.test.len(), "per_class": test },
        });
        println!("{description}");
        return Ok(());
    }
    let [c, h, w] = dataset.train.shape;
    println!("{} from {source}", dataset.name);
    println!(
        "{} training and {} test images of {c}×{h}×{w}",
        dataset.train.len(),
        dataset.test.len()
    );
    for (i, class) in dataset.classes.iter().enumerate() {
        println!("  {class:<14} {:>6} {:>6}", train[i], test[i]);
    }
    Ok(())
}

/// Prints the datasets of the catalogue, and whether they are on this machine.
fn list(args: &ListArgs) -> Result<()> {
    if args.json {
        let all: Vec<Value> = CATALOGUE.iter().map(entry).collect();
        println!("{}", json!({ "datasets": all }));
        return Ok(());
    }
    println!(
        "{:<14} {:>10} {:>8} {:>7} {:>7}  files",
        "dataset", "image", "classes", "train", "test"
    );
    for set in &CATALOGUE {
        let [c, h, w] = set.shape;
        let place = if is_cached(set) {
            "in the cache"
        } else {
            "to be fetched"
        };
        println!(
            "{:<14} {:>10} {:>8} {:>7} {:>7}  {place}, {}",
            set.name,
            format!("{c}×{h}×{w}"),
            set.classes.len(),
            set.images[0],
            set.images[1],
            set.home
        );
    }
    println!("{FOLDER:<14} your own images: train/CLASS and test/CLASS, or CLASS, in --data-root");
    Ok(())
}

fn entry(set: &PublishedDataset) -> Value {
    json!({
        "dataset": set.name,
        "shape": set.shape,
        "classes": set.classes,
        "train": set.images[0],
        "test": set.images[1],
        "home": set.home,
        "cached": is_cached(set),
    })
}

/// Downloads datasets into the cache.
fn fetch(args: &FetchArgs) -> Result<()> {
    for name in &args.datasets {
        if catalogue::find(name)?.is_none() {
            bail!("\"{name}\" is your own images; there is nothing to download");
        }
        let folder = FolderOptions::default();
        let loaded = crate::dataset::load(name, &SourceArgs::default(), &folder)?;
        if loaded.is_subset {
            bail!("{name} could not be downloaded; check the network");
        }
        println!("{name}: complete and verified, from {}", loaded.source);
    }
    Ok(())
}

/// Compares the files of a dataset with their published checksums.
fn verify(args: &VerifyArgs) -> Result<()> {
    let name = &args.dataset;
    let Some(published) = catalogue::find(name)? else {
        bail!(
            "\"{name}\" is your own images; `noprop data folder --strict --data-root DIR` reads them all"
        );
    };
    let reports = file_reports(published, args.data_root.as_deref());
    let is_good = |state: &FileState| matches!(state, FileState::Official | FileState::Unverified);
    let good = reports.iter().filter(|report| is_good(&report.state));
    let (good, total) = (good.count(), reports.len());
    if args.json {
        let files: Vec<Value> = reports
            .iter()
            .map(|report| {
                json!({ "file": report.name, "folder": report.folder, "state": text(&report.state) })
            })
            .collect();
        let verdict = json!({ "dataset": name, "complete": good == total, "files": files });
        println!("{verdict}");
    } else {
        for report in &reports {
            println!("{:<24} {}", report.name, text(&report.state));
        }
    }
    if good < total {
        let folder = reports.first().map(|report| report.folder.display());
        bail!(
            "{} of {total} files of {name} are missing or bad in {}; `noprop data fetch {name}` downloads them",
            total - good,
            folder.map(|folder| folder.to_string()).unwrap_or_default()
        );
    }
    Ok(())
}

fn text(state: &FileState) -> &str {
    match state {
        FileState::Official => "ok: the published checksum",
        FileState::Unverified => "readable; no checksum is published for it in this form",
        FileState::Missing => "missing",
        FileState::Bad(why) => why,
    }
}

/// Writes a contact sheet of some images.
fn show(args: &ShowArgs) -> Result<()> {
    let name = match (&args.dataset, &args.source.data_root) {
        (Some(name), _) => name,
        (None, Some(root)) if is_image_folder(root) => FOLDER,
        (None, _) => "mnist",
    };
    let folder = args.source.folder(&FolderOptions::default());
    let Loaded {
        dataset, source, ..
    } = crate::dataset::load(name, &args.source, &folder)?;
    let split = match args.split {
        Part::Train => &dataset.train,
        Part::Test => &dataset.test,
    };
    let mut order = NoiseSource::new(args.seed, Purpose::Shuffling, 0).permutation(split.len());
    order.truncate(args.count);

    // The images are normalised, changed like a training batch if that is asked for, and turned back into pixels.
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
            let mut noise = NoiseSource::new(args.seed, Purpose::Augmenting, 0);
            let uniforms = noise.uniform(order.len() * UNIFORMS);
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
        "{}: {} images of {name} from {source}",
        args.out.display(),
        pictures.len()
    );
    Ok(())
}

/// The RGB image of normalised pixels `[c, h, w]`; it is grey if there is one channel.
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
