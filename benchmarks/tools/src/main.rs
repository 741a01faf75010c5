//! Maintainers' tools: make the small datasets in `assets` from the official files.
//!
//! ```text
//! cargo run --release -p noprop-tools -- mnist-subset MNIST/raw assets/mnist-subset
//! cargo run --release -p noprop-tools -- cifar10-subset test_batch.bin 500 assets/cifar10-subset/test_batch.bin.gz
//! ```
//!
//! `noprop data verify mnist --data-root MNIST/raw` tells whether files are the official ones.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use flate2::read::MultiGzDecoder;
use flate2::{Compression, GzBuilder};
use noprop_data::Split;
use noprop_data::formats::{cifar, idx};

/// Classes of MNIST and of CIFAR-10.
const CLASSES: usize = 10;
/// Training images of each class in the subset of MNIST.
const TRAIN_PER_CLASS: usize = 600;
/// Test images of each class in the subset of MNIST.
const TEST_PER_CLASS: usize = 100;
/// Label bytes of an image in CIFAR-10.
const LABEL_BYTES: usize = 1;

/// Make the small datasets in `assets` from the official files.
#[derive(Debug, Parser)]
enum Tool {
    /// Write the first 600 training and the first 100 test images of each digit of MNIST.
    MnistSubset {
        /// Folder with the four official files, raw or .gz.
        source: PathBuf,
        /// Folder to write four gzipped IDX files into.
        out: PathBuf,
    },
    /// Write the first images of a file in CIFAR-10's binary format.
    Cifar10Subset {
        /// The file, raw or gzipped.
        source: PathBuf,
        /// Number of images.
        count: usize,
        /// Gzipped file to write.
        out: PathBuf,
    },
}

fn main() -> Result<()> {
    match Tool::parse() {
        Tool::MnistSubset { source, out } => mnist_subset(&source, &out),
        Tool::Cifar10Subset { source, count, out } => cifar10_subset(&source, count, &out),
    }
}

/// Writes the first images of each digit, in the official order.
fn mnist_subset(source: &Path, out: &Path) -> Result<()> {
    fs::create_dir_all(out)?;
    for (part, per_class) in [("train", TRAIN_PER_CLASS), ("t10k", TEST_PER_CLASS)] {
        let file = |name: String| {
            let raw = source.join(name);
            let gz = raw.with_extension("gz");
            read(if raw.exists() { &raw } else { &gz })
        };
        let images = file(format!("{part}-images-idx3-ubyte"))?;
        let labels = file(format!("{part}-labels-idx1-ubyte"))?;
        let subset = first_of_each_class(&Split::from_idx(&images, &labels, CLASSES)?, per_class);
        ensure!(
            subset.class_counts(CLASSES) == [per_class; CLASSES],
            "{} has fewer than {per_class} images of a digit in {part}",
            source.display()
        );
        let [_, height, width] = subset.shape;
        let images = idx::write([subset.len(), height, width], &subset.images)?;
        let labels: Result<Vec<u8>, _> = subset.labels.iter().map(|&l| l.try_into()).collect();
        let labels = idx::write([subset.len()], &labels?)?;
        write_gz(&out.join(format!("{part}-images.idx.gz")), &images)?;
        write_gz(&out.join(format!("{part}-labels.idx.gz")), &labels)?;
        println!("{}: {} images of {part}", out.display(), subset.len());
    }
    Ok(())
}

/// The first `count` images of each class, in their order.
fn first_of_each_class(split: &Split, count: usize) -> Split {
    let mut seen = [0; CLASSES];
    let is_early = |&index: &usize| {
        let seen = &mut seen[usize::from(split.labels[index])];
        *seen += 1;
        *seen <= count
    };
    let indices: Vec<usize> = (0..split.len()).filter(is_early).collect();
    split.select(&indices)
}

/// Writes the first images of a file, pixel for pixel.
fn cifar10_subset(source: &Path, count: usize, out: &Path) -> Result<()> {
    let split = Split::from_cifar(&read(source)?, LABEL_BYTES, CLASSES)
        .with_context(|| format!("{} is no file of CIFAR-10", source.display()))?;
    ensure!(
        split.len() >= count,
        "{} has {} images, fewer than {count}",
        source.display(),
        split.len()
    );
    let subset = split.take(count);
    let labels: Result<Vec<u8>, _> = subset.labels.iter().map(|&l| l.try_into()).collect();
    write_gz(out, &cifar::write(&labels?, &subset.images, LABEL_BYTES))?;
    println!("{}: {count} images", out.display());
    Ok(())
}

/// Reads a file, and decompresses it if it is gzipped.
fn read(path: &Path) -> Result<Vec<u8>> {
    let stored = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    if !stored.starts_with(&[0x1f, 0x8b]) {
        return Ok(stored);
    }
    let mut bytes = Vec::new();
    MultiGzDecoder::new(stored.as_slice()).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a gzip file without name and time in its header, so that equal bytes give equal files.
fn write_gz(path: &Path, bytes: &[u8]) -> Result<()> {
    let file =
        File::create(path).with_context(|| format!("{} cannot be written", path.display()))?;
    let mut gz = GzBuilder::new().write(file, Compression::best());
    gz.write_all(bytes)?;
    gz.finish()?;
    Ok(())
}
