//! MNIST from small files, and every kind of bad file.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::native::archive::md5_hex;

/// Names as in the archive; contents of a tiny, well-formed set of 20 + 10 images.
fn tiny() -> [(String, Vec<u8>); FILES] {
    let images = |count: usize| idx::write([count, 28, 28], &vec![7; count * 784]).unwrap();
    let labels = |count: usize| {
        let labels: Vec<u8> = (0..count).map(|i| (i % 10) as u8).collect();
        idx::write([count], &labels).unwrap()
    };
    let [a, b, c, d] = archive().files.map(|file| file.name);
    [
        (a, images(20)),
        (b, labels(20)),
        (c, images(10)),
        (d, labels(10)),
    ]
}

/// A folder with the tiny set, one file replaced.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in tiny() {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        Self(folder)
    }

    fn with(file: usize, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        let folder = Self::new();
        let (_, mut bytes) = tiny()[file].clone();
        change(&mut bytes);
        fs::write(folder.file(file), bytes).unwrap();
        folder
    }

    fn file(&self, file: usize) -> PathBuf {
        self.0.path().join(&tiny()[file].0)
    }

    fn load(&self, allow_unverified: bool) -> Result<Dataset, DataError> {
        load_root(&archive(), self.0.path(), allow_unverified)
    }

    /// The message, which must start with the path of `file`.
    fn problem(&self, file: usize) -> String {
        let message = self.load(true).unwrap_err().to_string();
        let path = format!("{}: ", self.file(file).display());
        message
            .strip_prefix(&path)
            .unwrap_or_else(|| panic!("{path} in {message}"))
            .to_owned()
    }
}

fn load_root(
    archive: &Archive<FILES>,
    root: &Path,
    allow_unverified: bool,
) -> Result<Dataset, DataError> {
    let mut report = |event| panic!("nothing to report, got {event:?}");
    let mut options = LoadOptions::new(&mut report);
    options.data_root = Some(root.to_path_buf());
    options.allow_unverified = allow_unverified;
    load_archive(archive, options)
}

#[test]
fn official_files_in_the_data_root_load() {
    let folder = Folder::new();
    let mut archive = archive();
    for (file, (_, bytes)) in archive.files.iter_mut().zip(tiny()) {
        file.md5 = md5_hex(&bytes);
    }
    let data = load_root(&archive, folder.0.path(), false).unwrap();
    assert_eq!((data.train.len(), data.test.len()), (20, 10));
    assert_eq!(data.train.shape, [1, 28, 28]);
    assert_eq!(data.train.labels[..3], [0, 1, 2]);
    assert_eq!(data.train.image(19), [7; 784]);
    assert_eq!(data.source, Source::DataRoot(folder.0.path().to_path_buf()));
}

#[test]
fn unofficial_files_need_permission() {
    let folder = Folder::new();
    let message = folder.load(false).unwrap_err().to_string();
    assert!(
        message.starts_with(&folder.file(0).display().to_string()),
        "{message}"
    );
    assert!(
        message.contains("6bbc9ace898e44ae57da46a324031adb"),
        "{message}"
    );
    assert!(
        message.ends_with("pass --allow-unverified to use your own files"),
        "{message}"
    );
    assert_eq!(folder.load(true).unwrap().test.len(), 10);
}

#[test]
fn a_truncated_file_is_named() {
    let problem = Folder::with(0, |bytes| bytes.truncate(1000)).problem(0);
    assert_eq!(
        problem,
        "the IDX header announces [20, 28, 28] = 15680 bytes, found 984: the file is truncated"
    );
    // Also when unverified files are not allowed: it says more than another checksum.
    let folder = Folder::with(0, |bytes| bytes.truncate(1000));
    assert!(
        folder
            .load(false)
            .unwrap_err()
            .to_string()
            .ends_with(&problem)
    );
}

#[test]
fn a_wrong_magic_number_is_named() {
    let problem = Folder::with(1, |bytes| bytes[3] = 3).problem(1);
    assert!(
        problem.contains("expected the IDX magic number 0x00000801"),
        "{problem}"
    );
    assert!(problem.contains("found 0x00000803"), "{problem}");
}

#[test]
fn label_ten_is_named() {
    let problem = Folder::with(3, |bytes| bytes[8 + 4] = 10).problem(3);
    assert_eq!(
        problem,
        "label 10 of image 4 is out of range: expected 0 to 9 for 10 classes"
    );
}

#[test]
fn counts_that_differ_are_named() {
    let folder = Folder::with(1, |bytes| *bytes = tiny()[3].1.clone());
    let problem = folder.problem(1);
    assert!(problem.starts_with("holds 10 labels, but "), "{problem}");
    assert!(
        problem.contains("train-images-idx3-ubyte holds 20 images"),
        "{problem}"
    );
}

#[test]
fn images_of_another_size_are_named() {
    let folder = Folder::with(2, |bytes| {
        *bytes = idx::write([10, 32, 32], &[0; 10_240]).unwrap()
    });
    assert_eq!(
        folder.problem(2),
        "expected images of [1, 28, 28] (channels, height, width), found [1, 32, 32]"
    );
}

#[test]
fn no_images_are_too_few() {
    let folder = Folder::with(0, |bytes| *bytes = idx::write([0, 28, 28], &[]).unwrap());
    assert_eq!(folder.problem(0), "not found; expected at least one image");
}

#[test]
fn a_directory_in_place_of_a_file_is_named() {
    let folder = Folder::new();
    fs::remove_file(folder.file(2)).unwrap();
    fs::create_dir(folder.file(2)).unwrap();
    assert!(
        folder
            .problem(2)
            .starts_with("is a directory, expected a file")
    );
}

#[test]
fn an_unusable_data_root_is_no_reason_to_look_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let message = load_root(&archive(), folder.path(), true)
        .unwrap_err()
        .to_string();
    assert!(message.contains("MNIST/raw"), "{message}");
}

#[test]
fn the_embedded_subset_is_the_last_resort_and_balanced() {
    let cache = tempfile::tempdir().unwrap();
    let mut report = |event| panic!("nothing to report, got {event:?}");
    let mut options = LoadOptions::new(&mut report);
    options.cache_dir = Some(cache.path().to_path_buf());
    options.offline = true;
    let data = load(options).unwrap();
    assert_eq!(data.source, Source::Embedded);
    assert_eq!(data.train.class_counts(10), [600; 10]);
    assert_eq!(data.test.class_counts(10), [100; 10]);
    // The first labels of the official files.
    assert_eq!(data.train.labels[..8], [5, 0, 4, 1, 9, 2, 1, 3]);
    assert_eq!(data.test.labels[..8], [7, 2, 1, 0, 4, 1, 4, 9]);
    // Its own statistics are close to those that the model is given.
    let sum: u64 = data.train.images.iter().copied().map(u64::from).sum();
    let mean = sum as f64 / 255.0 / data.train.images.len() as f64;
    assert!(
        (mean - f64::from(data.normalization.mean[0])).abs() < 0.002,
        "{mean}"
    );
}
