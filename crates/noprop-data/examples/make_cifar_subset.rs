//! Makes the page's test images of CIFAR-10: the first images of a file in CIFAR's binary layout,
//! pixel for pixel and in its order, as a gzipped file of the same layout.
//!
//! ```text
//! cargo run -p noprop-data --example make_cifar_subset -- test_batch.bin 500 assets/cifar10-subset/test_batch.bin.gz
//! ```

use std::error::Error;
use std::fs::{self, File};
use std::io::{Read, Write};

use flate2::read::MultiGzDecoder;
use flate2::{Compression, GzBuilder};
use noprop_data::DatasetName;
use noprop_data::formats::cifar;

/// CIFAR-10 has one label, the class.
const LABEL_BYTES: usize = 1;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [source, count, out] = arguments.as_slice() else {
        return Err("usage: make_cifar_subset FILE.bin[.gz] COUNT OUT.bin.gz".into());
    };
    let count: usize = count.parse()?;
    let bytes = read(source)?;
    let file = cifar::parse(&bytes, LABEL_BYTES)?;
    if file.len() < count {
        return Err(format!("{source} has {} images, fewer than {count}", file.len()).into());
    }
    let (labels, pixels): (Vec<u8>, Vec<&[u8]>) = file.images().take(count).unzip();
    let classes = DatasetName::Cifar10
        .published()
        .map_or(0, |published| published.classes.len());
    if let Some(label) = labels.iter().find(|&&label| usize::from(label) >= classes) {
        return Err(format!("{source} has a label {label}: it is no file of CIFAR-10").into());
    }
    // No name and no time in the header: the same input gives the same file.
    let mut gz = GzBuilder::new().write(File::create(out)?, Compression::best());
    gz.write_all(&cifar::write(&labels, &pixels.concat(), LABEL_BYTES))?;
    gz.finish()?;
    println!("{out}: {count} images");
    Ok(())
}

/// The file's bytes, decompressed where they are gzip.
fn read(path: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let stored = fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    if !stored.starts_with(&[0x1f, 0x8b]) {
        return Ok(stored);
    }
    let mut bytes = Vec::new();
    MultiGzDecoder::new(stored.as_slice()).read_to_end(&mut bytes)?;
    Ok(bytes)
}
