//! Makes the embedded subset of MNIST: of each digit the first 600 training and the first 100 test
//! images, in the official order.
//!
//! ```text
//! cargo run -p noprop-data --example make_subset -- --data-root FOLDER assets/mnist-subset
//! ```

use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use noprop_data::formats::idx;
use noprop_data::{DatasetName, LoadOptions, Split, load};
use std::io::Write;

const TRAIN_PER_CLASS: usize = 600;
const TEST_PER_CLASS: usize = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [flag, data_root, out] = arguments.as_slice() else {
        return Err("usage: make_subset --data-root FOLDER OUT_FOLDER".into());
    };
    if flag != "--data-root" {
        return Err("the first argument must be --data-root".into());
    }
    let mut quiet = |_| {};
    let mut options = LoadOptions::new(&mut quiet);
    options.data_root = Some(PathBuf::from(data_root));
    let data = load(DatasetName::Mnist, options)?;

    let out = Path::new(out);
    fs::create_dir_all(out)?;
    let classes = data.classes.len();
    write(
        out,
        "train",
        &first_of_each_class(&data.train, TRAIN_PER_CLASS, classes),
    )?;
    write(
        out,
        "t10k",
        &first_of_each_class(&data.test, TEST_PER_CLASS, classes),
    )?;
    Ok(())
}

/// The first `count` images of each class, in their order.
fn first_of_each_class(split: &Split, count: usize, classes: usize) -> Split {
    let mut seen = vec![0; classes];
    let is_early = |&index: &usize| {
        let seen = &mut seen[usize::from(split.labels[index])];
        *seen += 1;
        *seen <= count
    };
    let indices: Vec<usize> = (0..split.len()).filter(is_early).collect();
    split.select(&indices)
}

fn write(out: &Path, part: &str, split: &Split) -> Result<(), Box<dyn Error>> {
    let [_, height, width] = split.shape;
    let images = idx::write([split.len(), height, width], &split.images)?;
    let labels: Result<Vec<u8>, _> = split.labels.iter().map(|&label| label.try_into()).collect();
    let labels = idx::write([split.len()], &labels?)?;
    for (kind, bytes) in [("images", images), ("labels", labels)] {
        let path = out.join(format!("{part}-{kind}.idx.gz"));
        // No name and no time in the header: the same input gives the same file.
        let mut gz = GzBuilder::new().write(File::create(&path)?, Compression::best());
        gz.write_all(&bytes)?;
        gz.finish()?;
        println!("{}: {} images", path.display(), split.len());
    }
    Ok(())
}
