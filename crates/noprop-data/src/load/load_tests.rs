//! Published datasets from small files, and every kind of bad file.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::formats::{cifar, idx, tar_gz};
use crate::load::checked_files::md5_hex;
use crate::load::test_support::{COLOUR_10, COLOUR_FINE, GREY, gzip, of_file};

/// Contents of a tiny, well-formed set of 20 + 10 images.
fn tiny() -> [(&'static str, Vec<u8>); 4] {
    let images = |count: usize| idx::write([count, 28, 28], &vec![7; count * 784]).unwrap();
    let labels = |count: usize| {
        let labels: Vec<u8> = (0..count).map(|i| (i % 10) as u8).collect();
        idx::write([count], &labels).unwrap()
    };
    [
        ("train-images-idx3-ubyte", images(20)),
        ("train-labels-idx1-ubyte", labels(20)),
        ("t10k-images-idx3-ubyte", images(10)),
        ("t10k-labels-idx1-ubyte", labels(10)),
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
        self.0.path().join(tiny()[file].0)
    }

    fn load(&self, allow_unverified: bool) -> Result<Dataset, DataError> {
        load_root(&GREY, self.0.path(), allow_unverified)
    }

    /// The error message without the path of `file`, with which it must start.
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
    published: &PublishedDataset,
    root: &Path,
    allow_unverified: bool,
) -> Result<Dataset, DataError> {
    let mut report = |event| panic!("nothing to report, got {event:?}");
    let mut options = LoadOptions::new(&mut report);
    options.root = Some(root.to_path_buf());
    options.allow_unverified = allow_unverified;
    let loaded = load(published, options)?;
    assert_eq!(loaded.source, format!("folder {}", root.display()));
    assert!(!loaded.is_subset);
    Ok(loaded.dataset)
}

/// A description with other numbers of images and other files.
fn with(base: &PublishedDataset, images: [usize; 2], downloads: Vec<Download>) -> PublishedDataset {
    PublishedDataset {
        images,
        downloads: downloads.leak(),
        ..*base
    }
}

#[test]
fn official_files_in_the_folder_load() {
    let folder = Folder::new();
    let official = tiny().map(|(name, bytes)| {
        let md5 = md5_hex(&bytes).leak();
        of_file(Box::leak(Box::new([PublishedFile::with_md5(name, md5)])))
    });
    let published = with(&GREY, [20, 10], official.into());
    let data = load_root(&published, folder.0.path(), false).unwrap();
    assert_eq!((data.train.len(), data.test.len()), (20, 10));
    assert_eq!(data.train.shape, [1, 28, 28]);
    assert_eq!(data.train.labels[..3], [0, 1, 2]);
    assert_eq!(data.train.image(19), [7; 784]);
    assert_eq!(data.name, "grey");
    assert_eq!(data.normalization.mean, [0.1]);
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
    assert!(message.ends_with("download it again"), "{message}");
    assert_eq!(folder.load(true).unwrap().test.len(), 10);
}

#[test]
fn a_truncated_file_is_named() {
    let problem = Folder::with(0, |bytes| bytes.truncate(1000)).problem(0);
    assert_eq!(
        problem,
        "the IDX header announces [20, 28, 28] = 15680 bytes, found 984: the file is truncated"
    );
    // The file is reported as truncated, which says more than another checksum, even if it is not official.
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
    assert!(
        problem.starts_with("expected 20 labels, one for each image in "),
        "{problem}"
    );
    assert!(
        problem.contains("train-images-idx3-ubyte, found 10"),
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
    assert_eq!(folder.problem(0), "found no image, expected at least one");
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
fn an_unusable_folder_is_no_reason_to_look_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let message = load_root(&GREY, folder.path(), true)
        .unwrap_err()
        .to_string();
    assert!(message.contains("Grey/raw"), "{message}");
}

#[test]
fn the_subset_in_the_program_is_the_last_resort() {
    let files = tiny().map(|(name, bytes)| (name, &*gzip(&bytes).leak()));
    let published = PublishedDataset {
        subset: Some(files.to_vec().leak()),
        ..GREY
    };
    let cache = tempfile::tempdir().unwrap();
    let mut report = |event| panic!("nothing to report, got {event:?}");
    let mut options = LoadOptions::new(&mut report);
    options.cache_dir = Some(cache.path().to_path_buf());
    options.offline = true;
    let loaded = load(&published, options).unwrap();
    assert!(loaded.is_subset);
    assert_eq!(loaded.source, "embedded subset");
    assert_eq!(loaded.dataset.train.class_counts(10), [2; 10]);
    assert_eq!(loaded.dataset.test.len(), 10);
}

#[test]
fn without_a_source_the_message_says_what_to_put_where() {
    let cache = tempfile::tempdir().unwrap();
    let mut report = |_| {};
    let mut options = LoadOptions::new(&mut report);
    options.cache_dir = Some(cache.path().to_path_buf());
    options.offline = true;
    let message = load(&COLOUR_10, options).unwrap_err().to_string();
    let folder = cache.path().join("colour-10");
    assert_eq!(
        message,
        format!(
            "colour-10 is not in the cache, and downloads are turned off: put colour-10.tar.gz (from \
             https://colour.example/) into {}, or read it from a folder that holds data_batch_1.bin, \
             data_batch_2.bin, data_batch_3.bin, data_batch_4.bin, data_batch_5.bin, test_batch.bin",
            folder.display()
        )
    );
}

/// CIFAR records, one for each of `labels`; the first pixel of an image is its index.
fn records(labels: &[u8], label_bytes: usize) -> Vec<u8> {
    let image = |i: usize| [vec![i as u8], vec![200; 3071]].concat();
    let pixels: Vec<u8> = (0..labels.len()).flat_map(image).collect();
    cifar::write(labels, &pixels, label_bytes)
}

#[test]
fn cifar_is_read_from_its_archive_and_verified() {
    let root = tempfile::tempdir().unwrap();
    let (train, test) = (records(&[5, 9, 0], 2), records(&[1], 2));
    let bytes = tar_gz::write(&[
        ("colour-fine/train.bin", &train),
        ("colour-fine/../test.bin", b"no"),
        ("colour-fine/test.bin", &test),
    ])
    .unwrap();
    fs::write(root.path().join("colour-fine.tar.gz"), &bytes).unwrap();
    let download = Download {
        md5: md5_hex(&bytes).leak(),
        ..COLOUR_FINE.downloads[0]
    };
    let data = load_root(
        &with(&COLOUR_FINE, [3, 1], vec![download]),
        root.path(),
        false,
    )
    .unwrap();
    assert_eq!(data.train.labels, [5, 9, 0]);
    assert_eq!((data.train.shape, data.train.image(2)[0]), ([3, 32, 32], 2));

    // An archive that is not the official one is refused, and read if that is allowed.
    let message = load_root(&COLOUR_FINE, root.path(), false)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("03b5dce01913d631647c71ecec9e9cb8"),
        "{message}"
    );
    assert_eq!(
        load_root(&COLOUR_FINE, root.path(), true)
            .unwrap()
            .test
            .len(),
        1
    );
}

#[test]
fn cifar_is_read_from_unpacked_files_and_a_part_of_them_when_allowed() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("colour-10");
    fs::create_dir(&folder).unwrap();
    let message = |allow| {
        load_root(&COLOUR_10, root.path(), allow)
            .unwrap_err()
            .to_string()
    };
    let all = message(true);
    assert!(
        all.contains("colour-10.tar.gz or data_batch_1.bin"),
        "{all}"
    );

    fs::write(folder.join("test_batch.bin"), records(&[9, 8], 1)).unwrap();
    // The test images alone are enough for an evaluation.
    let data = load_root(&COLOUR_10, root.path(), true).unwrap();
    assert_eq!((data.train.len(), data.test.labels), (0, vec![9, 8]));
    fs::write(folder.join("data_batch_3.bin"), records(&[3, 1, 4], 1)).unwrap();
    let part = message(false);
    assert!(part.contains("data_batch_1.bin: not found"), "{part}");
    let data = load_root(&COLOUR_10, root.path(), true).unwrap();
    assert_eq!(
        (data.train.labels, data.test.labels),
        (vec![3, 1, 4], vec![9, 8])
    );

    for k in [1, 2, 4, 5] {
        fs::write(folder.join(format!("data_batch_{k}.bin")), records(&[k], 1)).unwrap();
    }
    // The batches are in their order; there are too few images for the official dataset.
    assert_eq!(
        load_root(&COLOUR_10, root.path(), true)
            .unwrap()
            .train
            .labels,
        [1, 2, 3, 1, 4, 4, 5]
    );
    let few = message(false);
    assert!(
        few.contains("holds 7 images") && few.contains("50000"),
        "{few}"
    );
}

#[test]
fn a_bad_cifar_file_is_named() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("train.bin");
    fs::write(root.path().join("test.bin"), records(&[1], 2)).unwrap();
    let problem = |bytes: Vec<u8>| {
        fs::write(&path, bytes).unwrap();
        let message = load_root(&COLOUR_FINE, root.path(), true)
            .unwrap_err()
            .to_string();
        message
            .strip_prefix(&format!("{}: ", path.display()))
            .unwrap()
            .to_owned()
    };
    assert!(problem(records(&[1], 2)[..3000].to_vec()).contains("truncated"));
    assert!(problem(records(&[1], 1)).contains("a file of CIFAR-10)"));
    assert!(problem(Vec::new()).contains("the file is empty"));
    assert_eq!(
        problem(records(&[7, 10], 2)),
        "label 10 of image 1 is out of range: expected 0 to 9 for 10 classes"
    );
}

#[test]
fn files_without_a_checksum_are_compared_by_their_number_of_images() {
    let folder = Folder::new();
    let downloads =
        tiny().map(|(name, _)| of_file(Box::leak(Box::new([PublishedFile::unchecked(name)]))));
    let published = with(&GREY, GREY.images, downloads.into());
    let message = load_root(&published, folder.0.path(), false)
        .unwrap_err()
        .to_string();
    assert!(message.contains("holds 20 images"), "{message}");
    assert_eq!(
        load_root(&published, folder.0.path(), true)
            .unwrap()
            .train
            .len(),
        20
    );
}
